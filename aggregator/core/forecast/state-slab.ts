/**
 * One piece of memory for all arrays of a model: an `ArrayBuffer` for each array costs a process some 350 bytes beside its
 * content, which a fleet has a million of. Input: how many bytes the arrays will take together; output: zeroed arrays, side by side.
 * What does not fit any more gets memory of its own.
 */
import { padded } from './state-bytes.ts';

/** What a model of each kind took: the first of a kind finds out for all that follow. */
const bytesByKind = new Map<string, number>();

export class StateSlab {
  readonly #kind: string | null;
  readonly #buffer: ArrayBuffer;
  #taken = 0;

  /** `kind`: models of one kind take arrays of the same lengths, in the same order. Without one every array stands alone. */
  constructor(kind: string | null = null) {
    this.#kind = kind;
    this.#buffer = new ArrayBuffer(bytesByKind.get(kind ?? '') ?? 0);
  }

  float64(length: number): Float64Array {
    return new Float64Array(...this.#take(length, Float64Array.BYTES_PER_ELEMENT));
  }
  float32(length: number): Float32Array {
    return new Float32Array(...this.#take(length, Float32Array.BYTES_PER_ELEMENT));
  }
  int32(length: number): Int32Array {
    return new Int32Array(...this.#take(length, Int32Array.BYTES_PER_ELEMENT));
  }
  uint16(length: number): Uint16Array {
    return new Uint16Array(...this.#take(length, Uint16Array.BYTES_PER_ELEMENT));
  }
  uint8(length: number): Uint8Array {
    return new Uint8Array(...this.#take(length, Uint8Array.BYTES_PER_ELEMENT));
  }

  #take(length: number, bytesEach: number): [ArrayBuffer, number, number] {
    const at = this.#taken;
    this.#taken += padded(length * bytesEach);
    if (this.#kind !== null) bytesByKind.set(this.#kind, Math.max(this.#taken, bytesByKind.get(this.#kind) ?? 0));
    return this.#taken <= this.#buffer.byteLength ? [this.#buffer, at, length] : [new ArrayBuffer(length * bytesEach), 0, length];
  }
}
