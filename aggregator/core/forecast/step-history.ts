/**
 * A bounded history of one series, two bytes a step: values are kept as codes on a logarithmic scale, so a week of
 * five-minute steps is 4 KiB and every value keeps its relative accuracy. Codes order as their values do, so maxima are
 * taken on codes. Missing steps are gaps (code 0), never zero.
 */

import { assert } from '../../../shared/assert.ts';
import type { StateSlab } from './state-slab.ts';

/** Below this nothing is told apart: a millionth of a core, a byte of memory, a byte in eleven days. */
const TINY = 1e-6;
const LN_TINY = Math.log(TINY);
/** Codes per unit of the natural logarithm: one code is 0.067 %; 65,535 of them reach 9e12. */
const CODES_PER_LN = 1500;
export const MISSING = 0;
/** Largest code. */
export const CODES = 65535;

const VALUES = Float32Array.from({ length: 65536 }, (_, code) =>
  code === 0 ? Number.NaN : Math.exp((code - 1) / CODES_PER_LN + LN_TINY) - TINY,
);

export function encode(value: number): number {
  return Math.min(CODES, 1 + Math.round((Math.log(value + TINY) - LN_TINY) * CODES_PER_LN));
}

/** NaN for a missing step. */
export function decode(code: number): number {
  return VALUES[code]!;
}

export class StepHistory {
  readonly codes: Uint16Array;
  /** Ring positions are `step & mask`: integer arithmetic, in the innermost loops of every model. */
  readonly mask: number;
  /** The newest step held; moves with `push`. Kept by the owner's scalars for serialising. */
  #newest = -1;

  /** `capacity` in steps, a power of two. */
  constructor(capacity: number, slab: StateSlab) {
    assert(capacity > 0 && (capacity & (capacity - 1)) === 0, `history capacity ${capacity} is not a power of two`);
    this.codes = slab.uint16(capacity);
    this.mask = capacity - 1;
  }

  /** For restoring: the ring's contents come with the codes, the position from the owner. */
  seek(newest: number): void {
    this.#newest = newest;
  }

  /** Appends step `step` (greater than the newest); the steps between become gaps. */
  push(step: number, code: number): void {
    const { codes, mask } = this;
    const missing = Math.min(codes.length, step - this.#newest - 1);
    for (let i = 1; i <= missing; i++) codes[(step - i) & mask] = MISSING;
    codes[step & mask] = code;
    this.#newest = step;
  }

  /** Code of a step, MISSING when it is a gap, not yet known, or forgotten. */
  at(step: number): number {
    if (step > this.#newest || step < 0 || step <= this.#newest - this.codes.length) return MISSING;
    return this.codes[step & this.mask]!;
  }

  /** Largest code within `radius` steps of `step`. */
  peakNear(step: number, radius: number): number {
    let peak = MISSING;
    for (let s = step - radius; s <= step + radius; s++) peak = Math.max(peak, this.at(s));
    return peak;
  }

  /** Largest code of the newest `steps` steps. */
  peakOf(steps: number): number {
    const { codes, mask } = this;
    const newest = this.#newest | 0;
    const oldest = Math.max(0, newest - Math.min(steps, codes.length) + 1);
    let peak = MISSING;
    for (let step = newest; step >= oldest; step--) {
      const code = codes[step & mask]!;
      if (code > peak) peak = code;
    }
    return peak;
  }
}
