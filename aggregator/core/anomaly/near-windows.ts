/**
 * How unlike the newest stretch of a series is to stretches seen before: the distance to the nearest of a few windows, a
 * random sample of the past (nearest neighbours, as in KNN-CAD, Burnaev and Ishimtsev 2016, and discords; a reservoir, Vitter
 * 1985). Input: windows of a fixed width; output: the distance. A window joins only when the next one is complete, so that
 * none is compared with itself.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { scaleAll } from './half-precision.ts';
import type { StateBlock } from './state-block.ts';

/** Windows kept: 8 to 32 score alike. */
const KEPT = 9;
/** Before so many are kept there is nothing to compare with. */
const NEEDED = 4;
/** The sample forgets: each window stands for one of the last 3 × 9, whatever the age of the series. */
const SAMPLE_OF = 3 * KEPT;

/** Places in `#counts`. */
const POINTS = 0;
const JOINED = 1;
const PENDING = 2;
/** Numerical Recipes' quick generator: which window gives way needs spread, not quality. */
const MULTIPLIER = 1_664_525;
const INCREMENT = 1_013_904_223;
const FIRST_RANDOM = 12_345;

export class NearWindows {
  readonly #width: number;
  /** Points until a window shares none with the one before. */
  readonly #stride: number;
  /** [KEPT × width], row-major, then the window that waits. */
  readonly #windows: Float16Array;
  readonly #counts: Uint16Array;
  readonly #random: Int32Array;
  readonly arrays: readonly StateArray[];

  constructor(width: number, stride: number, block: StateBlock) {
    this.#width = width;
    this.#stride = stride;
    const { halves, bits } = block.float16((KEPT + 1) * width);
    this.#windows = halves;
    this.#counts = block.uint16(3);
    this.#random = block.int32(1).fill(FIRST_RANDOM);
    this.arrays = [bits, this.#counts, this.#random];
  }

  /** Distance of `window` (`width` values) to the nearest kept one; NaN while there are too few. */
  next(window: Float64Array): number {
    const distance = this.#nearest(window);
    this.#counts[POINTS]! += 1;
    if (this.#counts[POINTS]! >= this.#stride) {
      this.#counts[POINTS] = 0;
      if (this.#counts[PENDING] === 1) this.#join();
      this.#windows.set(window, KEPT * this.#width);
      this.#counts[PENDING] = 1;
    }
    return distance;
  }

  rescale(factor: number): void {
    scaleAll(this.#windows, factor);
  }

  #nearest(window: Float64Array): number {
    const kept = Math.min(this.#counts[JOINED]!, KEPT);
    if (kept < NEEDED) return Number.NaN;
    let best = Number.POSITIVE_INFINITY;
    for (let row = 0; row < kept; row++) {
      let sum = 0;
      for (let i = 0; i < this.#width && sum < best; i++) sum += (this.#windows[row * this.#width + i]! - window[i]!) ** 2;
      if (sum < best) best = sum;
    }
    return Math.sqrt(best);
  }

  #join(): void {
    const joined = this.#counts[JOINED]!;
    this.#counts[JOINED] = Math.min(joined + 1, SAMPLE_OF);
    let row = joined;
    if (joined >= KEPT) {
      const random = (Math.imul(this.#random[0]!, MULTIPLIER) + INCREMENT) | 0;
      this.#random[0] = random;
      row = Math.floor(((random >>> 0) / 2 ** 32) * this.#counts[JOINED]!);
    }
    if (row < KEPT) this.#windows.copyWithin(row * this.#width, KEPT * this.#width, (KEPT + 1) * this.#width);
  }
}
