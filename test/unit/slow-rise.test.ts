/**
 * Goal: memory that slowly rises and does not come back is seen whatever bursts ride on it; what comes back, what happens each day and
 * what is small is not; what was learnt outlives a restart.
 */
import t from 'tap';
import { SlowRise } from '../../aggregator/core/anomaly/slow-rise.ts';
import { createPrng } from '../../shared/prng.ts';

const SIZE = 8192;
const HOUR = 12;
const DAY = 24 * HOUR;

/** A twentieth of the memory, with bursts of up to half of it every few points. */
function bursty(seed: number, points: number): number[] {
  const random = createPrng(seed, 'bursts');
  return Array.from({ length: points }, () => SIZE * (0.05 + 0.03 * random.next() + (random.next() < 0.2 ? 0.5 * random.next() : 0)));
}

/** Points at which it says that memory rises. */
function rising(values: readonly number[]): number[] {
  const rise = new SlowRise();
  return values.flatMap((value, i) => (rise.next(value, SIZE) ? [i] : []));
}

t.test('3 % of the memory an hour under bursts: seen within eight hours, in each of ten series; nothing before', async (t) => {
  for (let seed = 1; seed <= 10; seed++) {
    const from = 3 * DAY;
    const values = bursty(seed, from + DAY).map((value, i) => Math.min(SIZE, value + Math.max(0, i - from) * ((0.03 * SIZE) / HOUR)));
    const [first] = rising(values);
    t.ok(first !== undefined && first >= from && first < from + 8 * HOUR, `seed ${seed}: ${first}`);
  }
});

t.test('bursts alone, a day like the day before, a step, a trifle: nothing', async (t) => {
  t.same(rising(bursty(7, 20 * DAY)), []);
  const daily = Array.from({ length: 10 * DAY }, (_, i) => SIZE * (0.3 + 0.25 * Math.sin((i / DAY) * 2 * Math.PI)));
  t.same(
    rising(daily).filter((i) => i >= DAY),
    [],
  );
  const step = Array.from({ length: 4 * DAY }, (_, i) => SIZE * (i < 2 * DAY ? 0.2 : 0.6));
  t.same(rising(step), []);
  const trifle = Array.from({ length: 4 * DAY }, (_, i) => SIZE * (0.2 + (0.05 * i) / (4 * DAY)));
  t.same(rising(trifle), []);
});

t.test('unknown size: nothing is said; a restored one goes on as the one that was kept', async (t) => {
  const values = Array.from({ length: 3 * DAY }, (_, i) => SIZE * (0.1 + (0.8 * Math.max(0, i - DAY)) / (2 * DAY)));
  const unsized = new SlowRise();
  t.notOk(values.some((value) => unsized.next(value, Number.POSITIVE_INFINITY)));
  const whole = new SlowRise();
  let second = new SlowRise();
  let seen = 0;
  for (const [i, value] of values.entries()) {
    if (i === DAY + 77) {
      const kept = JSON.parse(JSON.stringify(second.serialise()));
      second = new SlowRise();
      second.restore(kept);
    }
    const is = whole.next(value, SIZE);
    t.equal(second.next(value, SIZE), is);
    if (is) seen += 1;
  }
  t.ok(seen > 0);
});
