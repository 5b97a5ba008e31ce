/**
 * Memory of this host as what is lent. Input: how much; output: bytes that are read and written at once, zeroed before anybody sees them.
 */
import type { LentBytes } from './lender.ts';

/** Zeroed between looking after connections. */
const ZERO_BYTES_AT_ONCE = 64 * 1024 * 1024;

export class LentMemory implements LentBytes {
  readonly #memory: Buffer;
  #dirty = false;
  #zeroing: Promise<void> | null = null;

  constructor(bytes: number) {
    // Written to, so that the pages are here from now on: what is lent is not there for others, and the host's free memory shows it.
    this.#memory = Buffer.alloc(bytes).fill(0);
  }

  /** Nobody sees what another guest left. */
  async open(): Promise<null> {
    await this.close();
    return null;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return this.#memory.subarray(offset, offset + length);
  }

  async write(offset: number, data: Buffer): Promise<void> {
    this.#dirty = true;
    data.copy(this.#memory, offset);
  }

  async flush(): Promise<void> {}

  close(): Promise<void> {
    if (!this.#dirty) return Promise.resolve();
    this.#zeroing ??= this.#zero();
    return this.#zeroing;
  }

  async #zero(): Promise<void> {
    for (let at = 0; at < this.#memory.length; at += ZERO_BYTES_AT_ONCE) {
      this.#memory.fill(0, at, Math.min(this.#memory.length, at + ZERO_BYTES_AT_ONCE));
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#dirty = false;
    // In the same turn: what is written from here on is another's to clear.
    this.#zeroing = null;
  }
}
