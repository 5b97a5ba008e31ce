/**
 * Guests that are put aside: where each is, when it will be wanted, how far its bytes are fetched, and how good the last guess was.
 * Input: suspensions and orders; output: one entry a guest with a bar while bytes are moved, and what was ordered lately.
 */
import type { ItemOf } from '../client/words.ts';
import { answer, client, serverNowMs } from './api.ts';
import { Asked } from './asked.ts';
import { el, KeyedList, setAttribute, setText } from './dom.ts';
import { amount, clock, span, UNKNOWN } from './format.ts';
import { emptyLine, newest, type Page, unreadable } from './page.ts';
import { table } from './table.ts';

type Suspension = ItemOf<'/v1/suspensions'>;
type Order = ItemOf<'/v1/suspensions/orders'>;
type Progress = NonNullable<Order['progress']>;

const BYTES_PER_MIB = 1024 * 1024;
const CHUNK_BYTES = 65_536;
/** Bytes move while one looks on. */
const LOOK_EVERY_MS = 2000;
const ORDERS_SHOWN = 50;

const PHASES: Readonly<Record<Suspension['phase'], string>> = {
  suspending: 'is being put aside',
  ending: 'is put aside, about to be ended',
  suspended: 'put aside',
  preparing: 'is being made ready',
  prepared: 'ready, waits paused',
  going: 'is coming back',
  running: 'runs on its snapshot',
  away: 'runs on another host, which still needs its snapshot,',
};

const ACTIONS: Readonly<Record<Order['action'], string>> = {
  suspend: 'Put aside',
  resume: 'Bring back',
  prefetch: 'Make ready',
  release: 'Let go on resting',
  verify: 'Verify its snapshot',
  collect: 'Clean the store',
  lend: 'Lend to another host',
};

const mib = (bytes: number): string => amount(bytes / BYTES_PER_MIB, 'MiB');
const percent = (share: number | null): string => (share === null ? UNKNOWN : `${(share * 100).toFixed(0)} %`);

interface Entry {
  suspension: Suspension;
  /** Under way for this guest. */
  order: Order | null;
}

/** A bar with its figures in words. */
function progressBar(): { element: HTMLElement; update: (what: string, progress: Progress | null) => void } {
  const done = el('span', { class: 'meter-used' });
  const track = el('div', { class: 'meter', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 }, done);
  const text = el('span', { class: 'meter-text' });
  const name = el('span', { class: 'meter-name' }, 'Progress');
  const element = el('div', { class: 'meter-row' }, name, track, text);
  return {
    element,
    update(what, progress) {
      element.hidden = progress === null;
      if (progress === null) return;
      const { doneBytes, totalBytes, restMs } = progress;
      const share = totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes);
      done.style.width = `${(share * 100).toFixed(1)}%`;
      const left = `${mib(Math.max(0, totalBytes - doneBytes))} of ${mib(totalBytes)} left`;
      const words = `${percent(share)}, ${left}${restMs === null ? '' : `, about ${span(restMs)} more`}`;
      setText(text, words);
      setAttribute(track, 'aria-label', what);
      setAttribute(track, 'aria-valuenow', Math.round(share * 100));
      setAttribute(track, 'aria-valuetext', words);
    },
  };
}

/** A figure with its name. */
function fact(name: string): { parts: [HTMLElement, HTMLElement]; say: (text: string) => void } {
  const value = el('dd');
  return { parts: [el('dt', {}, name), value], say: (text) => setText(value, text) };
}

function wantedWords({ prediction, resumes }: Suspension): string {
  if (prediction === null)
    return resumes === 0 ? 'not known: it was never brought back while its memory was watched' : 'not known: too few resumes were seen yet';
  const { text, probability, withinMs, likeliestAtMs } = prediction;
  const soon = `${percent(probability)} likely within ${span(withinMs)}`;
  const when = likeliestAtMs === null ? 'not within the next day' : `likeliest at ${clock(likeliestAtMs, serverNowMs())}`;
  return `${text}; ${when}, ${soon}`;
}

function keptWords({ recipe, reason, snapshot, filledBytes, memoryBytes }: Suspension): string {
  if (recipe === 'managed-save') return `${mib(memoryBytes)} saved by the hypervisor itself${reason === '' ? '' : `: ${reason}`}`;
  return `${mib(filledBytes)} of ${mib(memoryBytes)} is not empty${snapshot === null ? '' : `, snapshot ${snapshot.slice(0, 10)}`}`;
}

let linked: ReadonlySet<string> = new Set();

function asideItem(): { element: HTMLElement; update: (entry: Entry) => void } {
  const name = el('h3');
  const state = el('p', { class: 'host-state' });
  const bar = progressBar();
  const facts = { wanted: fact('Wanted next'), kept: fact('Memory'), first: fact('Fetched first'), hit: fact('Last guess') };
  const list = el('dl', { class: 'aside-facts' }, ...Object.values(facts).flatMap(({ parts }) => parts));
  const problems = el('p', { class: 'warn' });
  return {
    element: el('li', { class: 'host' }, el('div', { class: 'host-head' }, name, state), bar.element, list, problems),
    update({ suspension, order }) {
      const { vm, host, phase, sinceMs, predictedChunks, resumes, hitRate, wasteRate } = suspension;
      // Who is put aside need not be among the guests: there may be no page to lead to.
      const shown = linked.has(vm) ? `<${vm}>` : suspension.name;
      if (name.dataset.shown !== shown) {
        name.dataset.shown = shown;
        name.replaceChildren(linked.has(vm) ? el('a', { href: `#/vm/${vm}` }, suspension.name) : suspension.name);
      }
      setText(state, `${PHASES[phase]} on ${host} since ${clock(sinceMs, serverNowMs())}`);
      bar.update(`${suspension.name}: ${order === null ? '' : ACTIONS[order.action]}`, order?.progress ?? null);
      facts.wanted.say(wantedWords(suspension));
      facts.kept.say(keptWords(suspension));
      const learnt = `learnt from ${resumes} ${resumes === 1 ? 'resume' : 'resumes'}`;
      facts.first.say(predictedChunks === 0 ? `nothing yet: ${learnt}` : `${mib(predictedChunks * CHUNK_BYTES)} before it runs, ${learnt}`);
      facts.hit.say(
        hitRate === null && wasteRate === null
          ? 'none was made yet'
          : `${percent(hitRate)} of what it touched had been fetched; ${percent(wasteRate)} of what was fetched it did not touch`,
      );
      setText(problems, suspension.problems.join('; '));
      problems.hidden = suspension.problems.length === 0;
    },
  };
}

function orderCells(order: Order): string[] {
  const { vmName, vm, host, action, askedAtMs, by, outcome, state, reason, progress, ahead } = order;
  const done = progress === null ? '' : ` (${percent(progress.totalBytes === 0 ? 1 : progress.doneBytes / progress.totalBytes)})`;
  return [
    vmName ?? vm ?? host,
    ACTIONS[action],
    clock(askedAtMs, serverNowMs()),
    by,
    state === 'working' ? `under way${done}${ahead === 0 ? '' : `, ${ahead} ahead of it`}` : (outcome ?? 'ended'),
    reason,
  ];
}

export function resumePage(): Page {
  const list = el('ul', { class: 'hosts' });
  const items = new KeyedList<Entry>(list, asideItem);
  const none = emptyLine();
  const orders = table('Orders about guests put aside', ['Guest', 'Order', 'Asked', 'By', 'State', 'Why']);
  const noOrder = emptyLine();
  const asked = new Asked({
    everyMs: LOOK_EVERY_MS,
    ask: async () => {
      const [aside, ordered] = await Promise.all([
        answer(client.GET('/v1/suspensions')),
        answer(client.GET('/v1/suspensions/orders', { params: { query: {} } })),
      ]);
      return { aside: aside.items, ordered: ordered.items };
    },
    show({ aside, ordered }) {
      const underWay = new Map(ordered.filter(({ state }) => state === 'working').map((order) => [order.vm, order]));
      const entries = aside.map((suspension) => ({ suspension, order: underWay.get(suspension.vm) ?? null }));
      items.show(entries, ({ suspension }) => suspension.vm);
      none.say(
        aside.length > 0
          ? null
          : 'No guest is put aside. One appears here when somebody suspends it (headroom suspend), or the policy’s suspend rules do, on a host whose agent has a place for snapshots.',
      );
      orders.show(ordered.slice(0, ORDERS_SHOWN).map(orderCells));
      noOrder.say(ordered.length > 0 ? null : 'Nothing was ordered since this aggregator started.');
    },
    failed: (reason) => (reason === null ? undefined : none.say(unreadable(reason))),
  });
  return {
    element: el(
      'div',
      { class: 'stack' },
      el('h1', {}, 'Put aside'),
      el('section', { class: 'panel' }, el('h2', {}, 'Suspended guests'), none.element, list),
      el('section', { class: 'panel' }, el('h2', {}, 'Orders'), noOrder.element, orders.element),
    ),
    update(state) {
      linked = new Set(state.vms.map(({ id }) => id));
      asked.update(newest(state));
    },
    remove() {},
  };
}
