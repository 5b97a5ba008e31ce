/**
 * Replays a trace through the allocator, causally. Input: a trace and options; output: the allocation in force during each
 * sample, NaN for the first, before which nothing was known; and how good the forecasts were after the first week.
 */
import { type AllocatorOptions, BacktestAllocator } from './allocator.ts';
import { type ForecastScore, ForecastScorer, SCORED_QUANTILES } from './forecast-score.ts';
import { WARM_UP_MS } from './score.ts';
import { othersAt, type Trace } from './trace.ts';

export interface Replayed {
  /** [samples] headline unit. */
  allocation: Float64Array;
  forecasts: ForecastScore[] | null;
}

export function replay(trace: Trace, options: Omit<AllocatorOptions, 'stepMs' | 'granted'>): Replayed {
  const { timesMs, used, granted, stepMs } = trace;
  const allocator = new BacktestAllocator({ ...options, stepMs, granted });
  const scorer = new ForecastScorer(stepMs);
  const allocation = new Float64Array(used.length).fill(Number.NaN);
  for (let i = 0; i < used.length - 1; i++) {
    const timeMs = timesMs[i]!;
    scorer.came(timeMs, Math.min(used[i]!, granted), timeMs - timesMs[0]! >= WARM_UP_MS);
    allocation[i + 1] = allocator.next(timeMs, used[i]!, othersAt(trace, i).others);
    if (Number.isNaN(used[i]!)) continue;
    const forecast = allocator.forecast(scorer.horizons, SCORED_QUANTILES);
    if (forecast !== null) scorer.expect(timeMs, forecast);
  }
  return { allocation, forecasts: scorer.scores() };
}
