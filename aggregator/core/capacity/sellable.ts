/** What is left to sell of a capacity. Input: a joint forecast and a quantile; output: an amount in the forecast's unit. */
import { assert } from '../../../shared/assert.ts';
import type { Forecast } from '../forecast/forecaster.ts';

/** Capacity less reserve less the highest forecast of a quantile, never below nothing. */
export function sellable(capacity: number, reserve: number, forecast: Forecast, quantile: number): number {
  const j = forecast.quantiles.indexOf(quantile);
  assert(j >= 0, `quantile ${quantile} was not forecast: ask for one of ${forecast.quantiles.join(', ')}`);
  let highest = 0;
  for (let at = j; at < forecast.values.length; at += forecast.quantiles.length) highest = Math.max(highest, forecast.values[at]!);
  return Math.max(0, capacity - reserve - highest);
}
