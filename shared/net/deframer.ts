/**
 * Cuts a byte stream into messages: u32 big-endian length, then that many bytes. Input: chunks as they come. Output:
 * whole messages. A length of zero or above the cap throws before anything is allocated for it, and the stream cannot be
 * trusted after that: there is no resynchronisation, any framing error ends the connection.
 */
import { HeadroomError } from '../errors.ts';

export const LENGTH_BYTES = 4;

export class Deframer {
  readonly #maxBytes: number;
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Length of the message being read, -1 while its header is not complete. */
  #needed = -1;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Hands over each whole message (a copy, or a view of `chunk`); throws FRAME_TOO_LARGE or FRAME_MALFORMED at the first that is none. */
  push(chunk: Uint8Array, deliver: (message: Uint8Array) => void): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    for (;;) {
      if (this.#needed < 0) {
        if (this.#buffered < LENGTH_BYTES) return;
        const header = this.#take(LENGTH_BYTES);
        this.#needed = new DataView(header.buffer, header.byteOffset, LENGTH_BYTES).getUint32(0);
        if (this.#needed === 0) throw new HeadroomError('FRAME_MALFORMED', 'malformed frame: length 0');
        if (this.#needed > this.#maxBytes) {
          throw new HeadroomError('FRAME_TOO_LARGE', `frame of ${this.#needed} bytes announced; at most ${this.#maxBytes} are accepted`);
        }
      }
      if (this.#buffered < this.#needed) return;
      const message = this.#take(this.#needed);
      this.#needed = -1;
      deliver(message);
    }
  }

  #take(bytes: number): Uint8Array {
    this.#buffered -= bytes;
    const first = this.#chunks[0]!;
    if (first.length === bytes) {
      this.#chunks.shift();
      return first;
    }
    if (first.length > bytes) {
      this.#chunks[0] = first.subarray(bytes);
      return first.subarray(0, bytes);
    }
    const whole = new Uint8Array(bytes);
    let filled = 0;
    let used = 0;
    while (filled < bytes) {
      const chunk = this.#chunks[used]!;
      const part = chunk.subarray(0, bytes - filled);
      whole.set(part, filled);
      filled += part.length;
      if (part.length < chunk.length) this.#chunks[used] = chunk.subarray(part.length);
      else used++;
    }
    this.#chunks.splice(0, used);
    return whole;
  }
}

export function lengthPrefix(message: Uint8Array): Uint8Array {
  const header = new Uint8Array(LENGTH_BYTES);
  new DataView(header.buffer).setUint32(0, message.length);
  return header;
}
