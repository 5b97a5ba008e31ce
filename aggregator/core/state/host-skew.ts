/**
 * How far a host's wall clock is from ours. Input: per frame, our time minus the newest row's; output: what to add to that
 * host's times. Small differences are transit; a large one must last before it counts, since rows may also just be late.
 */

/** Frames in a row that must agree: a burst of late rows is over by then. */
const FRAMES_TO_BELIEVE = 3;

export class HostSkew {
  readonly #toleranceMs: number;
  #skewMs = 0;
  #against = 0;

  constructor(toleranceMs: number) {
    this.#toleranceMs = toleranceMs;
  }

  get skewMs(): number {
    return this.#skewMs;
  }

  observe(offsetMs: number): void {
    if (Math.abs(offsetMs - this.#skewMs) <= this.#toleranceMs) {
      this.#against = 0;
      return;
    }
    if (++this.#against < FRAMES_TO_BELIEVE) return;
    this.#against = 0;
    this.#skewMs = Math.abs(offsetMs) <= this.#toleranceMs ? 0 : Math.round(offsetMs);
  }
}
