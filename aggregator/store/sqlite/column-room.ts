/**
 * Where columns are put together. Input: a number of rows; output: an array of as many numbers, whatever stands in it.
 * `newColumn` makes a new one each time. `ColumnArena` gives pieces of the same memory again after each `clear`: sealing
 * would else leave some hundred KB a bin to the collector, which looks through all of the heap for it.
 */
export type ColumnRoom = (rows: number) => Float64Array;

export const newColumn: ColumnRoom = (rows) => new Float64Array(rows);

/** Numbers in a slab: the columns of several bins at 1 Hz. */
const SLAB_ROWS = 128 * 1024;
/** Slabs kept for the next time; a burst's are given back. */
const SLABS_KEPT = 8;

export class ColumnArena {
  #slabs: Float64Array[] = [];
  #slab = 0;
  #used = 0;

  /** Good until `clear`. */
  readonly room: ColumnRoom = (rows) => {
    if (rows > SLAB_ROWS) return new Float64Array(rows);
    if (this.#used + rows > SLAB_ROWS) {
      this.#slab++;
      this.#used = 0;
    }
    this.#slabs[this.#slab] ??= new Float64Array(SLAB_ROWS);
    const at = this.#used;
    this.#used += rows;
    return this.#slabs[this.#slab]!.subarray(at, at + rows);
  };

  /** All that was given is free again. */
  clear(): void {
    this.#slab = 0;
    this.#used = 0;
    this.#slabs.length = Math.min(this.#slabs.length, SLABS_KEPT);
  }
}
