/** A window of a history as a fit wants it: log scale, oldest first, gaps filled by straight lines. Steps in, numbers out. */
import type { SeriesFeatures } from '../series-features.ts';
import { decode, MISSING } from '../step-history.ts';

/** `steps` newest steps, less leading gaps. `fromStep` is the step of the first value. */
export function fitWindow(features: SeriesFeatures, steps: number): { fromStep: number; values: Float64Array } {
  const newest = features.newest;
  let fromStep = Math.max(0, newest - steps + 1);
  while (fromStep < newest && features.history.at(fromStep) === MISSING) fromStep++;
  const values = new Float64Array(newest - fromStep + 1);
  let known = 0;
  for (let i = 0; i < values.length; i++) {
    const code = features.history.at(fromStep + i);
    if (code === MISSING) continue;
    values[i] = features.scaled(decode(code));
    for (let gap = known + 1; gap < i; gap++) values[gap] = values[known]! + ((values[i]! - values[known]!) * (gap - known)) / (i - known);
    known = i;
  }
  return { fromStep, values };
}
