/**
 * Prophet (Taylor and Letham, "Forecasting at Scale", The American Statistician 72, 2018) from `@bsull/augurs` with Stan's
 * optimiser as WebAssembly: a piecewise linear trend and Fourier series for each season, by maximum a posteriori. Fit
 * requests in, paths out.
 */
import { initSync, Prophet } from '@bsull/augurs/prophet';
import { optimizer } from '@bsull/augurs-prophet-wasmstan';
import type { FitRequest } from '../core/forecast/fitted/fit.ts';
import { augursModule } from './smoothing.ts';

/** Pairs of sine and cosine of a season: a third of a daily cycle's hours, as much as Prophet gives a year. */
const FOURIER_ORDER = 8;
/** Curves of this smoothness need no more points; fitting costs in proportion. */
const POINTS_MAX = 700;
/** Trend changes it may place in a window of days; its default of 25 is for years. */
const CHANGEPOINTS = 10;
const DAY_SECONDS = 86_400;
const OFF = { type: 'manual', enabled: false } as const;
let loaded = false;

export function fitProphet({ values, seasons, stepMs, ahead }: FitRequest): Float64Array {
  if (!loaded) initSync(augursModule('prophet'));
  loaded = true;
  using model = new Prophet({
    optimizer,
    uncertaintySamples: 0,
    nChangepoints: CHANGEPOINTS,
    yearlySeasonality: OFF,
    weeklySeasonality: OFF,
    dailySeasonality: OFF,
  });
  const stepSeconds = stepMs / 1000;
  for (const season of seasons) {
    const fourierOrder = Math.min(FOURIER_ORDER, Math.floor(season / 4));
    if (fourierOrder > 0) model.addSeasonality(`season of ${season}`, { period: (season * stepSeconds) / DAY_SECONDS, fourierOrder });
  }
  const block = Math.ceil(values.length / POINTS_MAX);
  const ds: number[] = [];
  const y: number[] = [];
  // Whole blocks, the newest last; each stands at its middle.
  for (let from = values.length % block; from < values.length; from += block) {
    ds.push(Math.round((from + (block - 1) / 2) * stepSeconds));
    y.push(values.subarray(from, from + block).reduce((sum, value) => sum + value, 0) / block);
  }
  model.fit({ ds, y });
  const wanted = Array.from({ length: 1 + ahead }, (_, i) => Math.round((values.length - 1 + i) * stepSeconds));
  return Float64Array.from(model.predict({ ds: wanted }).yhat.point);
}
