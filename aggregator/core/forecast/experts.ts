/**
 * The experts of the aggregate: simple opinions on where demand of a coming step will lie, each a weighted sum of features
 * relative to the last value. Each learns from its own errors how far off it can be (residual-sketch.ts). The regression
 * expert (quantile-regression.ts) comes beside them.
 */
import { FEATURE } from './series-features.ts';

export interface Expert {
  name: string;
  /** How the explanation names it. */
  words: string;
  /** Feature columns and their weights. */
  terms: readonly (readonly [column: number, weight: number])[];
}

export const EXPERTS: readonly Expert[] = [
  { name: 'last', words: 'the last value', terms: [] },
  { name: 'recent-peak', words: 'the peak of the last steps', terms: [[FEATURE.peak12, 1]] },
  { name: 'slow', words: 'the long-term level', terms: [[FEATURE.slow, 1]] },
  { name: 'season', words: 'the same time one cycle ago', terms: [[FEATURE.seasonLast, 1]] },
  { name: 'season-peak', words: 'the peak at this time in past cycles', terms: [[FEATURE.seasonPeak, 1]] },
  { name: 'season-usual', words: 'the usual level at this time', terms: [[FEATURE.seasonMean, 1]] },
  { name: 'season-blend', words: 'the usual level at this time and the last value', terms: [[FEATURE.seasonMean, 0.5]] },
  { name: 'long-season', words: 'the same time one long cycle ago', terms: [[FEATURE.longSeason, 1]] },
  { name: 'found-season', words: 'a repetition found in the history', terms: [[FEATURE.foundLast, 1]] },
];

/** An expert's opinion relative to the last value, NaN while a feature it needs is unknown. */
export function opinion(expert: Expert, row: Float32Array, at: number): number {
  let sum = 0;
  for (const [column, weight] of expert.terms) sum += weight * row[at + column]!;
  return sum;
}
