/**
 * Goal: families are scored as the words say (a known error gives a known loss and MASE), and on a real VM the mixtures are
 * never worse than the decaying histogram, the ensemble close to the best of its families.
 */
import t from 'tap';
import { readTrace } from '../../aggregator/cli/backtest/trace-file.ts';
import { scoreFamily } from '../../aggregator/core/backtest/family-score.ts';
import { DAY_MS } from '../../aggregator/core/backtest/score.ts';
import type { Trace } from '../../aggregator/core/backtest/trace.ts';
import { familyFactory } from '../../aggregator/core/forecast/families.ts';
import { fitInPlace } from '../../aggregator/fit/fitters.ts';
import { bundledTrace } from '../support/traces.ts';

const STEP_MS = 300_000;
const DAYS = 12;
const parts = { fitter: fitInPlace, network: null };

t.test('a sawtooth, forecast by its last value', async (t) => {
  const samples = (9 * DAY_MS) / STEP_MS;
  const trace: Trace = {
    vm: 'sawtooth',
    stepMs: STEP_MS,
    timesMs: Float64Array.from({ length: samples }, (_, i) => i * STEP_MS),
    used: Float64Array.from({ length: samples }, (_, i) => 1 + (i % 2)),
    granted: 4,
  };
  const score = scoreFamily(trace, familyFactory('last-value', parts))!;
  // Three steps ahead it is off by 1 each time, half of it above; twelve ahead it is right.
  t.same(
    score.mase.map((value) => Number(value.toFixed(6))),
    [1, 0],
  );
  const [median, , high] = score.scores.map(({ pinballLoss }) => pinballLoss) as [number, number, number];
  t.ok(Math.abs(median - 0.5 / 1.5) < 0.001, `pinball loss of the median: ${median}`);
  t.ok(Math.abs(high - 0.5 / 1.5) < 0.001, `0.99 above half of the time, 0.01 the other: ${high}`);
  t.equal(
    scoreFamily({ ...trace, timesMs: trace.timesMs.slice(0, 100), used: trace.used.slice(0, 100) }, familyFactory('last-value', parts)),
    null,
  );
});

t.test('a real VM: mixtures are no worse than the histogram, the ensemble is close to the best', async (t) => {
  const whole = (await readTrace(bundledTrace('az-p08'), 'cpu'))!;
  const samples = (DAYS * DAY_MS) / whole.stepMs;
  const trace = { ...whole, timesMs: whole.timesMs.slice(0, samples), used: whole.used.slice(0, samples) };
  const loss = (name: string): number => scoreFamily(trace, familyFactory(name, parts))!.pinballLoss;
  const histogram = loss('decaying-histogram');
  const ensemble = loss('ensemble');
  t.ok(loss('aggregate') < histogram, 'the aggregate');
  t.ok(ensemble < histogram, 'the ensemble');
  const singles = ['quantile-regression', 'prophet', 'mstl', 'exponential-smoothing', 'arima'].map((name) => [name, loss(name)] as const);
  const best = Math.min(...singles.map(([, one]) => one));
  t.ok(ensemble <= 1.02 * best, `${ensemble.toFixed(5)} beside ${singles.map(([name, one]) => `${name} ${one.toFixed(5)}`).join(', ')}`);
});
