/**
 * Goal: the sizer's view of a forecast agrees with sampling from it; it spends its violation budget and no more, where
 * covering is expensive, and not on alarms of what never comes; it keeps to its resize budget, floor and ceiling, and takes nothing on thin evidence.
 */
import t from 'tap';
import type { Forecast } from '../../aggregator/core/forecast/forecaster.ts';
import {
  BudgetSizer,
  HORIZON_WEIGHTS,
  SIZER_HORIZONS,
  SIZER_QUANTILES,
  type SizerOptions,
} from '../../aggregator/core/plan/budget-sizer.ts';
import { outlookOf } from '../../aggregator/core/plan/exceedance.ts';
import { createPrng } from '../../shared/prng.ts';

const OPTIONS: SizerOptions = { violationBudget: 0.01, resizeBudget: 0.07, floor: 0.1, ceiling: 100 };

/** A forecast that is right: demand is scale × an exponential variable of this width on the log scale. */
const forecastOf = (scale: number, width: number, confidence = 1): Forecast => ({
  quantiles: SIZER_QUANTILES,
  horizons: SIZER_HORIZONS,
  values: Float64Array.from(SIZER_HORIZONS.flatMap(() => SIZER_QUANTILES.map((q) => scale * (1 - q) ** -width))),
  confidence,
  explanation: 'made',
});
const drawn = (scale: number, width: number, uniform: number): number => scale * (1 - uniform) ** -width;

t.test('idle share and risk agree with sampling', async (t) => {
  for (const [scale, width] of [
    [1, 0.05],
    [1, 0.3],
    [20, 0.15],
  ] as const) {
    const random = createPrng(1, `${scale} ${width}`);
    const draws = Array.from({ length: 200_000 }, () => drawn(scale, width, random.next()));
    for (const level of [0.6, 0.93, 0.985, 0.999]) {
      const allocation = scale * (1 - level) ** -width;
      const out = { idle: 0, risk: 0 };
      outlookOf(forecastOf(scale, width), HORIZON_WEIGHTS, allocation, out);
      const idle = draws.reduce((sum, d) => sum + Math.max(0, 1 - d / allocation), 0) / draws.length;
      // Between levels the mass is taken in the middle, though a heavy tail has more of it below.
      t.ok(Math.abs(out.idle - idle) < 0.03, `width ${width}, level ${level}: idle ${out.idle.toFixed(4)}, sampled ${idle.toFixed(4)}`);
      t.ok(Math.abs(out.risk / (1 - level) - 1) < 0.15, `width ${width}, level ${level}: risk ${out.risk.toFixed(5)}`);
    }
  }
});

t.test('beyond the last level risk goes on falling; below the first it is certain', async (t) => {
  const forecast = forecastOf(1, 0.2);
  const top = forecast.values[SIZER_QUANTILES.length - 1]!;
  const risks = [0.1, top, 1.2 * top, 2 * top].map((allocation) => {
    const out = { idle: 0, risk: 0 };
    outlookOf(forecast, HORIZON_WEIGHTS, allocation, out);
    return out.risk;
  });
  t.equal(risks[0], 1);
  t.ok(risks[1]! > risks[2]! && risks[2]! > risks[3]! && risks[3]! > 0, risks.join(' '));
});

/** Plays steps whose width changes; returns what happened in the second half. */
function played(options: SizerOptions, seed: number, steps: number, widthAt: (step: number) => number) {
  const random = createPrng(seed, 'sizer');
  const sizer = new BudgetSizer(options);
  const seen = { violations: 0, resizes: 0, steps: 0, missed: new Map<number, number>() };
  let before = sizer.allocation;
  for (let step = 0; step < steps; step++) {
    const width = widthAt(step);
    const now = sizer.decide(forecastOf(1, width));
    const demand = drawn(1, width, random.next());
    sizer.observe(demand);
    if (step >= steps / 2) {
      seen.steps++;
      if (now !== before) seen.resizes++;
      if (demand > now) {
        seen.violations++;
        seen.missed.set(width, (seen.missed.get(width) ?? 0) + 1);
      }
    }
    before = now;
  }
  return seen;
}

t.test('violations meet the budget, whatever it is', async (t) => {
  for (const violationBudget of [0.05, 0.01, 0.002]) {
    for (const seed of [1, 2]) {
      const { violations, steps } = played({ ...OPTIONS, violationBudget }, seed, violationBudget < 0.005 ? 40_000 : 16_000, (step) =>
        step % 288 < 100 ? 0.3 : 0.1,
      );
      const rate = violations / steps;
      t.ok(rate < 1.1 * violationBudget && rate > 0.7 * violationBudget, `seed ${seed}, budget ${violationBudget}: ${rate.toFixed(5)}`);
    }
  }
});

t.test('the budget is spent where covering is expensive', async (t) => {
  const { missed } = played(OPTIONS, 3, 20_000, (step) => (step % 288 < 144 ? 0.4 : 0.05));
  t.ok((missed.get(0.4) ?? 0) > 1.5 * (missed.get(0.05) ?? 0), `violations by width: ${JSON.stringify([...missed])}`);
});

t.test('resizes keep to their budget, and to twice as much where a change is worth a lot', async (t) => {
  for (const resizeBudget of [0.02, 0.07, 0.2]) {
    const random = createPrng(4, 'widths');
    const { resizes, steps } = played({ ...OPTIONS, resizeBudget }, 5, 10_000, () => 0.05 + 0.4 * random.next());
    const share = resizes / steps;
    t.ok(share <= 2 * 1.1 * resizeBudget && share > 0.5 * resizeBudget, `budget ${resizeBudget}: ${share.toFixed(4)}`);
  }
});

t.test('who gains more by changing changes more often, within a bound', async (t) => {
  const share = (wide: number): number => {
    // A burst every thirteen steps, for which the sizer could grow and shrink again.
    const { resizes, steps } = played(OPTIONS, 6, 10_000, (step) => (step % 13 === 0 ? wide : 0.02));
    return resizes / steps / OPTIONS.resizeBudget;
  };
  const [calm, wild] = [share(0.03), share(1)];
  t.ok(calm <= 1.05, `calm: ${calm.toFixed(2)} of the budget`);
  t.ok(wild > 1.2 && wild <= 2.1, `wild: ${wild.toFixed(2)} of the budget`);
});

t.test('alarms of what never came yet count less with time; those of what is likely count in full', async (t) => {
  const random = createPrng(7, 'alarms');
  const sizer = new BudgetSizer({ ...OPTIONS, resizeBudget: 1 });
  const CALM = forecastOf(1, 0.05);
  const ALARM = forecastOf(1, 0.5);
  const allocations: number[] = [];
  let record = 0;
  for (let step = 0; step < 10_000; step++) {
    const demand = drawn(1, 0.05, random.next());
    record = Math.max(record, demand);
    sizer.observe(demand);
    const allocation = sizer.decide(step % 10 === 0 ? ALARM : CALM);
    if (step % 10 === 0) allocations.push(allocation);
  }
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [early, late] = [mean(allocations.slice(5, 25)), mean(allocations.slice(-200))];
  const likely = ALARM.values[2]!;
  t.ok(late >= likely, `what comes one time in ten (${likely.toFixed(2)}) is covered: ${late.toFixed(2)}`);
  t.ok(
    late < 1.2 * likely && late < 0.8 * early,
    `and little more: ${late.toFixed(2)}, after ${early.toFixed(2)}; record ${record.toFixed(2)}`,
  );
});

t.test('a VM that grows, whose every violation is a record, keeps its budget as well', async (t) => {
  const violationBudget = 0.002;
  for (const seed of [8, 9]) {
    const random = createPrng(seed, 'growth');
    const sizer = new BudgetSizer({ ...OPTIONS, violationBudget, ceiling: 1e9 });
    let violations = 0;
    for (let step = 0; step < 20_000; step++) {
      const scale = 2 ** (step / 1000);
      sizer.decide(forecastOf(scale, 0.1));
      const demand = drawn(scale, 0.1, random.next());
      if (demand > sizer.allocation && step >= 2000) violations++;
      sizer.observe(demand);
    }
    const rate = violations / 18_000;
    t.ok(rate < 1.15 * violationBudget, `seed ${seed}: ${rate.toFixed(5)}`);
  }
});

t.test('floor and ceiling hold', async (t) => {
  const low = new BudgetSizer({ ...OPTIONS, floor: 5 });
  t.equal(low.allocation, 100, 'the first allocation is the ceiling');
  t.equal(low.decide(forecastOf(1, 0.1)), 5);
  t.equal(new BudgetSizer(OPTIONS).decide(forecastOf(1e6, 0.1)), 100);
});

t.test('a forecast of thin confidence takes nothing', async (t) => {
  const sizer = new BudgetSizer(OPTIONS);
  t.equal(sizer.decide(forecastOf(1, 0.1, 0.19)), 100);
  t.ok(sizer.decide(forecastOf(1, 0.1, 0.2)) < 10);
});

t.test('growth that is worth it does not wait', async (t) => {
  const sizer = new BudgetSizer(OPTIONS);
  for (let i = 0; i < 500; i++) {
    sizer.decide(forecastOf(1, 0.1));
    sizer.observe(1.2);
  }
  t.ok(sizer.allocation < 5);
  t.ok(sizer.decide(forecastOf(20, 0.1)) > 20, 'at once, when the forecast rises twentyfold');
});

t.test('nonsense is refused', async (t) => {
  t.throws(() => new BudgetSizer({ ...OPTIONS, violationBudget: 0 }), /violation budget/);
  t.throws(() => new BudgetSizer({ ...OPTIONS, resizeBudget: 2 }), /resize budget/);
  t.throws(() => new BudgetSizer({ ...OPTIONS, ceiling: 0.01 }), /ceiling/);
});
