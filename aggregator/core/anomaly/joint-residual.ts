/**
 * One VM's metrics together: work moves them all, a fault often one alone. Input: an instant's metrics; output: how surprising
 * each is given the others, as evidence on the scale of the detectors', and which stands out. The residual of each metric's
 * logarithm on all others comes from the precision matrix (the partial residual of i is (P d)ᵢ / √Pᵢᵢ), which is kept itself and
 * updated by one rank a point (Sherman and Morrison 1950), so that nothing is ever inverted. State: 0.6 KiB for eight metrics.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { StateBlock } from './state-block.ts';
import { Tails } from './tails.ts';

/** Means and covariances are of about two days of five-minute samples. */
const GAIN_MIN = 1 / 576;
/** Before a day nothing is known of how metrics go together. */
const LEARNING_POINTS = 288;
/** Differences of logarithms below this are nothing: 5 %. Also keeps the matrix bounded where a metric never moves. */
const NOTHING = 0.05;
/** Added before the logarithm, as a share of what is usual: near zero, relative changes mean little. */
const OFFSET_SHARE = 0.1;
/** A residual lasts for a few points before it counts in full. */
const SMOOTH_GAIN = 0.4;
/** One signal speaks here for what eleven families say together in a metric's own detector. */
const SCALE = 0.45;
/** The quantile of its own surprise that is usual for the VM, taken off. */
const USUAL_QUANTILE = 0.995;
const USUAL_GAIN_MIN = 0.003;
const FINEST = 1e-3;
/** Standard deviations. */
const FAR_OUT = 2;

/** Places in `#scalars`. */
const POINTS = 0;
const USUAL = 1;

export class JointResidual {
  readonly #size: number;
  readonly #scalars: Float32Array;
  readonly #usualLevel: Float32Array;
  readonly #mean: Float32Array;
  readonly #smooth: Float32Array;
  /** Upper triangle, row by row. */
  readonly #precision: Float32Array;
  readonly #tails: Tails;
  readonly #d: Float64Array;
  readonly #pd: Float64Array;
  readonly arrays: readonly StateArray[];
  /** All it has learnt. To serve another VM: a copy of these is put aside, and that VM's are put here. */
  readonly bytes: Uint8Array;
  /** The metric that stands out, by place; -1 = none. */
  strongest = -1;

  /**
   * @param size metrics there may be; one that never comes costs nothing but its place
   * @param learntMax see `Tails`
   */
  constructor(size: number, learntMax: number) {
    this.#size = size;
    const block = new StateBlock();
    this.#scalars = block.float32(2);
    this.#scalars[USUAL] = 1;
    this.#usualLevel = block.float32(size).fill(Number.NaN);
    this.#mean = block.float32(size);
    this.#smooth = block.float32(size);
    this.#precision = block.float32((size * (size + 1)) / 2);
    for (let i = 0; i < size; i++) this.#precision[this.#at(i, i)] = 1;
    const bothSides = Array.from({ length: size }, () => true);
    this.#tails = new Tails(block, bothSides, learntMax);
    this.bytes = block.bytes();
    this.#d = new Float64Array(size);
    this.#pd = new Float64Array(size);
    this.arrays = [this.#scalars, this.#usualLevel, this.#mean, this.#smooth, this.#precision, ...this.#tails.arrays];
  }

  /** @param values by place; NaN = it did not come. Evidence as `Likelihood.evidence` has it, 0 while learning. */
  next(values: Float64Array): number {
    const s = this.#scalars;
    s[POINTS] = Math.min(s[POINTS]! + 1, 1e6);
    const gain = Math.max(GAIN_MIN, 1 / s[POINTS]!);
    this.#deviate(values, gain);
    this.#multiply();
    const surprise = s[POINTS]! > LEARNING_POINTS ? this.#surprise(values) : 0;
    this.#learn(gain);
    const above = SCALE * surprise - s[USUAL]!;
    const usualGain = Math.max(USUAL_GAIN_MIN, 1 / s[POINTS]!) * 4;
    if (s[POINTS]! > LEARNING_POINTS) s[USUAL]! += usualGain * (SCALE * surprise > s[USUAL]! ? USUAL_QUANTILE : USUAL_QUANTILE - 1);
    s[USUAL] = Math.max(0, s[USUAL]!);
    return Math.max(0, above);
  }

  /** Deviations of logarithms from their means, and what is usual a little nearer to now. */
  #deviate(values: Float64Array, gain: number): void {
    for (let i = 0; i < this.#size; i++) {
      const value = values[i]!;
      this.#d[i] = 0;
      if (Number.isNaN(value)) continue;
      const size = Math.abs(value);
      if (Number.isNaN(this.#usualLevel[i]!)) this.#usualLevel[i] = size;
      else this.#usualLevel[i]! += gain * (size - this.#usualLevel[i]!);
      const log = Math.log(size + OFFSET_SHARE * this.#usualLevel[i]! + Number.MIN_VALUE);
      if (this.#scalars[POINTS] === 1 || this.#mean[i] === 0) this.#mean[i] = log;
      this.#d[i] = log - this.#mean[i]!;
      this.#mean[i]! += gain * this.#d[i]!;
    }
  }

  /** P d. */
  #multiply(): void {
    for (let i = 0; i < this.#size; i++) {
      let sum = 0;
      for (let j = 0; j < this.#size; j++) sum += this.#precision[this.#at(i, j)]! * this.#d[j]!;
      this.#pd[i] = sum;
    }
  }

  #surprise(values: Float64Array): number {
    let most = 0;
    this.strongest = -1;
    for (let i = 0; i < this.#size; i++) {
      if (Number.isNaN(values[i]!)) continue;
      const residual = this.#pd[i]! / Math.sqrt(this.#precision[this.#at(i, i)]!);
      this.#smooth[i]! += SMOOTH_GAIN * (residual - this.#smooth[i]!);
      const surprise = this.#tails.next(i, this.#smooth[i]!, FINEST);
      if (surprise <= most) continue;
      most = surprise;
      this.strongest = i;
    }
    return most;
  }

  #learn(gain: number): void {
    // A single point moves what is known by no more than its share.
    const g = Math.min(gain, 0.05);
    let quadratic = 0;
    for (let i = 0; i < this.#size; i++) quadratic += this.#d[i]! * this.#pd[i]!;
    // What lies far out is learnt as if it lay at the edge: an hour of a fault must not become what is usual.
    const shrink = Math.min(1, (FAR_OUT * Math.sqrt(this.#size)) / Math.sqrt(Math.max(quadratic, Number.MIN_VALUE)));
    this.#rankOne(this.#d, this.#pd, (g * shrink * shrink) / (1 - g), 1 / (1 - g));
    // In turn each metric moves by next to nothing on its own: the matrix stays bounded.
    const turn = this.#scalars[POINTS]! % this.#size;
    for (let i = 0; i < this.#size; i++) {
      this.#d[i] = i === turn ? NOTHING * Math.sqrt(this.#size) : 0;
      this.#pd[i] = this.#precision[this.#at(i, turn)]! * NOTHING * Math.sqrt(this.#size);
    }
    this.#rankOne(this.#d, this.#pd, g, 1);
  }

  /** The inverse of (C + weight·v·vᵀ) / scale, where P is that of C and pv = P v. */
  #rankOne(v: Float64Array, pv: Float64Array, weight: number, scale: number): void {
    let quadratic = 0;
    for (let i = 0; i < this.#size; i++) quadratic += v[i]! * pv[i]!;
    const factor = weight / (1 + weight * quadratic);
    for (let i = 0; i < this.#size; i++) {
      for (let j = i; j < this.#size; j++) {
        const at = this.#at(i, j);
        this.#precision[at] = scale * (this.#precision[at]! - factor * pv[i]! * pv[j]!);
      }
    }
  }

  #at(i: number, j: number): number {
    const [row, column] = i <= j ? [i, j] : [j, i];
    return row * this.#size - (row * (row - 1)) / 2 + column - row;
  }
}
