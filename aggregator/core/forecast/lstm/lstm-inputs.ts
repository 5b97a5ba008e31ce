/**
 * What the network sees of a series at a step: the features of the other models (series-features.ts), all relative to the
 * last value on a log scale, so that one network serves VMs of every size; unknown ones are zero. A series in, rows out.
 */
import { FEATURE, FEATURES, SeriesFeatures } from '../series-features.ts';
import { INPUTS } from './lstm-network.ts';

const NOW = [
  FEATURE.one,
  FEATURE.previous,
  FEATURE.peak3,
  FEATURE.peak12,
  FEATURE.smooth,
  FEATURE.peak72,
  FEATURE.slow,
  FEATURE.volatility,
  FEATURE.peakSeason,
];
const PHASE = [
  FEATURE.seasonLast,
  FEATURE.seasonPeak,
  FEATURE.seasonMean,
  FEATURE.longSeason,
  FEATURE.foundLast,
  FEATURE.foundPeak,
  FEATURE.foundMean,
];
/** Leads whose phase features are seen: the others lie between. */
const PHASE_LEADS = [3, 12];
/** Differences beyond e^3 = 20 × say no more than that. */
const CLIP = 3;
const scratch = new Float32Array(FEATURES);

/** Fills the INPUTS columns of `row` at `at` with what is known after the newest step. */
export function fillInputs(features: SeriesFeatures, row: Float32Array, at: number): void {
  let column = at;
  const put = (value: number): void => {
    row[column++] = Number.isNaN(value) ? 0 : Math.max(-CLIP, Math.min(CLIP, value));
  };
  features.fillNow(scratch, 0);
  for (const i of NOW) put(scratch[i]!);
  for (const lead of PHASE_LEADS) {
    features.fillAhead(scratch, 0, lead);
    for (const i of PHASE) put(scratch[i]!);
  }
}

/** A series as the network learns from it. */
export interface LstmSeries {
  /** [steps × INPUTS], row-major. */
  inputs: Float32Array;
  /** [steps] demand on a log scale; NaN = a gap, whose row is not used. */
  levels: Float64Array;
}

/** `values` are demand step by step, NaN = missing. `seasons` in steps. */
export function lstmSeries(values: ArrayLike<number>, seasons: readonly number[], resolution: number): LstmSeries {
  const features = new SeriesFeatures(seasons, resolution, 2048);
  const inputs = new Float32Array(values.length * INPUTS);
  const levels = new Float64Array(values.length).fill(Number.NaN);
  for (let step = 0; step < values.length; step++) {
    const value = values[step]!;
    if (Number.isNaN(value)) continue;
    features.push(step, value);
    fillInputs(features, inputs, step * INPUTS);
    levels[step] = features.last;
  }
  return { inputs, levels };
}
