/**
 * ARIMA and SARIMA (Box and Jenkins, "Time Series Analysis", 1970) from `arima` (WebAssembly, exact maximum likelihood). A
 * season of a few steps is modelled as such; a long one is taken off first as its mean profile, since seasonal terms at lags
 * in the hundreds cannot be fitted (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 12.1). Fit requests
 * in, paths out.
 */
import { createRequire } from 'node:module';
import type ARIMA from 'arima';
import type { FitRequest } from '../core/forecast/fitted/fit.ts';

const ORDER = { p: 2, d: 0, q: 1 } as const;
const SEASONAL_ORDER = { P: 1, D: 0, Q: 0 } as const;
/** Longest season with seasonal terms. */
const SEASON_MAX = 24;
/** Steps of the profile averaged together, each side. */
const PROFILE_RADIUS = 3;
/** Newest steps that are fitted: maximum likelihood costs in proportion, and five days tell two lags. */
const FITTED_STEPS = 1000;

let loaded: typeof ARIMA | null = null;

/** The library tells of every failed optimisation on stdout, which belongs to results; it takes its printer once, when it is loaded. */
function library(): typeof ARIMA {
  if (loaded) return loaded;
  const print = console.log;
  console.log = () => {};
  try {
    loaded = createRequire(import.meta.url)('arima') as typeof ARIMA;
  } finally {
    console.log = print;
  }
  return loaded;
}

export function fitArima({ values, seasons, ahead }: FitRequest): Float64Array {
  const long = seasons.findLast((season) => season > SEASON_MAX) ?? 0;
  const short = seasons.find((season) => season <= SEASON_MAX) ?? 0;
  const profile = long > 0 ? profileOf(values, long) : Float64Array.of(0);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const expected = (i: number): number => mean + profile[((i % profile.length) + profile.length) % profile.length]!;
  const from = Math.max(0, values.length - FITTED_STEPS);
  const remainder = Array.from(values.subarray(from), (value, i) => value - expected(from + i));
  const model = new (library())({ ...ORDER, ...(short > 1 ? { ...SEASONAL_ORDER, s: short } : {}), verbose: false });
  try {
    model.train(remainder);
    const [path] = model.predict(ahead);
    return Float64Array.of(values.at(-1)!, ...path.map((value, i) => value + expected(values.length + i)));
  } finally {
    model.destroy();
  }
}

/** Mean difference from the overall mean at each phase, smoothed around the cycle. Phase 0 = the window's first step. */
function profileOf(values: Float64Array, season: number): Float64Array {
  const sums = new Float64Array(season);
  const counts = new Float64Array(season);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  values.forEach((value, i) => {
    sums[i % season]! += value - mean;
    counts[i % season]!++;
  });
  return Float64Array.from({ length: season }, (_, phase) => {
    let sum = 0;
    let count = 0;
    for (let near = phase - PROFILE_RADIUS; near <= phase + PROFILE_RADIUS; near++) {
      sum += sums[(near + season) % season]!;
      count += counts[(near + season) % season]!;
    }
    return sum / count;
  });
}
