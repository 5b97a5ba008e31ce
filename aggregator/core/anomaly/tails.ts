/**
 * How surprising a number is among those seen before: peaks over threshold with a generalised Pareto tail per side, fitted
 * by moments, online (after SPOT and DSPOT: Siffer et al., KDD 2017; moments: Hosking and Wallis 1987). Input: a signal's
 * newest value; output: −log10 of the probability of one so extreme, 0 inside the bulk. Four floats and a count a tail.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import type { StateBlock } from './state-block.ts';

/** A signal stays unjudged for this many values. */
export const WARM_UP = 60;
/** Quantile above which a value is a peak: 0.97 to 0.985 do alike on the Numenta benchmark, 0.95 and 0.99 worse. */
const PEAK_QUANTILE = 0.98;
/** Counts stop here, so that gains do not vanish: tails follow a series that drifts. */
const SEEN_MAX = 2000;
const PEAKS_MAX = 100;
/** Shares and sizes have bounds, so tails may; infinite variance is not believed from a handful of peaks. */
const SHAPE_MIN = -0.3;
const SHAPE_MAX = 0.5;
/** One in 10¹²: beyond that no fit knows anything. */
const SURPRISE_MAX = 12;
/** A tail without peaks is taken to exceed its threshold by this share of the spread. */
const PEAK_PRIOR = 0.2;
/** The threshold wanders by less than this share of the spread: a signal that stays where it is must not seem to exceed it. */
const NEGLIGIBLE = 0.01;
/** Signals answer to one event some points apart: a surprise lingers, this much of it a point. */
const LINGERS = 0.7;

/** Places in a tail. While warming up the first three hold its three largest values, in falling order. */
const THRESHOLD = 0;
const MEAN = 1;
const SQUARE = 2;
const SPREAD = 3;
const PER_TAIL = 4;

export class Tails {
  readonly #firstTail: Uint16Array;
  readonly #floats: Float32Array;
  readonly #learntMax: number;
  readonly #peaks: Uint16Array;
  readonly #seen: Uint16Array;
  /** Of each signal: its mean while warming up, then the surprise that lingers. */
  readonly #memory: Float32Array;
  readonly arrays: readonly StateArray[];

  /**
   * @param bothSides for each signal: is too low as telling as too high?
   * @param learntMax a peak is learnt as at most so many times the mean one: what lasts stays surprising for longer
   */
  constructor(block: StateBlock, bothSides: readonly boolean[], learntMax: number) {
    this.#learntMax = learntMax;
    this.#firstTail = new Uint16Array(bothSides.length + 1);
    for (const [i, both] of bothSides.entries()) this.#firstTail[i + 1] = this.#firstTail[i]! + (both ? 2 : 1);
    const tails = this.#firstTail.at(-1)!;
    this.#floats = block.float32(tails * PER_TAIL).fill(Number.NEGATIVE_INFINITY);
    for (let tail = 0; tail < tails; tail++) this.#floats[tail * PER_TAIL + SPREAD] = 0;
    this.#peaks = block.uint16(tails);
    this.#seen = block.uint16(bothSides.length);
    this.#memory = block.float32(bothSides.length);
    this.arrays = [this.#floats, this.#peaks, this.#seen, this.#memory];
  }

  /** Judges `value` by what this signal was before, then learns it. @param finest differences below it mean nothing. */
  next(signal: number, value: number, finest: number): number {
    const tail = this.#firstTail[signal]!;
    const twoSided = this.#firstTail[signal + 1]! - tail === 2;
    const before = this.#seen[signal]!;
    const seen = Math.min(before + 1, SEEN_MAX);
    this.#seen[signal] = seen;
    if (before < WARM_UP) {
      this.#memory[signal]! += (value - this.#memory[signal]!) / seen;
      const away = Math.abs(value - this.#memory[signal]!);
      this.#warmUp(tail, value, away, seen, finest);
      if (twoSided) this.#warmUp(tail + 1, -value, away, seen, finest);
      if (seen === WARM_UP) this.#memory[signal] = 0;
      return 0;
    }
    let surprise = this.#judgeAndLearn(tail, value, seen, finest);
    if (twoSided) surprise = Math.max(surprise, this.#judgeAndLearn(tail + 1, -value, seen, finest));
    surprise = Math.max(surprise, this.#memory[signal]! * LINGERS);
    this.#memory[signal] = surprise;
    return surprise;
  }

  #warmUp(tail: number, value: number, away: number, seen: number, finest: number): void {
    const f = this.#floats;
    const at = tail * PER_TAIL;
    if (value > f[at]!) {
      f[at + 2] = f[at + 1]!;
      f[at + 1] = f[at]!;
      f[at] = value;
    } else if (value > f[at + 1]!) {
      f[at + 2] = f[at + 1]!;
      f[at + 1] = value;
    } else if (value > f[at + 2]!) f[at + 2] = value;
    f[at + SPREAD]! += (away - f[at + SPREAD]!) / seen;
    if (seen === WARM_UP) this.#begin(tail, finest);
  }

  /** The third largest of the warm-up becomes the threshold (0.97 of it lies below), the two above it the first peaks. */
  #begin(tail: number, finest: number): void {
    const f = this.#floats;
    const at = tail * PER_TAIL;
    const threshold = f[at + 2]!;
    const first = f[at]! - threshold;
    const second = f[at + 1]! - threshold;
    const peaks = Math.max(1, (first > 0 ? 1 : 0) + (second > 0 ? 1 : 0));
    f[at + SPREAD] = Math.max(finest, f[at + SPREAD]!);
    f[at + THRESHOLD] = threshold;
    f[at + MEAN] = Math.max((first + second) / peaks, f[at + SPREAD]! * PEAK_PRIOR);
    f[at + SQUARE] = Math.max((first ** 2 + second ** 2) / peaks, 2 * f[at + MEAN]! ** 2);
    this.#peaks[tail] = peaks;
  }

  #judgeAndLearn(tail: number, value: number, seen: number, finest: number): number {
    const f = this.#floats;
    const at = tail * PER_TAIL;
    const excess = value - f[at + THRESHOLD]!;
    const surprise = excess > Math.max(finest, NEGLIGIBLE * f[at + SPREAD]!) ? surpriseOf(excess, f[at + MEAN]!, f[at + SQUARE]!) : 0;
    const spread = f[at + SPREAD]!;
    // One outlier moves the spread by no more than twenty times itself would.
    f[at + SPREAD] = spread + (Math.min(Math.abs(excess), 20 * spread) - spread) * Math.max(1 / seen, 0.001);
    f[at + THRESHOLD]! += (12 / seen) * f[at + SPREAD]! * (excess > 0 ? PEAK_QUANTILE : PEAK_QUANTILE - 1);
    const over = value - f[at + THRESHOLD]!;
    if (over > 0) {
      const peaks = Math.min(this.#peaks[tail]! + 1, PEAKS_MAX);
      this.#peaks[tail] = peaks;
      const gain = 1 / Math.min(peaks + 1, PEAKS_MAX);
      const told = Math.min(over, this.#learntMax * f[at + MEAN]!);
      f[at + MEAN]! += gain * (told - f[at + MEAN]!);
      f[at + SQUARE]! += gain * (told * told - f[at + SQUARE]!);
    }
    return surprise;
  }
}

/** −log10 of the probability that a value exceeds the threshold by so much; `mean` and `square` are moments of the peaks. */
function surpriseOf(excess: number, mean: number, square: number): number {
  const safeMean = Math.max(mean, Number.MIN_VALUE);
  const ratio = safeMean ** 2 / Math.max(square - safeMean ** 2, 1e-12 * safeMean ** 2);
  const shape = Math.min(SHAPE_MAX, Math.max(SHAPE_MIN, (1 - ratio) / 2));
  const scale = safeMean * (1 - shape);
  const z = 1 + (shape * excess) / scale;
  const beyond = Math.abs(shape) < 1e-3 ? excess / scale : z <= 0 ? Number.POSITIVE_INFINITY : Math.log(z) / shape;
  return Math.min(SURPRISE_MAX, beyond / Math.LN10 - Math.log10(1 - PEAK_QUANTILE));
}
