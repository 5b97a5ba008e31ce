/**
 * The experts of the aggregate: simple opinions on where demand of a coming step will lie, each a share of one feature
 * relative to the last value. Each learns from its own errors how far off it can be (residual-sketch.ts). The regression
 * expert (quantile-regression.ts) comes beside them.
 */
import { FEATURE } from './series-features.ts';

export interface Expert {
  name: string;
  /** How the explanation names it. */
  words: string;
  /** A feature column and its weight: the opinion relative to the last value. */
  term: readonly [column: number, weight: number];
}

export const EXPERTS: readonly Expert[] = [
  { name: 'last', words: 'the last value', term: [FEATURE.one, 0] },
  { name: 'recent-peak', words: 'the peak of the last steps', term: [FEATURE.peak12, 1] },
  { name: 'slow', words: 'the long-term level', term: [FEATURE.slow, 1] },
  { name: 'season', words: 'the same time one cycle ago', term: [FEATURE.seasonLast, 1] },
  { name: 'season-peak', words: 'the peak at this time in past cycles', term: [FEATURE.seasonPeak, 1] },
  { name: 'season-usual', words: 'the usual level at this time', term: [FEATURE.seasonMean, 1] },
  { name: 'season-blend', words: 'the usual level at this time and the last value', term: [FEATURE.seasonMean, 0.5] },
  { name: 'long-season', words: 'the same time one long cycle ago', term: [FEATURE.longSeason, 1] },
  { name: 'found-season', words: 'a repetition found in the history', term: [FEATURE.foundLast, 1] },
];
