/** One guest: all its resources, why it has what it has, what was changed. Input: the state, a UUID; output: a page. */
import type { LedgerEntry, Vm } from '../client/words.ts';
import { api } from './api.ts';
import { el, setChildren, setText } from './dom.ts';
import { eventList } from './event-list.ts';
import { clock, RESOURCE_NAMES, settingText } from './format.ts';
import { guestHead } from './guest-head.ts';
import type { FleetState } from './live.ts';
import type { Page } from './page.ts';
import { resourcePanel } from './resource-panel.ts';
import { windowMs, windowPicker } from './time-window.ts';

const HEIGHTS_PX = { cpu: 260, memory: 260, network: 160, disk: 160 } as const;
/** The reasons change with a plan; the ledger with a change. */
const REFRESH_MS = 10_000;
const ROWS_MAX = 20;
/** Among the guest's events: changes of how many vCPUs are online are a few a day. */
const EVENTS_MAX = 100;

class Why {
  readonly element: HTMLElement;
  readonly #list = el('ul', { class: 'why' });
  readonly #body = el('tbody');
  readonly #empty = el('p', { class: 'empty' });
  readonly #table: HTMLElement;
  readonly #id: string;
  #askedAtMs = 0;

  constructor(id: string) {
    this.#id = id;
    const heads = ['time', 'resource', 'before', 'after', 'outcome', 'reason'].map((name) => el('th', { scope: 'col' }, name));
    this.#table = el('table', { class: 'changes' }, el('thead', {}, el('tr', {}, ...heads)), this.#body);
    const why = el('section', { class: 'panel' }, el('h2', {}, 'Why it has what it has'), this.#list);
    const scroller = el('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Changes, a wide table' }, this.#table);
    const changes = el('section', { class: 'panel' }, el('h2', {}, 'Changes'), scroller, this.#empty);
    this.element = el('div', { class: 'why-area' }, why, changes);
    setText(this.#empty, 'Asking for the ledger…');
  }

  update(): void {
    if (Date.now() - this.#askedAtMs < REFRESH_MS) return;
    this.#askedAtMs = Date.now();
    const failed = (error: unknown): void => {
      this.#empty.hidden = false;
      setText(this.#empty, `It could not be read: ${error instanceof Error ? error.message : String(error)}. It is asked for again.`);
    };
    api.explain(this.#id).then(
      (text) =>
        setChildren(
          this.#list,
          text.map((sentence) => el('li', {}, sentence)),
        ),
      failed,
    );
    const kinds = [api.entries(this.#id, 'outcome', ROWS_MAX), api.entries(this.#id, 'event', EVENTS_MAX)];
    Promise.all(kinds).then((entries) => this.#show(entries.flat()), failed);
  }

  #show(entries: readonly LedgerEntry[]): void {
    const rows = entries
      .flatMap(changeOf)
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, ROWS_MAX);
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
    setText(this.#empty, 'Nothing was changed yet. In mode auto, changes are listed here once a plan makes one.');
    setChildren(
      this.#body,
      rows.map(({ timeMs, cells }) =>
        el('tr', {}, el('th', { scope: 'row' }, clock(timeMs, Date.now())), ...cells.map((text) => el('td', {}, text))),
      ),
    );
  }
}

/** What of the ledger is a change of this guest: of what it may use, or of how many of its vCPUs are online. */
function changeOf({ timeMs, body }: LedgerEntry): { timeMs: number; cells: string[] }[] {
  if (body.kind === 'outcome') {
    const { resource, before, after, outcome, reason } = body;
    return [{ timeMs, cells: [RESOURCE_NAMES[resource], settingText(before), settingText(after), outcome, reason] }];
  }
  if (body.kind !== 'event' || body.vcpus === undefined) return [];
  const { from, to, of: all, online, outcome, reason } = body.vcpus;
  const after = outcome === 'applied' ? (online ?? to) : from;
  return [{ timeMs, cells: ['vCPUs', `${from} of ${all} online`, `${after} of ${all} online`, outcome, reason] }];
}

export function vmPage(id: string): Page {
  const head = guestHead('h1', false);
  const missing = el('p', { class: 'notes' });
  const gone = el('p', { class: 'empty panel', hidden: true });
  const panels = (['cpu', 'memory', 'network', 'disk'] as const).map((resource) =>
    resourcePanel({ resource, heightPx: HEIGHTS_PX[resource], windowMs, headingLevel: 'h2' }),
  );
  const why = new Why(id);
  const events = eventList(
    'Events of this guest',
    'Nothing was told of this guest since the page was opened, or among the latest events before.',
  );
  let latest: Vm | null = null;
  const picker = windowPicker(() => {
    if (latest) for (const panel of panels) panel.update(latest);
  });
  const charts = el('div', { class: 'resources' }, ...panels.map((panel) => el('div', { class: 'panel' }, panel.element)));
  const body = el('div', { class: 'vm-body' }, charts, why.element, events.element);
  return {
    element: el(
      'article',
      { class: 'vm' },
      el('p', { class: 'back' }, el('a', { href: '#/' }, '← All guests')),
      head.element,
      picker.element,
      missing,
      gone,
      body,
    ),
    update(state: FleetState) {
      picker.update();
      const vm = state.vms.find((each) => each.id === id);
      gone.hidden = vm !== undefined || !state.known;
      setText(gone, `No guest with the UUID ${id} is known now. It may have moved or been removed; the overview lists those there are.`);
      body.hidden = vm === undefined;
      if (vm === undefined) return;
      latest = vm;
      head.update(vm);
      setText(missing, vm.missingSignals.length === 0 ? '' : `Signals it lacks: ${vm.missingSignals.join('; ')}.`);
      for (const panel of panels) panel.update(vm);
      why.update();
      events.update(state.events.filter((event) => event.vm === id));
    },
    remove() {
      for (const panel of panels) panel.remove();
    },
  };
}
