/**
 * Goal: fits made in threads are those made in place; a pool keeps to its CPU budget, trains the network, refuses when it is
 * closed; the loop fits what is due, and a fit that fails costs that model its fit and nothing else.
 */
import t from 'tap';
import type { FitRequest, Fitting } from '../../aggregator/core/forecast/fitted/fit.ts';
import { lstmSeries } from '../../aggregator/core/forecast/lstm/lstm-inputs.ts';
import { WEIGHTS } from '../../aggregator/core/forecast/lstm/lstm-network.ts';
import { ENSEMBLE, forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { DemandModels } from '../../aggregator/core/state/demand-models.ts';
import { FitPool } from '../../aggregator/fit/fit-pool.ts';
import { fitInPlace } from '../../aggregator/fit/fitters.ts';
import { runFits } from '../../aggregator/loops/fit-loop.ts';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';

const DAY = 48;
const STEP_MS = 300_000;
const random = createPrng(2, 'fit-pool');
/** It rises day by day, which families of trend tell better than the usual level at a time of day. */
const values = Float64Array.from(
  { length: 4 * DAY },
  (_, step) => Math.sin((2 * Math.PI * step) / DAY) + 0.006 * step + 0.1 * random.next(),
);
const request = (family: FitRequest['family']): FitRequest => ({
  family,
  fromStep: 0,
  stepMs: STEP_MS,
  values,
  seasons: [DAY],
  ahead: 2 * DAY,
});

t.test('a thread fits as it is fitted in place', async (t) => {
  const pool = new FitPool({ clock: systemClock, threads: 2, cpuShare: 1 });
  t.teardown(() => pool.close());
  const families = ['exponential-smoothing', 'mstl', 'prophet', 'arima'] as const;
  const fits = await Promise.all(families.map((family) => pool.fit(request(family))));
  fits.forEach(({ fit, cpuSeconds }, i) => {
    t.same(fit, fitInPlace(request(families[i]!)), families[i]!);
    t.equal(fit?.length, 1 + 2 * DAY);
    t.ok(cpuSeconds > 0);
  });
  t.equal((await pool.fit({ ...request('mstl'), values: new Float64Array(200).fill(1) })).fit, null, 'nothing to fit in a constant');
});

t.test('a pool trains the network, the same from the same seed', async (t) => {
  const pool = new FitPool({ clock: systemClock, threads: 1, cpuShare: 1 });
  t.teardown(() => pool.close());
  const series = [lstmSeries(values.map(Math.exp), [DAY], 0.01)];
  const one = await pool.train(series, 7, 3);
  t.equal(one.weights?.length, WEIGHTS);
  t.same((await pool.train(series, 7, 3)).weights, one.weights);
  t.equal((await pool.train([], 7, 3)).weights, null, 'nothing to learn from');
});

t.test('a thread rests until it has used its share', async (t) => {
  const pool = new FitPool({ clock: systemClock, threads: 1, cpuShare: 0.2 });
  t.teardown(() => pool.close());
  // The first starts the thread, which takes its time.
  await pool.fit(request('exponential-smoothing'));
  const startedMs = systemClock.monotonicMs();
  const { cpuSeconds } = await pool.fit(request('prophet'));
  await pool.fit(request('exponential-smoothing'));
  const tookMs = systemClock.monotonicMs() - startedMs;
  t.ok(tookMs >= 0.9 * 5 * 1000 * cpuSeconds, `${tookMs.toFixed(0)} ms with ${(1000 * cpuSeconds).toFixed(0)} ms of CPU`);
});

t.test('a closed pool refuses, and what waited is told', async (t) => {
  const pool = new FitPool({ clock: systemClock, threads: 1, cpuShare: 1 });
  const waiting = [pool.fit(request('prophet')), pool.fit(request('mstl'))];
  const ends = Promise.allSettled(waiting);
  await pool.close();
  for (const end of await ends) t.match(end, { status: 'rejected', reason: { code: 'CANCELLED' } });
  await t.rejects(pool.fit(request('mstl')), { code: 'CANCELLED' });
});

t.test('the models of a VM are fitted when due, by what earns it first, and tell of it', async (t) => {
  const models = new DemandModels({ stepMs: STEP_MS, seasonsMs: [DAY * STEP_MS], factory: forecasterFactory }, { cpu: 0.01 });
  const service = { fit: async (asked: FitRequest) => ({ fit: fitInPlace(asked), cpuSeconds: 0 }), close: async () => {} };
  const failures: unknown[] = [];
  const run = (due: Iterable<Fitting>, fitting: { fit: typeof service.fit; close: typeof service.close } = service) =>
    runFits({ due, service: fitting, stopped: () => false, onFailure: (error) => failures.push(error) });
  for (let step = 0; step < 2 * DAY; step++) models.observe('cpu', ENSEMBLE, { startMs: step * STEP_MS, value: Math.exp(values[step]!) });
  t.equal(models.fitsDue().length, 1);
  let rounds = 0;
  while (models.fitsDue().length > 0 && rounds < 10) rounds += await run(models.fitsDue());
  t.equal(rounds, 4, 'each of the four families once');
  for (let step = 2 * DAY; step < 3 * DAY; step++)
    models.observe('cpu', ENSEMBLE, { startMs: step * STEP_MS, value: Math.exp(values[step]!) });
  const broken = { fit: () => Promise.reject(new HeadroomError('ENVIRONMENT', 'no thread')), close: async () => {} };
  t.equal(await run(models.fitsDue(), broken), 0);
  t.equal(failures.length, 1, 'told');
  for (let step = 3 * DAY; step < 4 * DAY; step++)
    models.observe('cpu', ENSEMBLE, { startMs: step * STEP_MS, value: Math.exp(values[step]!) });
  const policy = { leadMs: 3 * STEP_MS, shrinkHorizonMs: 3 * STEP_MS, violationBudget: 0.01 };
  const forecast = models.forecast('cpu', policy as unknown as Parameters<DemandModels['forecast']>[1]);
  t.match(forecast?.explanation, /from 192 steps: .* – together \d+ %, beside .*\(\d+ %\)/);
});
