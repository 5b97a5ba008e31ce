/**
 * Kubernetes' recommendation for memory (autoscaler, vertical-pod-autoscaler/pkg/recommender): a histogram of daily peaks
 * that halve in weight every day; an out-of-memory kill counts as a peak 20 % or 100 MiB above. Input: a trace in
 * MiB; output: lower bound, target and upper bound for each sample, from earlier samples.
 */
import { DAY_MS } from './score.ts';
import type { Trace } from './trace.ts';

const QUANTILES = [0.5, 0.9, 0.95] as const;
/** Older peaks weigh under a ten-thousandth. */
const DAYS_KEPT = 14;
const MIB_MIN = 250;
const OOM_GROWTH = 1.2;
const OOM_GROWTH_MIB = 100;

/** [lower, target, upper], each [samples] MiB. */
export function memoryTargets({ timesMs, used, granted }: Trace, margin: number): Float64Array[] {
  const out = QUANTILES.map(() => new Float64Array(used.length).fill(Number.NaN));
  const peaks: number[] = [0];
  let day = 0;
  for (let i = 0; i < used.length; i++) {
    const today = Math.floor((timesMs[i]! - timesMs[0]!) / DAY_MS);
    for (; day < today; day++) peaks.unshift(0);
    if (peaks.length > DAYS_KEPT) peaks.length = DAYS_KEPT;
    QUANTILES.forEach((q, j) => {
      const value = weighted(peaks, q);
      out[j]![i] = value === null ? Number.NaN : Math.max(MIB_MIN, margin * value);
    });
    if (Number.isNaN(used[i]!)) continue;
    const limit = Math.min(granted, Number.isNaN(out[1]![i]!) ? granted : out[1]![i]!);
    peaks[0] = Math.max(peaks[0]!, used[i]!);
    const base = Math.max(limit, peaks[0]!);
    if (used[i]! > limit) peaks[0] = Math.max(base + OOM_GROWTH_MIB, base * OOM_GROWTH);
  }
  return out;
}

/** Quantile of daily peaks, newest first; null before the first. */
function weighted(peaks: readonly number[], q: number): number | null {
  const rows = peaks.map((peak, age) => ({ peak, weight: 2 ** -age })).filter(({ peak }) => peak > 0);
  rows.sort((a, b) => a.peak - b.peak);
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  let below = 0;
  for (const { peak, weight } of rows) {
    below += weight;
    if (below >= q * total) return peak;
  }
  return null;
}
