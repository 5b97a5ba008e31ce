/**
 * How much a VM's other resources have just risen: memory that is about to be wanted is often announced by work that has
 * begun on CPU, disk and network a step before. Other resources' demand of a finished step in, one number out: 0 = nothing
 * rose, or nothing is known. Each is held against its own level of the last steps, in units of how much it usually moves.
 */
import { OTHERS_COUNT } from './heard.ts';
import type { StateArray } from './state-bytes.ts';
import { StateSlab } from './state-slab.ts';

/** Half-lives in steps: of the level a rise is seen against (3 and 12 tell alike, 3 a little more), and of the usual movement (two days). */
const LEVEL_RATE = 1 - 2 ** (-1 / 3);
const MOVEMENT_RATE = 1 - 2 ** (-1 / 576);
/** The largest value is forgotten with this half-life; below a hundredth of it nothing is told apart. */
const PEAK_KEEP = 2 ** (-1 / 2048);
const RESOLUTION_SHARE = 0.01;
/** Against the logarithm of nothing. */
const TINY = 1e-9;
/** Movements below 5 % are noise, however steady a series was. */
const MOVEMENT_MIN = 0.05;
/** Until it is known: series move by a factor of e, so that the first days announce little. */
const MOVEMENT_START = 1;
/** One series counts at most this many of its usual movements: a single one that wakes from nothing must not drown the rest. */
const RISE_MAX = 8;
/** Beyond what four-byte floats hold nothing is believed. */
const VALUE_MAX = 1e30;
/** Usual movements in one unit of what comes out: it is then of the size of the other features. */
const UNIT = 10;

/** Places of one series' numbers; the level is the first. */
const EACH = 3;
const PEAK = 1;
const SQUARE = 2;

export class Stirring {
  /** [series × (level on the log scale, NaN = never seen; largest value lately; mean squared movement)]. */
  readonly #s: Float32Array;

  constructor(slab = new StateSlab()) {
    this.#s = slab.float32(OTHERS_COUNT * EACH);
    for (let at = 0; at < this.#s.length; at += EACH) this.#s.set([Number.NaN, 0, MOVEMENT_START], at);
  }

  get arrays(): StateArray[] {
    return [this.#s];
  }

  /** One finished step: demand of the others, always in the same order, more than there are is ignored; NaN (negative, without end) = unknown. */
  advance(others: readonly number[]): number {
    const s = this.#s;
    const count = Math.min(OTHERS_COUNT, others.length);
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const value = others[i]!;
      if (!(value >= 0 && value < VALUE_MAX)) continue;
      const at = i * EACH;
      const peak = Math.max(value, s[at + PEAK]! * PEAK_KEEP);
      s[at + PEAK] = peak;
      // Rounded as it is kept: what stands still has not moved by the last digit.
      const y = Math.fround(Math.log(value + RESOLUTION_SHARE * peak + TINY));
      const moved = y - s[at]!;
      // Not a number: never seen before.
      if (!(Math.abs(moved) < Number.POSITIVE_INFINITY)) {
        s[at] = y;
        continue;
      }
      if (moved > 0) sum += Math.min(RISE_MAX, moved / (Math.sqrt(s[at + SQUARE]!) + MOVEMENT_MIN));
      s[at]! += LEVEL_RATE * moved;
      s[at + SQUARE]! += MOVEMENT_RATE * (moved * moved - s[at + SQUARE]!);
    }
    return sum / UNIT;
  }
}
