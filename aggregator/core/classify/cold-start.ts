/**
 * A young VM's forecast, mended with what its peers need: the younger, the more of theirs. Input: its own forecast, its size,
 * its peers' quantiles; output: a forecast of the same shape and the same low confidence, on which nothing is ever taken away.
 */
import type { ForecastView } from '../plan/plan.ts';
import type { PeerQuantiles } from './peer-profiles.ts';

/** Own steps that count as much as the peers' word: an hour of five minutes. */
const EVEN_STEPS = 12;
/** A VM's forecasts are its own from this confidence on: the planner trusts them too. */
export const OWN_CONFIDENCE = 0.2;

export function borrowed(own: ForecastView, steps: number, size: number, peers: PeerQuantiles): ForecastView {
  const share = EVEN_STEPS / (EVEN_STEPS + steps);
  const levels = own.quantiles.length;
  const values = own.values.map((value, i) => (1 - share) * value + share * size * peers.shares[i % levels]!);
  const words = `${own.explanation}; it is young, so ${Math.round(100 * share)} % is borrowed from ${peers.words}`;
  return { ...own, values, explanation: words };
}
