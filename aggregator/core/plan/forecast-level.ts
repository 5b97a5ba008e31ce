/** What a forecast says at one level of its quantiles. Forecast, horizon, level in; an amount out. */
import type { ForecastView } from './plan.ts';

/** Value at a quantile level, linear between the levels there are, held beyond the ends. */
export function valueAtLevel({ quantiles, values }: ForecastView, horizonIndex: number, level: number): number {
  const row = horizonIndex * quantiles.length;
  let upper = quantiles.findIndex((q) => q >= level - 1e-12);
  if (upper < 0) upper = quantiles.length - 1;
  const high = values[row + upper]!;
  if (upper === 0 || quantiles[upper]! <= level) return high;
  const share = (level - quantiles[upper - 1]!) / (quantiles[upper]! - quantiles[upper - 1]!);
  const low = values[row + upper - 1]!;
  return low + share * (high - low);
}
