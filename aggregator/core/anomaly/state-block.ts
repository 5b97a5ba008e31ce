/**
 * The arrays of one model side by side in one block of memory, so that all it has learnt is taken out and put back in one copy:
 * one model then serves any number of series, each of which is no more than its bytes. Arrays of their own cost more than what
 * they hold: a detector's seventeen took 10 KB for 2 KB of numbers.
 */
import type { StateArray } from '../forecast/state-bytes.ts';

/** A block is reserved once and cut to what was taken of it. */
const RESERVED_BYTES = 4096;

interface ArrayKind<T> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset: number, length: number): T;
}

export class StateBlock {
  readonly #buffer = new ArrayBuffer(RESERVED_BYTES);
  #used = 0;

  /** Zeroes at first, as all of these. Throws a RangeError when more is asked for than is reserved: a mistake in the layout. */
  float64(length: number): Float64Array {
    return this.#place(Float64Array, length);
  }

  float32(length: number): Float32Array {
    return this.#place(Float32Array, length);
  }

  /** Half precision keeps 11 bits up to 65,504. Serialises as its bits. */
  float16(length: number): { halves: Float16Array; bits: StateArray } {
    const halves = this.#place(Float16Array, length);
    return { halves, bits: new Uint16Array(this.#buffer, halves.byteOffset, length) };
  }

  uint16(length: number): Uint16Array {
    return this.#place(Uint16Array, length);
  }

  int32(length: number): Int32Array {
    return this.#place(Int32Array, length);
  }

  /** Everything placed so far, with the gaps between. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#buffer, 0, this.#used);
  }

  #place<T>(kind: ArrayKind<T>, length: number): T {
    const size = kind.BYTES_PER_ELEMENT;
    const from = Math.ceil(this.#used / size) * size;
    const array = new kind(this.#buffer, from, length);
    this.#used = from + length * size;
    return array;
  }
}
