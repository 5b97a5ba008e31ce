/**
 * What others would have granted, for the table beside Headroom's row. Input: a trace and the violation budget; output: the
 * allocation in force during each sample, made from earlier samples only (the oracle excepted, which is a bound).
 * Recommendations pass one common actuator: rounded up to 1 % of the size, raised at once, lowered by 10 % or more.
 */
import type { Forecaster } from '../forecast/forecaster.ts';
import { forecasterFactory } from '../forecast/registry.ts';

import { memoryTargets } from './memory-peaks.ts';
import { DAY_MS, percentile, WARM_UP_MS } from './score.ts';
import type { BacktestResource, Trace } from './trace.ts';

const HOUR_MS = 3600 * 1000;
/** VPA's defaults: 15 % on top of its percentile, at least 25 millicores. */
const VPA_MARGIN = 1.15;
const VPA_CORES_MIN = 0.025;
/** VPA's updater leaves a change of over 10 % alone until the last one is 12 hours old. */
const UPDATER_SHARE = 0.1;
const UPDATER_REST_MS = 12 * HOUR_MS;
/** Autopilot (Rzadca et al., EuroSys 2020): percentile of a histogram with a half-life of 12 h for CPU and 48 h for memory, held for an hour. */
const AUTOPILOT_HALF_LIFE_MS: Readonly<Record<BacktestResource, number>> = {
  cpu: 12 * HOUR_MS,
  memory: 48 * HOUR_MS,
  cpumax: 12 * HOUR_MS,
};
const AUTOPILOT_QUANTILE = 0.98;
const REACTIVE_TARGET = 0.7;
const ACTUATOR_SHARE = 0.01;
const ACTUATOR_DEAD_BAND = 0.1;
/** Errors of the last hour's maximum are remembered for a week; their quantile is taken anew every hour. */
const RESIDUAL_MEMORY_MS = 7 * DAY_MS;

export const BASELINES = [
  'granted',
  'week1Peak',
  'reactive70',
  'vpa',
  'vpaDefaultUpdater',
  'autopilot',
  'persistenceQuantile',
  'oracleNextHour',
] as const;
export type Baseline = (typeof BASELINES)[number];

export function baselineAllocations(trace: Trace, resource: BacktestResource, violationBudget: number): Record<Baseline, Float64Array> {
  const perHour = Math.max(1, Math.round(HOUR_MS / trace.stepMs));
  const bounds = vpaBounds(trace, resource);
  return {
    granted: new Float64Array(trace.used.length).fill(trace.granted),
    week1Peak: actuated(trace, weekOnePeak(trace)),
    reactive70: actuated(
      trace,
      before(trace, (value) => value / REACTIVE_TARGET),
    ),
    vpa: actuated(trace, bounds.target),
    vpaDefaultUpdater: updated(trace, bounds),
    autopilot: actuated(trace, trailingMaximum(autopilot(trace, resource), perHour)),
    persistenceQuantile: actuated(trace, persistence(trace, perHour, 1 - violationBudget)),
    oracleNextHour: actuated(trace, nextMaximum(trace.used, perHour)),
  };
}

/** The common actuator. NaN = nothing recommended: as it was, at first the size. */
function actuated({ granted }: Trace, recommended: Float64Array): Float64Array {
  const unit = ACTUATOR_SHARE * granted;
  let current = granted;
  return recommended.map((wish) => {
    if (Number.isNaN(wish)) return current;
    const rounded = Math.min(granted, Math.max(unit, Math.ceil(wish / unit - 1e-9) * unit));
    if (rounded > current || rounded <= (1 - ACTUATOR_DEAD_BAND + 1e-9) * current) current = rounded;
    return current;
  });
}

/** For each sample, a function of the newest known value before it. */
function before({ used }: Trace, of: (value: number) => number): Float64Array {
  const out = new Float64Array(used.length).fill(Number.NaN);
  let known = Number.NaN;
  for (let i = 0; i < used.length; i++) {
    out[i] = of(known);
    if (!Number.isNaN(used[i]!)) known = used[i]!;
  }
  return out;
}

function weekOnePeak({ timesMs, used }: Trace): Float64Array {
  const out = new Float64Array(used.length).fill(Number.NaN);
  let peak = Number.NaN;
  for (let i = 0; i < used.length; i++) {
    if (timesMs[i]! - timesMs[0]! >= WARM_UP_MS) out[i] = peak;
    else if (!(used[i]! <= peak) && !Number.isNaN(used[i]!)) peak = used[i]!;
  }
  return out;
}

interface VpaBounds {
  lower: Float64Array;
  target: Float64Array;
  upper: Float64Array;
}

function histogram(trace: Trace, halfLifeMs: number): Forecaster {
  return forecasterFactory('decaying-histogram').create({ stepMs: trace.stepMs, seasonsMs: [halfLifeMs] });
}

/** Kubernetes' recommender (autoscaler, vertical-pod-autoscaler/pkg/recommender): p50, p90 and p95, each with 15 %. */
function vpaBounds(trace: Trace, resource: BacktestResource): VpaBounds {
  const { timesMs, used } = trace;
  const n = used.length;
  if (resource === 'memory') {
    const [lower, target, upper] = memoryTargets(trace, VPA_MARGIN) as [Float64Array, Float64Array, Float64Array];
    return { lower, target, upper };
  }
  const bounds: VpaBounds = { lower: new Float64Array(n), target: new Float64Array(n), upper: new Float64Array(n) };
  const model = histogram(trace, DAY_MS);
  for (let i = 0; i < n; i++) {
    const values = model.forecast([1], [0.5, 0.9, 0.95])?.values;
    const [lower, target, upper] = [0, 1, 2].map((j) => Math.max(VPA_CORES_MIN, VPA_MARGIN * (values?.[j] ?? Number.NaN)));
    bounds.lower[i] = lower!;
    bounds.target[i] = target!;
    bounds.upper[i] = upper!;
    if (!Number.isNaN(used[i]!)) model.observe({ timeMs: timesMs[i]!, value: used[i]! });
  }
  return bounds;
}

/** The updater evicts only when out of bounds, which widen while history is short, or after 12 hours for 10 %. */
function updated({ timesMs, granted }: Trace, { lower, target, upper }: VpaBounds): Float64Array {
  const unit = ACTUATOR_SHARE * granted;
  const out = new Float64Array(target.length);
  let current = granted;
  let changedMs = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < target.length; i++) {
    const days = Math.max(1 / 24, (timesMs[i]! - timesMs[0]!) / DAY_MS);
    const wish = Math.min(granted, Math.max(unit, Math.ceil(target[i]! / unit - 1e-9) * unit));
    const outside = current < lower[i]! * (1 + 0.001 / days) ** -2 || current > upper[i]! * (1 + 1 / days);
    const due = Math.abs(wish - current) >= UPDATER_SHARE * current && timesMs[i]! - changedMs >= UPDATER_REST_MS;
    if (!Number.isNaN(wish) && wish !== current && (outside || due)) {
      current = wish;
      changedMs = timesMs[i]!;
    }
    out[i] = current;
  }
  return out;
}

function autopilot(trace: Trace, resource: BacktestResource): Float64Array {
  const { timesMs, used } = trace;
  const model = histogram(trace, AUTOPILOT_HALF_LIFE_MS[resource]);
  return used.map((value, i) => {
    const wish = model.forecast([1], [AUTOPILOT_QUANTILE])?.values[0] ?? Number.NaN;
    if (!Number.isNaN(value)) model.observe({ timeMs: timesMs[i]!, value });
    return wish * VPA_MARGIN;
  });
}

/** The last hour's maximum and a quantile of how far the next hour's went above it. */
function persistence({ used, stepMs }: Trace, perHour: number, level: number): Float64Array {
  const memory = Math.round(RESIDUAL_MEMORY_MS / stepMs);
  const trailing = trailingMaximum(shifted(used), perHour);
  const following = nextMaximum(used, perHour);
  const out = new Float64Array(used.length).fill(Number.NaN);
  let margin = Number.NaN;
  for (let i = 0; i < used.length; i++) {
    // The residual of sample k is known once its hour is over.
    if (i % perHour === 0 && i >= 2 * perHour) {
      const residuals: number[] = [];
      for (let k = Math.max(0, i - perHour - memory); k <= i - perHour; k++) {
        const residual = following[k]! - trailing[k]!;
        if (!Number.isNaN(residual)) residuals.push(residual);
      }
      margin = Math.max(0, percentile(residuals, level));
    }
    out[i] = trailing[i]! + margin;
  }
  return out;
}

/** What was known before each sample. */
function shifted(values: Float64Array): Float64Array {
  const out = new Float64Array(values.length).fill(Number.NaN);
  out.set(values.subarray(0, Math.max(0, values.length - 1)), 1);
  return out;
}

/** Largest known of this and the samples before it; NaN when none is known. */
function trailingMaximum(values: Float64Array, count: number): Float64Array {
  return values.map((_, i) => largest(values.subarray(Math.max(0, i - count + 1), i + 1)));
}

/** Largest known of this and the samples after it. */
function nextMaximum(values: Float64Array, count: number): Float64Array {
  return values.map((_, i) => largest(values.subarray(i, i + count)));
}

function largest(values: Float64Array): number {
  let most = Number.NaN;
  for (const value of values) if (!Number.isNaN(value) && !(most >= value)) most = value;
  return most;
}
