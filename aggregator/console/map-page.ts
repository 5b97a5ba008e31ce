/** What stands behind each virtual resource, on which host, and how old that knowledge is. Input: the map; output: a table to search. */
import type { ItemOf } from '../client/words.ts';
import { answer, client } from './api.ts';
import { Asked } from './asked.ts';
import { el } from './dom.ts';
import { amount, RESOURCE_NAMES, span } from './format.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

type Row = ItemOf<'/v1/map'>;

/** Older than this, a row is told as old. */
const STALE_MS = 60_000;

export function mapPage(): Page {
  const filter = el('input', { type: 'search', placeholder: 'guest, host, device', 'aria-label': 'Filter the map', maxlength: 100 });
  const rows = table(
    'Map from virtual to physical',
    ['Guest', 'Resource', 'In the guest', 'Host', 'On the host', 'Granted', 'Used', 'Data is'],
    [6, 7],
  );
  const none = emptyLine();
  let latest: readonly Row[] = [];
  let hosts = 0;
  const show = (): void => {
    const wanted = filter.value.trim().toLowerCase();
    const matching = latest.filter((row) =>
      `${row.vmName} ${row.host} ${row.resource} ${row.virtual} ${row.physical}`.toLowerCase().includes(wanted),
    );
    rows.show(matching.map(cells));
    none.say(matching.length > 0 ? null : latest.length > 0 ? `Nothing matches “${filter.value}”.` : whyNone(hosts));
  };
  filter.addEventListener('input', show);
  const asked = new Asked({
    ask: async () => (await answer(client.GET('/v1/map', { params: { query: { limit: 1000 } } }))).items,
    show(items) {
      latest = items.toSorted((a, b) => a.vmName.localeCompare(b.vmName));
      show();
    },
    failed: (reason) => (reason === null ? undefined : none.say(unreadable(reason))),
  });
  return {
    element: el(
      'div',
      { class: 'stack' },
      el('h1', {}, 'Resource map'),
      el(
        'section',
        { class: 'panel' },
        el('div', { class: 'tools' }, el('h2', {}, 'From virtual to physical'), filter),
        none.element,
        rows.element,
      ),
    ),
    update(state) {
      hosts = state.hosts.length;
      asked.update(newest(state));
    },
    remove() {},
  };
}

function cells(row: Row): (string | HTMLElement)[] {
  const age = row.ageMs === null ? 'unknown: never seen' : `${span(row.ageMs)} old`;
  const old = row.ageMs === null || row.ageMs > STALE_MS;
  return [
    el('a', { href: `#/vm/${row.vm}` }, row.vmName),
    RESOURCE_NAMES[row.resource],
    row.virtual,
    row.host,
    row.physical === '' ? 'not told by the host' : row.physical,
    row.granted ?? 'unknown',
    amount(row.used, row.unit as 'cores'),
    el('span', old ? { class: 'warn' } : {}, age),
  ];
}

const whyNone = (hosts: number): string =>
  hosts === 0
    ? 'The map is empty because no host has connected. It fills with a host’s first inventory, seconds after its agent connects.'
    : 'The map is empty because no guest runs on the connected hosts. A guest appears when it starts.';
