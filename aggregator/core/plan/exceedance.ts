/**
 * What an allocation would cost by a forecast: the share of it that would lie idle and the risk that it is too little.
 * Input: one forecast's quantiles at a few horizons, and how much each horizon counts; output: weighted means. Between levels the risk falls
 * geometrically; beyond the last level the tail goes on falling at the rate of the last two. Pure arithmetic.
 */
import type { Forecast } from '../forecast/forecaster.ts';

/** Keeps the tail of a series without spread from being a wall. */
const TAIL_WIDTH_MIN = 0.01;
/** Against the logarithm of nothing. */
const TINY = 1e-9;

type Quantiles = Pick<Forecast, 'values' | 'quantiles'>;

export interface Outlook {
  /** Mean share of the allocation that is not used, 0..1. */
  idle: number;
  /** Probability that a step's demand is above it, mean over the horizons. */
  risk: number;
}

/** `weights` of the horizons sum to 1. Writes into `out`: it is called for dozens of candidates a step. */
export function outlookOf({ values, quantiles }: Quantiles, weights: readonly number[], allocation: number, out: Outlook): void {
  out.idle = 0;
  out.risk = 0;
  for (let i = 0; i < weights.length; i++) addRow(values, quantiles, i * quantiles.length, allocation, weights[i]!, out);
}

function addRow(values: Float64Array, levels: readonly number[], row: number, allocation: number, weight: number, out: Outlook): void {
  const count = levels.length;
  const lowest = values[row]!;
  if (allocation < lowest) {
    out.risk += weight;
    return;
  }
  let idle = levels[0]! * (allocation - lowest);
  let j = 1;
  for (; j < count && values[row + j]! <= allocation; j++) {
    idle += (levels[j]! - levels[j - 1]!) * (allocation - (values[row + j]! + values[row + j - 1]!) / 2);
  }
  const below = values[row + j - 1]!;
  let risk = 1 - levels[j - 1]!;
  if (j < count) {
    const whole = risk;
    const share = (allocation - below) / (values[row + j]! - below);
    risk *= ((1 - levels[j]!) / whole) ** share;
    idle += (whole - risk) * ((allocation - below) / 2);
  } else {
    const fall = (1 - levels[count - 1]!) / (1 - levels[count - 2]!);
    risk *= fall ** (Math.log((allocation + TINY) / (below + TINY)) / tailWidth(values, row, count));
  }
  out.idle += allocation > 0 ? (weight * idle) / allocation : 0;
  out.risk += weight * risk;
}

/** Distance of the last two levels on the log scale. */
export function tailWidth(values: Float64Array, row: number, count: number): number {
  return Math.max(TAIL_WIDTH_MIN, Math.log((values[row + count - 1]! + TINY) / (values[row + count - 2]! + TINY)));
}
