/**
 * Linear quantile regression, online: one weight vector per quantile level, moved by the gradient of the pinball loss
 * (Koenker and Bassett, 1978) with per-feature step sizes (AdaGrad: Duchi, Hazan, Singer, 2011). Features are differences
 * from the last value, so a start near zero is "tomorrow like today" and already sensible.
 */
import { FEATURES } from './series-features.ts';
import { StateSlab } from './state-slab.ts';

/** Step size on the log scale; of 0.02 to 0.2 the largest that cost nothing on Azure's public traces. */
const RATE = 0.15;
/** Squared gradients are forgotten slowly, so that learning never stops (half-life about 4,000 steps). */
const KEEP = 0.99983;
const SOFT = 1e-3;
/** Scratch: the step along each feature. */
const steps = new Float64Array(FEATURES);

/** Weights of one lead: [levels × FEATURES] and squared feature sums [FEATURES], inside shared arrays. */
export class QuantileRegression {
  readonly weights: Float32Array;
  readonly squares: Float32Array;
  readonly #levels: readonly number[];

  constructor(leads: number, levels: readonly number[], slab = new StateSlab()) {
    this.#levels = levels;
    this.weights = slab.float32(leads * levels.length * FEATURES);
    this.squares = slab.float32(leads * FEATURES);
  }

  /** Quantiles relative to the last value, for one lead, into `out` from `outAt`; in `row` unknown features are zero: no difference. */
  predict(lead: number, row: Float64Array, out: Float32Array, outAt: number): void {
    const { weights } = this;
    const levels = this.#levels.length;
    let w = lead * levels * FEATURES;
    for (let j = 0; j < levels; j++) {
      let sum = 0;
      for (let i = 0; i < FEATURES; i++) sum += weights[w++]! * row[i]!;
      out[outAt + j] = sum;
    }
  }

  /** One gradient step towards `target` (relative to the last value), given the predictions made for it. Unknown features are NaN. */
  learn(lead: number, row: Float32Array, at: number, target: number, predicted: Float32Array, predictedAt: number): void {
    const { weights, squares } = this;
    const levels = this.#levels.length;
    for (let i = 0; i < FEATURES; i++) {
      const x = row[at + i]!;
      steps[i] = 0;
      if (Number.isNaN(x)) continue;
      const s = lead * FEATURES + i;
      squares[s] = KEEP * squares[s]! + x * x;
      steps[i] = (RATE * x) / Math.sqrt(squares[s]! + SOFT);
    }
    let w = lead * levels * FEATURES;
    for (let j = 0; j < levels; j++) {
      const pull = this.#levels[j]! - 1 + (target > predicted[predictedAt + j]! ? 1 : 0);
      for (let i = 0; i < FEATURES; i++) weights[w++]! += steps[i]! * pull;
    }
  }
}
