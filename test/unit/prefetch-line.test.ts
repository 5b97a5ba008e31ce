/**
 * Goal: of several prefetches of a host the most urgent gets the bytes, and so it is with hosts that ask one holder; whoever is less urgent
 * goes on when the other is done, keeps to its own cap or hangs; nobody waits for ever, and none is fetched quicker than its cap.
 */
import fc from 'fast-check';
import t from 'tap';
import { byUrgency, type Urgency } from '../../agent/core/prefetch-urgency.ts';
import { PrefetchLine } from '../../agent/loops/prefetch-line.ts';
import { AskersInTurn } from '../../agent/snapshot/askers-in-turn.ts';
import { sleep } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

const NEVER = (): boolean => false;
const CHUNK_MS = 100;

function stage() {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const log: string[] = [];
  const line = new PrefetchLine(clock);
  /** Fetches so many chunks, each a tenth of a second of the one wire there is. */
  const fetching = async (name: string, chunks: number, priority: number, dueMs = Number.POSITIVE_INFINITY, restMs = 0) => {
    const place = line.enter(priority, dueMs);
    await place.turn(NEVER);
    for (let i = 0; i < chunks; i++) {
      await sleep(clock, CHUNK_MS);
      log.push(name);
      if (restMs > 0) await place.rest(restMs);
      await place.turn(NEVER);
    }
    place.leave();
  };
  const run = (ms: number): Promise<unknown> => time.runUntil(time.nowMs + ms);
  return { clock, line, log, fetching, run };
}

const urgency = fc.record({
  awaited: fc.boolean(),
  priority: fc.integer({ min: 0, max: 3 }),
  dueMs: fc.constantFrom(1000, 2000, Number.POSITIVE_INFINITY),
  turn: fc.integer({ min: 0, max: 1000 }),
});

t.test('an order: whole, and by being awaited, priority, deadline and turn in that order', (t) => {
  fc.assert(
    fc.property(fc.uniqueArray(urgency, { selector: ({ turn }) => turn, maxLength: 12 }), (all: Urgency[]) => {
      const sorted = all.toSorted(byUrgency);
      for (const [i, a] of sorted.entries()) {
        for (const b of sorted.slice(i + 1)) {
          if (!(byUrgency(a, b) < 0 && byUrgency(b, a) > 0)) return false;
          if (!a.awaited && b.awaited) return false;
          if (a.awaited === b.awaited && a.priority < b.priority) return false;
          if (a.awaited === b.awaited && a.priority === b.priority && a.dueMs > b.dueMs) return false;
        }
      }
      return true;
    }),
  );
  t.end();
});

t.test('one of higher priority goes by, between two chunks; of the others the one due first', async (t) => {
  const { fetching, log, run } = stage();
  void fetching('low', 4, 1);
  await run(250);
  t.same(log, ['low', 'low']);
  void fetching('high', 2, 9);
  void fetching('later', 2, 5, 90_000);
  void fetching('sooner', 2, 5, 60_000);
  await run(5000);
  t.same(log.slice(2), ['low', 'high', 'high', 'sooner', 'sooner', 'later', 'later', 'low'], 'what was on its way arrives');
});

t.test('while one keeps to its cap the next has the wire; one that hangs is in nobody’s way', async (t) => {
  const { fetching, line, log, run } = stage();
  void fetching('capped', 2, 9, Number.POSITIVE_INFINITY, 1000);
  void fetching('next', 4, 1);
  await run(1000);
  t.same(log, ['capped', 'next', 'next', 'next', 'next']);
  await run(5000);
  line.enter(9, Number.POSITIVE_INFINITY);
  void fetching('patient', 1, 1);
  await run(4000);
  t.notOk(log.includes('patient'));
  await run(3000);
  t.ok(log.includes('patient'), 'what fetched nothing for five seconds holds nobody up');
});

t.test('whoever is waited for, given up or gone stands no longer', async (t) => {
  const { line, run } = stage();
  const first = line.enter(9, Number.POSITIVE_INFINITY);
  void first.rest(1).then(() => first.turn(NEVER));
  const places = ['hurried', 'left', 'given up'].map((name) => ({ name, place: line.enter(1, Number.POSITIVE_INFINITY) }));
  const went: string[] = [];
  let givenUp = false;
  await run(10);
  for (const { name, place } of places) void place.turn(() => name === 'given up' && givenUp).then(() => went.push(name));
  t.equal(places[0]!.place.ahead(), 1);
  await run(100);
  t.same(went, []);
  places[0]!.place.hurry();
  places[1]!.place.leave();
  await run(1);
  t.same(went.toSorted(), ['hurried', 'left']);
  givenUp = true;
  await run(1000);
  t.same(went.toSorted(), ['given up', 'hurried', 'left']);
  const slow = line.enter(2, Number.POSITIVE_INFINITY);
  let rested = false;
  void slow.rest(3_600_000).then(() => {
    rested = true;
  });
  await run(10);
  slow.hurry();
  await run(1);
  t.ok(rested, 'a resume does not wait for the cap of its own prefetch');
});

/** Answers sent to each host, of a holder that takes ten milliseconds for each, with eight questions open at each asker. */
async function answersSent(urgencies: Record<string, Partial<Urgency>>, ms: number, stuck: string | null = null) {
  const { clock, run } = stage();
  const askers = new AskersInTurn(clock, (vm) => ({ awaited: false, priority: 0, dueMs: 0, turn: 0, ...urgencies[vm] }));
  const sent: Record<string, number> = {};
  let wire = Promise.resolve();
  const asks = async (vm: string): Promise<void> => {
    for (;;) {
      const ended = await askers.begin(vm);
      if (vm === stuck) await sleep(clock, 3_600_000);
      wire = wire.then(() => sleep(clock, 10));
      await wire;
      sent[vm] = (sent[vm] ?? 0) + 1;
      ended();
    }
  };
  for (const vm of Object.keys(urgencies)) for (let i = 0; i < 8; i++) void asks(vm);
  await run(ms);
  return sent;
}

t.test('a holder serves the most urgent asker first, and starves none', async (t) => {
  const sent = await answersSent({ high: { priority: 9, turn: 1 }, low: { priority: 1, turn: 0 }, waits: { awaited: true } }, 10_000);
  t.ok(sent.waits! > 700, `${JSON.stringify(sent)} of a thousand answers`);
  t.ok(sent.high! >= 50 && sent.low! >= 50);
  const two = await answersSent({ soon: { dueMs: 1, turn: 1 }, late: { dueMs: 2, turn: 0 } }, 10_000);
  t.ok(two.soon! > 7 * two.late!, JSON.stringify(two));
  const far = await answersSent({ far: { priority: 9 }, near: { priority: 1 } }, 10_000, 'far');
  t.ok(far.near! >= 90, `${far.near} answers while the urgent one takes none`);
});
