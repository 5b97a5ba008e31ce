/**
 * How one model family forecasts one trace, alone. Input: a trace and a factory; output: pinball loss and coverage of each
 * quantile and horizon, and the scaled error of the median. Each forecast is made before its sample is seen; the first week
 * is for learning.
 */
import type { ForecasterFactory } from '../forecast/forecaster.ts';
import { type ForecastScore, ForecastScorer, SCORED_MINUTES, SCORED_QUANTILES } from './forecast-score.ts';
import { DAY_MS, WARM_UP_MS } from './score.ts';
import { othersAt, type Trace } from './trace.ts';

const RESOLUTION_SHARE = 0.01;

export interface FamilyScore {
  scores: ForecastScore[];
  /** Mean pinball loss over all quantiles and horizons ÷ mean demand: what families are ranked by. */
  pinballLoss: number;
  /**
   * [horizons] mean absolute scaled error of the median (Hyndman and Koehler, "Another look at measures of forecast
   * accuracy", 2006): mean absolute error ÷ that of the last value, one step ahead, over the first week.
   */
  mase: number[];
}

/** Null when the trace ends within the first week. */
export function scoreFamily(trace: Trace, factory: ForecasterFactory): FamilyScore | null {
  const { timesMs, used, granted, stepMs } = trace;
  const forecaster = factory.create({ stepMs, seasonsMs: [DAY_MS, 7 * DAY_MS], resolution: RESOLUTION_SHARE * granted });
  const scorer = new ForecastScorer(stepMs);
  for (let i = 0; i < used.length; i++) {
    const timeMs = timesMs[i]!;
    const value = Math.min(used[i]!, granted);
    scorer.came(timeMs, value, timeMs - timesMs[0]! >= WARM_UP_MS);
    if (Number.isNaN(value)) continue;
    forecaster.observe({ timeMs, value, ...othersAt(trace, i) });
    // Nothing within the first week less an hour is scored.
    if (timeMs - timesMs[0]! < WARM_UP_MS - SCORED_MINUTES.at(-1)! * 60_000) continue;
    const forecast = forecaster.forecast(scorer.horizons, SCORED_QUANTILES);
    if (forecast !== null) scorer.expect(timeMs, forecast);
  }
  const scores = scorer.scores();
  if (scores === null) return null;
  const scale = naiveError({ timesMs, used });
  return {
    scores,
    pinballLoss: scores.reduce((sum, score) => sum + score.pinballLoss, 0) / scores.length,
    // The pinball loss of a median is half its absolute error.
    mase: SCORED_MINUTES.map((_, h) => (2 * scores[h * SCORED_QUANTILES.length]!.pinballLoss * scorer.meanDemand(h)) / scale),
  };
}

/** Mean absolute difference of neighbouring samples within the first week; never zero. */
function naiveError({ timesMs, used }: Pick<Trace, 'timesMs' | 'used'>): number {
  let sum = 0;
  let count = 0;
  for (let i = 1; i < used.length && timesMs[i]! - timesMs[0]! < WARM_UP_MS; i++) {
    const difference = Math.abs(used[i]! - used[i - 1]!);
    if (Number.isNaN(difference)) continue;
    sum += difference;
    count++;
  }
  return Math.max(sum / count, Number.MIN_VALUE);
}
