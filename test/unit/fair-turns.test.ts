/** Goal: long work gives others as long as its last part took, nothing when it took nothing, and never more than half a second. */
import t from 'tap';
import { type Clock, fairTurns } from '../../shared/clock.ts';

t.test('as long as the part took', async (t) => {
  let nowMs = 1000;
  const slept: number[] = [];
  const clock = {
    monotonicMs: () => nowMs,
    setTimeout: (run: () => void, delayMs: number) => {
      slept.push(delayMs);
      nowMs += delayMs;
      queueMicrotask(run);
      return { cancel: () => undefined };
    },
  } as unknown as Clock;
  const giveWay = fairTurns(clock);
  for (const tookMs of [0, 30, 200, 3000, 0]) {
    nowMs += tookMs;
    await giveWay();
  }
  t.same(slept, [0, 30, 200, 500, 0]);
});
