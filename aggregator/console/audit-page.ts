/** The ledger: what was decided and done by whom, and whether its chain holds. Input: entries; output: a list, newest first. */
import type { Answer, LedgerEntry } from '../client/words.ts';
import { answer, client, serverNowMs } from './api.ts';
import { Asked } from './asked.ts';
import { el, setAttribute, setText } from './dom.ts';
import { clock, plural, RESOURCE_NAMES, settingText } from './format.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

const KINDS = ['plan', 'outcome', 'verdict', 'operator', 'policy', 'security', 'event', 'loan', 'spawn', 'template', 'start'] as const;
type Kind = (typeof KINDS)[number];

const PAGE_ROWS = 50;
/** Proving a long chain takes the aggregator seconds. */
const VERIFY_EVERY_MS = 60_000;

export function auditPage(): Page {
  const status = el('p', { role: 'status', class: 'chain' }, 'Proving the chain…');
  const prove = el('button', { type: 'button' }, 'Prove it again');
  const kind = el('select', {}, el('option', { value: '' }, 'everything'), ...KINDS.map((name) => el('option', { value: name }, name)));
  const rows = table('Entries of the ledger', ['#', 'Time', 'Kind', 'Who or what', 'What', 'Hash']);
  const none = emptyLine();
  const more = el('button', { type: 'button', class: 'more', hidden: true }, 'Older entries');
  let entries: LedgerEntry[] = [];
  let cursor: number | null = null;
  const read = (from: number | null): Promise<Answer<'/v1/ledger'>> => {
    const query = {
      limit: PAGE_ROWS,
      ...(from === null ? {} : { cursor: from }),
      ...(kind.value === '' ? {} : { kind: kind.value as Kind }),
    };
    return answer(client.GET('/v1/ledger', { params: { query } }));
  };
  const show = (): void => {
    rows.show(entries.map(cells));
    more.hidden = cursor === null;
    const one = kind.value === '' ? 'entry' : `entry of kind ${kind.value}`;
    none.say(
      entries.length > 0
        ? null
        : `There is no ${one} yet. One is written with every plan that changes something, every change and every act of a person.`,
    );
  };
  const latest = new Asked({
    ask: () => read(null),
    show(found) {
      const newer = found.items as LedgerEntry[];
      const oldest = newer.at(-1)?.index ?? 0;
      const older = entries.filter(({ index }) => index < oldest);
      if (older.length === 0) cursor = found.cursor;
      entries = [...newer, ...older];
      show();
    },
    failed: (reason) => (reason === null ? undefined : none.say(unreadable(reason))),
  });
  const chain = new Asked({
    everyMs: VERIFY_EVERY_MS,
    ask: () => answer(client.GET('/v1/audit/verify')),
    show(found) {
      setAttribute(status, 'class', found.ok ? 'chain chain-holds' : 'chain chain-broken');
      const words = found.ok
        ? `The chain holds: ${plural(found.entries, 'entry', 'entries')}, head ${found.head.slice(0, 16)}…, proved at ${clock(serverNowMs())}.`
        : `The chain is BROKEN at entry ${found.index}: ${found.problem}.`;
      setText(status, words);
    },
    failed: (reason) => (reason === null ? undefined : setText(status, `The chain could not be proved: ${reason}.`)),
  });
  prove.addEventListener('click', () => void chain.now());
  kind.addEventListener('change', () => {
    entries = [];
    void latest.now();
  });
  more.addEventListener('click', () => {
    void read(cursor).then((found) => {
      entries = [...entries, ...(found.items as LedgerEntry[])];
      cursor = found.cursor;
      show();
    });
  });
  const picker = el('label', { class: 'picker' }, 'Show ', kind);
  return {
    element: el(
      'div',
      { class: 'stack' },
      el('h1', {}, 'Audit'),
      el('section', { class: 'panel' }, el('div', { class: 'tools' }, el('h2', {}, 'Chain'), prove), status),
      el('section', { class: 'panel' }, el('div', { class: 'tools' }, el('h2', {}, 'Ledger'), picker), none.element, rows.element, more),
    ),
    update(state) {
      names = new Map(state.vms.map(({ id, name }) => [id, name]));
      latest.update(newest(state));
      chain.update('');
    },
    remove() {},
  };
}

/** Of the guests that are there: the ledger knows them by UUID. */
let names: ReadonlyMap<string, string> = new Map();
const nameOf = (vm: string): string => names.get(vm) ?? vm;

function cells({ index, timeMs, body, hash }: LedgerEntry): (string | HTMLElement)[] {
  const [who, what] = wordsOf(body);
  return [String(index), clock(timeMs, serverNowMs()), body.kind, who, what, el('code', { title: hash }, hash.slice(0, 10))];
}

/** Who or what it is about, and what was done. */
function wordsOf(body: LedgerEntry['body']): [string, string] {
  switch (body.kind) {
    case 'start':
      return ['aggregator', `${body.version} started, epoch ${body.epoch}`];
    case 'plan':
      return [
        body.planId,
        `${plural(body.steps.length, 'change')}, ${body.notDone.length} held back, ${body.lintRejections.length} struck out`,
      ];
    case 'outcome':
      return [
        nameOf(body.vm),
        `${RESOURCE_NAMES[body.resource]}: ${settingText(body.before)} → ${settingText(body.after)}, ${body.outcome}: ${body.reason}`,
      ];
    case 'verdict':
      return [nameOf(body.vm), `${judgedText(body)}: ${body.verdict}, ${body.reason}`];
    case 'event':
      return [body.vm === null ? body.host : nameOf(body.vm), body.message];
    case 'loan':
      return [body.loan.lenderName, `lends ${RESOURCE_NAMES[body.loan.resource]} to ${body.loan.borrowerName}: ${body.loan.state}`];
    case 'policy':
      return [body.by, `policy version ${body.version}`];
    case 'template':
      return [body.by, `template ${body.name}, version ${body.version}`];
    case 'security':
      return [body.by, `${body.event} ${body.subject}: ${body.reason}`];
    case 'spawn':
      return [body.group, `${nameOf(body.vm)} on ${body.host}: ${body.phase}, ${body.reason}`];
    case 'operator':
      return [body.by, `${body.action} ${body.target}: ${body.reason}`];
  }
}

/** What a verdict is about. */
function judgedText({ resource, vcpus }: { resource: keyof typeof RESOURCE_NAMES; vcpus?: { from: number; to: number } }): string {
  return vcpus === undefined ? RESOURCE_NAMES[resource] : `vCPUs online, ${vcpus.from} → ${vcpus.to}`;
}
