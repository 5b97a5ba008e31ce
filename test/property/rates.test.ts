/**
 * Goal: counters become rates that are exact while a counter only rises, unknown across resets, gaps and first samples, and
 * never negative or infinite.
 */
import fc from 'fast-check';
import t from 'tap';
import { counterDifference, createRate } from '../../agent/core/rates.ts';

t.test('rising counters: the rates add up to the growth', async () => {
  const steps = fc.array(fc.record({ growth: fc.integer({ min: 0, max: 1e9 }), ms: fc.integer({ min: 20, max: 5000 }) }), {
    minLength: 1,
    maxLength: 50,
  });
  fc.assert(
    fc.property(steps, fc.integer({ min: 0, max: 1e12 }), (list, start) => {
      const rate = createRate({ gapMsMax: 10_000 });
      let value = start;
      let nowMs = 0;
      let sum = 0;
      if (!Number.isNaN(rate.next(value, nowMs))) return false;
      for (const { growth, ms } of list) {
        value += growth;
        nowMs += ms;
        sum += (rate.next(value, nowMs) * ms) / 1000;
      }
      return Math.abs(sum - (value - start)) <= 1e-6 * Math.max(1, value - start);
    }),
  );
});

t.test('anything at all in: never negative, never infinite', async () => {
  const reading = fc.record({
    value: fc.oneof(fc.double({ min: 0, max: 1e15, noNaN: true }), fc.constant(Number.NaN), fc.constant(Number.POSITIVE_INFINITY)),
    nowMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.array(reading), fc.boolean(), (list, wraps) => {
      const rate = createRate(wraps ? { gapMsMax: 10_000, wrapsAt: 2 ** 32 } : { gapMsMax: 10_000 });
      return list.every(({ value, nowMs }) => {
        const result = rate.next(value, nowMs);
        return Number.isNaN(result) || (result >= 0 && result < Number.POSITIVE_INFINITY);
      });
    }),
    // A counter that was a little beyond where it was said to wrap.
    {
      examples: [
        [
          [
            { value: 2 ** 32 + 1e-6, nowMs: 0 },
            { value: 0, nowMs: 20 },
          ],
          true,
        ],
      ],
    },
  );
});

t.test('resets, wraps, gaps, twins', async (t) => {
  const after = (readings: [number, number][], options = { gapMsMax: 5000 } as { gapMsMax: number; wrapsAt?: number }): number => {
    const rate = createRate(options);
    return readings.map(([value, nowMs]) => rate.next(value, nowMs)).at(-1)!;
  };
  t.equal(
    after([
      [100, 0],
      [300, 1000],
    ]),
    200,
  );
  t.ok(Number.isNaN(after([[100, 0]])), 'first sample');
  t.ok(
    Number.isNaN(
      after([
        [100, 0],
        [40, 1000],
      ]),
    ),
    'reset',
  );
  t.equal(
    after([
      [100, 0],
      [40, 1000],
      [90, 2000],
    ]),
    50,
    'and on from there',
  );
  t.ok(
    Number.isNaN(
      after([
        [100, 0],
        [200, 6000],
      ]),
    ),
    'gap',
  );
  t.ok(
    Number.isNaN(
      after([
        [100, 1000],
        [200, 1000],
      ]),
    ),
    'the clock stood still',
  );
  t.ok(
    Number.isNaN(
      after([
        [100, 1000],
        [200, 400],
      ]),
    ),
    'the clock went back',
  );
  t.equal(
    after([
      [100, 0],
      [Number.NaN, 1000],
      [300, 2000],
    ]),
    100,
    'an unknown reading in between keeps the one before',
  );
  t.equal(
    after(
      [
        [2 ** 32 - 50, 0],
        [50, 1000],
      ],
      { gapMsMax: 5000, wrapsAt: 2 ** 32 },
    ),
    100,
    'a counter of 32 bits wraps',
  );
  t.ok(Number.isNaN(counterDifference(2 ** 31, 5, 2 ** 32)), 'falling from the middle is a reset all the same');
});
