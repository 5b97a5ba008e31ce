/**
 * What every forecaster keeps, whatever it believes: state that survives bytes, a past that no future changes, quantiles
 * in order, and an answer to any series a VM may send. Input: a name of the registry; run by forecasters.test.ts.
 */
import fc from 'fast-check';
import type t from 'tap';
import type { Forecaster, ForecasterFactory, ForecasterOptions } from '../../aggregator/core/forecast/forecaster.ts';
import { forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';

const STEP_MS = 300_000;
const DAY_STEPS = 48;
/** A day of 48 steps keeps the contract quick; no model knows how long a day is. */
const OPTIONS: ForecasterOptions = { stepMs: STEP_MS, seasonsMs: [DAY_STEPS * STEP_MS, 7 * DAY_STEPS * STEP_MS] };
const HORIZONS = [1, 2, 3, 4, 12, 24, 48, 200];
const QUANTILES = [0.01, 0.5, 0.9, 0.99, 0.9999];
const ORIGIN_MS = 1_700_000_000_000;
const at = (step: number): number => ORIGIN_MS + step * STEP_MS;

const answer = (forecaster: Forecaster): number[] | null => {
  const forecast = forecaster.forecast(HORIZONS, QUANTILES);
  return forecast === null ? null : Array.from(forecast.values);
};

const feed = (forecaster: Forecaster, values: readonly number[], from = 0): Forecaster => {
  values.forEach((value, i) => {
    if (!Number.isNaN(value)) forecaster.observe({ timeMs: at(from + i), value });
  });
  return forecaster;
};

/** A day's wave, noise and now and then a burst; NaN = no sample. */
const seasonal = (seed: number, steps: number, missingShare = 0.02): number[] => {
  const random = createPrng(seed, 'forecaster');
  return Array.from({ length: steps }, (_, step) => {
    const wave = 1 + 0.6 * Math.sin((2 * Math.PI * step) / DAY_STEPS);
    const burst = random.next() < 0.01 ? 5 : 0;
    const value = wave * (0.8 + 0.4 * random.next()) + burst;
    return random.next() < missingShare ? Number.NaN : value;
  });
};

const SPECIAL: readonly (readonly [name: string, values: readonly number[]])[] = [
  ['one point', [3]],
  ['all zero', new Array(400).fill(0)],
  ['constant', new Array(400).fill(2.5)],
  ['one burst in silence', Array.from({ length: 400 }, (_, i) => (i === 200 ? 1000 : 0))],
  ['the tiniest and the largest', Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 1e-12 : 1e12))],
  ['a long outage', [...seasonal(1, 200), ...new Array(5000).fill(Number.NaN), ...seasonal(2, 100)]],
];

/** `effort` scales the number of random series, for forecasters whose fits take their time. */
export function forecasterContract(tap: typeof t, name: string, factory: ForecasterFactory = forecasterFactory(name), effort = 1): void {
  const runs = (n: number): number => Math.max(2, Math.round(n * effort));
  const fresh = (): Forecaster => factory.create(OPTIONS);

  tap.test(`${name}: says nothing before the first point, and is called what it was asked for by`, async (t) => {
    t.equal(fresh().forecast([1], [0.5]), null);
    t.equal(fresh().name, name);
  });

  tap.test(`${name}: state survives bytes: what is restored forecasts, and goes on learning, exactly alike`, async () => {
    const property = fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 0, max: 600 }), (seed, steps) => {
      const values = seasonal(seed, steps + 60);
      const one = feed(fresh(), values.slice(0, steps));
      const bytes = one.serialise();
      const other = factory.restore(OPTIONS, bytes);
      const before = JSON.stringify([answer(one), one.stateBytes]) === JSON.stringify([answer(other), other.stateBytes]);
      feed(one, values.slice(steps), steps);
      feed(other, values.slice(steps), steps);
      return before && JSON.stringify(answer(one)) === JSON.stringify(answer(other));
    });
    fc.assert(property, { numRuns: runs(12), seed: 1 });
  });

  tap.test(`${name}: refuses bytes that are not its own`, async (t) => {
    const good = feed(fresh(), seasonal(7, 100)).serialise();
    const flipped = good.slice();
    flipped[good.length - 9]! ^= 0x10;
    const other = name === 'last-value' ? 'decaying-histogram' : 'last-value';
    const bad: [string, Uint8Array, ForecasterOptions][] = [
      ['nothing', new Uint8Array(0), OPTIONS],
      ['noise', Uint8Array.from({ length: good.length }, (_, i) => (i * 37) & 255), OPTIONS],
      ['cut short', good.subarray(0, good.length - 8), OPTIONS],
      ['too long', Uint8Array.from([...good, 0, 0, 0, 0, 0, 0, 0, 0]), OPTIONS],
      ['one bit changed', flipped, OPTIONS],
      ['of another forecaster', forecasterFactory(other).create(OPTIONS).serialise(), OPTIONS],
      ['of another step', good, { ...OPTIONS, stepMs: 60_000 }],
    ];
    for (const [what, bytes, options] of bad) {
      let refused = false;
      try {
        factory.restore(options, bytes);
      } catch (error) {
        refused = isHeadroomError(error, 'STORE_CORRUPT');
      }
      t.ok(refused, `STORE_CORRUPT for ${what}`);
    }
  });

  tap.test(`${name}: the future changes nothing in the past`, async () => {
    const property = fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 300 }), (seed, cut) => {
      const values = seasonal(seed, 320);
      const one = fresh();
      const two = fresh();
      for (let i = 0; i < values.length; i++) {
        feed(one, [values[i]!], i);
        feed(two, [i < cut ? values[i]! : values[i]! * 50 + 1], i);
        if (i < cut && JSON.stringify(answer(one)) !== JSON.stringify(answer(two))) return false;
      }
      return JSON.stringify(answer(one)) !== JSON.stringify(answer(two));
    });
    fc.assert(property, { numRuns: runs(5), seed: 2 });
  });

  tap.test(`${name}: asking changes nothing`, async (t) => {
    const values = seasonal(11, 300);
    const asked = fresh();
    values.forEach((_, i) => {
      feed(asked, values.slice(i, i + 1), i);
      asked.forecast([1 + (i % 30)], [0.2, 0.97]);
    });
    t.same(answer(asked), answer(feed(fresh(), values)));
  });

  tap.test(`${name}: a point twice, a late point, one from long ago: ignored`, async (t) => {
    const values = seasonal(3, 300, 0);
    const plain = feed(fresh(), values);
    const disturbed = fresh();
    values.forEach((value, i) => {
      disturbed.observe({ timeMs: at(i), value });
      disturbed.observe({ timeMs: at(i), value: 99 });
      if (i > 3) disturbed.observe({ timeMs: at(i - 3), value: 77 });
    });
    disturbed.observe({ timeMs: 0, value: 55 });
    t.same(answer(disturbed), answer(plain));
  });

  tap.test(`${name}: quantiles never cross, never below zero, always numbers, at every horizon`, async () => {
    const value = fc.oneof(fc.double({ min: 0, max: 100, noNaN: true }), fc.constant(0), fc.constant(Number.NaN), fc.constant(1e9));
    const property = fc.property(fc.array(value, { minLength: 1, maxLength: 200 }), (values) => sound(feed(fresh(), values)));
    fc.assert(property, { numRuns: runs(40), seed: 3 });
  });

  for (const [what, values] of SPECIAL) {
    tap.test(`${name}: ${what}`, async (t) => t.ok(sound(feed(fresh(), values))));
  }

  tap.test(`${name}: refuses what is not a demand`, async (t) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
      t.throws(() => fresh().observe({ timeMs: at(0), value }), /demand/, `value ${value}`);
    }
  });
}

/** Null is an answer only to a series without a point. */
function sound(forecaster: Forecaster): boolean {
  const forecast = forecaster.forecast(HORIZONS, QUANTILES);
  if (forecast === null) return forecaster.forecast([1], [0.5]) === null;
  if (forecast.values.length !== HORIZONS.length * QUANTILES.length) return false;
  if (!(forecast.confidence >= 0 && forecast.confidence <= 1) || forecast.explanation === '') return false;
  return forecast.values.every(
    (value, i) => Number.isFinite(value) && value >= 0 && (i % QUANTILES.length === 0 || value >= forecast.values[i - 1]!),
  );
}
