/**
 * Goal: the heavy families, each fitted in place, and the ensemble of all keep the contract of the Forecaster seam; what a
 * fit says of a seasonal series is closer than the last value, and a series that gives nothing to fit is served all the same.
 */
import t from 'tap';
import { familyFactory, familyNames } from '../../aggregator/core/forecast/families.ts';
import type { FitFamily, Fitter } from '../../aggregator/core/forecast/fitted/fit.ts';
import { PATH_FAMILIES } from '../../aggregator/core/forecast/fitted/fitted-forecaster.ts';
import { lstmSeries } from '../../aggregator/core/forecast/lstm/lstm-inputs.ts';
import { trainLstm } from '../../aggregator/core/forecast/lstm/lstm-training.ts';
import { ENSEMBLE, type FamilyParts } from '../../aggregator/core/forecast/registry.ts';
import { fitInPlace } from '../../aggregator/fit/fitters.ts';
import { createPrng } from '../../shared/prng.ts';
import { forecasterContract } from './forecaster-contract.ts';

const DAY = 48;
const STEP_MS = 300_000;
const OPTIONS = { stepMs: STEP_MS, seasonsMs: [DAY * STEP_MS], resolution: 0.01 };
/** A day's wave under noise. */
const wave = (step: number, noise: number): number => 2 + Math.sin((2 * Math.PI * step) / DAY) + 0.05 * noise;

const made = createPrng(5, 'families');
const network = trainLstm(
  [
    lstmSeries(
      Array.from({ length: 600 }, (_, step) => wave(step, made.next())),
      [DAY],
      0.01,
    ),
  ],
  createPrng(1, 'network'),
  60,
);
t.ok(network, 'a network was trained');

/** The contract plays every series twice: the same request has the same answer. */
const known = new Map<string, Float64Array | null>();
const remembered: Fitter = (request) => {
  const key = `${request.family} ${request.seasons} ${request.values.join()}`;
  const before = known.get(key);
  if (before !== undefined) return before;
  const fit = fitInPlace(request);
  known.set(key, fit);
  return fit;
};

const parts: FamilyParts = { fitter: remembered, network };
const HEAVY = familyNames(parts).filter(
  (name) => name === 'lstm' || name === ENSEMBLE || PATH_FAMILIES.some((family) => family.name === name),
);
t.equal(HEAVY.length, 6, 'all heavy families were looked at');
for (const name of HEAVY) forecasterContract(t, name, familyFactory(name, parts), name === 'lstm' ? 1 : 0.15);

t.test('a fit of a seasonal series sees its turn, and is no further off than the last value', async (t) => {
  const random = createPrng(3, 'turn');
  const values = Array.from({ length: 8 * DAY }, (_, step) => wave(step, random.next()));
  // A quarter day before the peak the last value is far off what comes.
  const from = 7 * DAY;
  for (const family of ['mstl', 'prophet', 'arima'] satisfies FitFamily[]) {
    const forecaster = familyFactory(family, parts).create(OPTIONS);
    for (let step = 0; step < from; step++) forecaster.observe({ timeMs: step * STEP_MS, value: values[step]! });
    const [median, high] = forecaster.forecast([DAY / 4], [0.5, 0.99])!.values as unknown as [number, number];
    const truth = values[from - 1 + DAY / 4]!;
    t.ok(Math.abs(median - truth) < 0.3 * Math.abs(values[from - 1]! - truth), `${family}: ${median.toFixed(2)} for ${truth.toFixed(2)}`);
    t.ok(high > median, `${family}: room above`);
  }
});

t.test('a fit that comes late is caught up with', async (t) => {
  const random = createPrng(4, 'late');
  const late = familyFactory('mstl', { fitter: null, network: null }).create(OPTIONS);
  const prompt = familyFactory('mstl', parts).create(OPTIONS);
  let asked: ReturnType<NonNullable<typeof fitting.fitWanted>> = null;
  const fitting = late as typeof late & import('../../aggregator/core/forecast/fitted/fit.ts').Fitting;
  for (let step = 0; step < 2 * DAY + 5; step++) {
    const value = wave(step, random.next());
    late.observe({ timeMs: step * STEP_MS, value });
    prompt.observe({ timeMs: step * STEP_MS, value });
    asked ??= fitting.fitWanted();
  }
  t.not(fitting.fitted, true);
  fitting.adoptFit(asked!, remembered(asked!));
  t.equal(fitting.fitted, true);
  t.equal(fitting.fitDue, false, 'and none is wanted for a while');
  const [one, other] = [late, prompt].map((forecaster) => forecaster.forecast([1], [0.5])!.values[0]!) as [number, number];
  t.ok(Math.abs(one - other) < 0.15, `${one.toFixed(3)} as ${other.toFixed(3)} fitted at once`);
});
