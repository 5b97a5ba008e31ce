/** Goal: a report tells on which VMs Headroom should not be enabled, each for its own reason, and is silent on those it serves well. */
import t from 'tap';
import { type AgainstCode, reasonsAgainst } from '../../aggregator/core/backtest/advice.ts';
import { scoreVm } from '../../aggregator/core/backtest/score.ts';
import type { Trace } from '../../aggregator/core/backtest/trace.ts';

const STEP_MS = 300_000;
const DAY = 288;
const BUDGET = 0.01;

function traceOf(valueAt: (i: number) => number, { steps = 20 * DAY, stepMs = STEP_MS, granted = 4 } = {}): Trace {
  return {
    vm: 'made',
    stepMs,
    granted,
    timesMs: Float64Array.from({ length: steps }, (_, i) => i * stepMs),
    used: Float64Array.from({ length: steps }, (_, i) => valueAt(i)),
  };
}

const wave = (i: number): number => 1 + 0.5 * Math.sin((2 * Math.PI * i) / DAY);

function codes(trace: Trace, allocation: (i: number) => number): AgainstCode[] {
  const score = scoreVm(
    trace,
    Float64Array.from(trace.used, (_, i) => allocation(i)),
  );
  return reasonsAgainst(trace, score, BUDGET).map(({ code }) => code);
}

t.test('each reason alone', async (t) => {
  const cases: [string, AgainstCode[], Trace, (i: number) => number][] = [
    ['a VM with a daily shape, well served', [], traceOf(wave), () => 2],
    ['ten days', ['short-history'], traceOf(wave, { steps: 10 * DAY }), () => 2],
    ['a third missing', ['gaps'], traceOf((i) => (i % 3 === 0 ? Number.NaN : wave(i))), () => 2],
    ['samples of half an hour', ['coarse'], traceOf(wave, { stepMs: 6 * STEP_MS, steps: 20 * 48 }), () => 2],
    ['at its limit one time in twenty', ['saturated'], traceOf((i) => (i % 20 === 0 ? 4 : wave(i))), (i) => (i % 20 === 0 ? 3.9999999 : 2)],
    ['it never moves', ['constant'], traceOf(() => 0.5), () => 1],
    ['twice the budget', ['budget-missed'], traceOf(wave), (i) => (i % 50 === 0 ? 0.1 : 2)],
    ['nothing to gain', ['no-gain'], traceOf(wave), () => 3.95],
  ];
  for (const [name, expected, trace, allocation] of cases) t.same(codes(trace, allocation), expected, name);
});

t.test('a budget missed by chance is no reason', async (t) => {
  const few = traceOf(wave, { steps: 14 * DAY });
  const share = (every: number) => codes(few, (i) => (i % every === 0 ? 0.1 : 2));
  t.same(share(80), [], '1.25 % where 1 % was asked');
  t.same(share(30), ['budget-missed'], '3.3 %');
});

t.test('within its first week a VM is not scored, but told of', async (t) => {
  const trace = traceOf(wave, { steps: 3 * DAY });
  const [reason] = reasonsAgainst(trace, null, BUDGET);
  t.match(reason, { code: 'short-history', words: '3.0 days of history: two weeks show whether weeks repeat' });
});
