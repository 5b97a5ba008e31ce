/** Goal: simulated time runs events in order, the same seed gives the same order, nodes' wall clocks step and die alone. */
import fc from 'fast-check';
import t from 'tap';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';

t.test('events run in time order, whatever the order they were scheduled in', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(1000), { maxLength: 60 }), fc.nat(), async (delays, seed) => {
      const time = new SimulatedTime(createPrng(seed), 0);
      const seen: number[] = [];
      for (const delay of delays) time.schedule(() => seen.push(time.nowMs), delay);
      await time.runUntil(1000);
      return seen.length === delays.length && seen.every((at, i) => i === 0 || at >= seen[i - 1]!);
    }),
    { numRuns: 50 },
  );
  t.pass('property held');
});

t.test('the order within an instant comes from the seed', async (t) => {
  const order = async (seed: number): Promise<string> => {
    const time = new SimulatedTime(createPrng(seed), 0);
    let text = '';
    for (const name of 'abcdefgh') time.schedule(() => (text += name), 5);
    await time.runUntil(5);
    return text;
  };
  t.equal(await order(1), await order(1));
  t.not(await order(1), await order(2));
});

t.test('promises settle between events', async (t) => {
  const time = new SimulatedTime(createPrng(1), 0);
  let value = 0;
  time.schedule(
    () =>
      void Promise.resolve()
        .then(() => Promise.resolve())
        .then(() => (value = 1)),
    1,
  );
  time.schedule(() => t.equal(value, 1, 'the earlier event has finished'), 2);
  await time.runUntil(3);
});

t.test('a node steps its wall clock alone, and a dead node is silent', async (t) => {
  const time = new SimulatedTime(createPrng(1), 1_000_000);
  const [a, b] = [new NodeClock(time), new NodeClock(time)];
  let ticksA = 0;
  let ticksB = 0;
  a.setInterval(() => ticksA++, 10);
  const interval = b.setInterval(() => ticksB++, 10);
  await time.runUntil(100);
  a.stepWall(-3_600_000);
  t.equal(b.wallMs() - a.wallMs(), 3_600_000);
  t.equal(a.monotonicMs(), b.monotonicMs());
  a.kill();
  await time.runUntil(200);
  interval.cancel();
  await time.runUntil(300);
  t.equal(ticksA, 10);
  t.equal(ticksB, 20);
});

t.test('time does not run back', async (t) => {
  const time = new SimulatedTime(createPrng(1), 0);
  await time.runUntil(10);
  await t.rejects(time.runUntil(5), { code: 'INVARIANT_BROKEN' });
});
