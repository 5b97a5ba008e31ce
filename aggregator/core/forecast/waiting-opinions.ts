/**
 * What was known when a coming step was looked at, kept until that step is over: one row an opinion, a few rows for each lead. A lead
 * and a step in, the place of its row out. All of it is state, in two arrays.
 */
import type { StateArray } from './state-bytes.ts';
import { StateSlab } from './state-slab.ts';

const NONE = -1;

export class WaitingOpinions {
  /** [places × row length]. */
  readonly rows: Float32Array;
  /** The step each place waits for. */
  readonly #steps: Int32Array;
  /** Where each lead's places begin, and where the last one's end. */
  readonly #from: readonly number[];

  /** `places`: how many opinions of each lead can wait at a time. */
  constructor(places: readonly number[], rowLength: number, slab = new StateSlab()) {
    const from = [0];
    for (const count of places) from.push(from.at(-1)! + count);
    this.#from = from;
    const all = from.at(-1)!;
    this.rows = slab.float32(all * rowLength);
    this.#steps = slab.int32(all).fill(NONE);
  }

  get arrays(): StateArray[] {
    return [this.rows, this.#steps];
  }

  forgetAll(): void {
    this.#steps.fill(NONE);
  }

  /** The place of the opinion on `step`, -1 = there is none. */
  placeOf(lead: number, step: number): number {
    const end = this.#from[lead + 1]!;
    for (let place = this.#from[lead]!; place < end; place++) if (this.#steps[place] === step) return place;
    return NONE;
  }

  /** A place for an opinion on `step`, given in step `now`: one whose own step is over. -1 = all still wait. */
  take(lead: number, step: number, now: number): number {
    const end = this.#from[lead + 1]!;
    for (let place = this.#from[lead]!; place < end; place++) {
      if (this.#steps[place]! > now) continue;
      this.#steps[place] = step;
      return place;
    }
    return NONE;
  }
}
