/**
 * SHA-256 of what a decision rests on. Plain values in, a digest in hex out; equal values give equal digests, on every machine.
 * Numbers go in as their eight bytes and each name once: as JSON text, the decimals of a fleet's forecasts cost more than the
 * plan that is made from them. Pure.
 */
import { createHash, type Hash } from 'node:crypto';

const CHUNK_BYTES = 64 * 1024;
/** The most that is written at once, texts and numbers in pieces aside: a number with its tag. */
const ROOM_BYTES = 16;
const NUMBER_BYTES = 8;
/** A UTF-16 unit is at most three bytes of UTF-8. */
const TEXT_UNITS_MAX = Math.floor(CHUNK_BYTES / 3) - ROOM_BYTES;

/** What follows. */
const TAG = { nothing: 0, no: 1, yes: 2, number: 3, newText: 4, text: 5, list: 6, record: 7, end: 8, numbers: 9 } as const;

export class InputsDigest {
  readonly #hash: Hash = createHash('sha256');
  readonly #bytes = Buffer.allocUnsafe(CHUNK_BYTES);
  readonly #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, CHUNK_BYTES);
  #at = 0;
  /** Texts so far, by the order in which they came. */
  readonly #texts = new Map<string, number>();

  /** What JSON would leave out (undefined, functions) is left out; the order of a record's fields counts. */
  add(value: unknown): this {
    switch (typeof value) {
      case 'number':
        this.#number(TAG.number, value);
        break;
      case 'string':
        this.#text(value);
        break;
      case 'boolean':
        this.#tag(value ? TAG.yes : TAG.no);
        break;
      case 'object':
        if (value === null) this.#tag(TAG.nothing);
        else if (Array.isArray(value)) this.#list(value);
        else this.#record(value as Record<string, unknown>);
        break;
      default:
        this.#tag(TAG.nothing);
    }
    return this;
  }

  /** Call once, at last. */
  hex(): string {
    this.#flush();
    return this.#hash.digest('hex');
  }

  #list(values: readonly unknown[]): void {
    if (values.length > 1 && areNumbers(values)) {
      this.#numbers(values);
      return;
    }
    this.#number(TAG.list, values.length);
    for (let i = 0; i < values.length; i++) this.add(values[i]);
  }

  /** Forecasts are lists of some dozens. */
  #numbers(values: readonly number[]): void {
    this.#number(TAG.numbers, values.length);
    for (let i = 0; i < values.length; i++) {
      this.#makeRoom(NUMBER_BYTES);
      this.#view.setFloat64(this.#at, values[i]!, true);
      this.#at += NUMBER_BYTES;
    }
  }

  #record(record: Record<string, unknown>): void {
    this.#tag(TAG.record);
    for (const name in record) {
      const value = record[name];
      if (value === undefined || typeof value === 'function') continue;
      this.#text(name);
      this.add(value);
    }
    this.#tag(TAG.end);
  }

  #text(text: string): void {
    const known = this.#texts.get(text);
    if (known !== undefined) {
      this.#number(TAG.text, known);
      return;
    }
    this.#texts.set(text, this.#texts.size);
    this.#number(TAG.newText, text.length);
    for (let from = 0; from < text.length; from += TEXT_UNITS_MAX) {
      const piece = text.slice(from, from + TEXT_UNITS_MAX);
      this.#makeRoom(3 * piece.length);
      this.#at += this.#bytes.write(piece, this.#at, 'utf8');
    }
  }

  #number(tag: number, value: number): void {
    this.#makeRoom(ROOM_BYTES);
    this.#bytes[this.#at] = tag;
    this.#view.setFloat64(this.#at + 1, value, true);
    this.#at += 9;
  }

  #tag(tag: number): void {
    this.#makeRoom(1);
    this.#bytes[this.#at++] = tag;
  }

  #makeRoom(bytes: number): void {
    if (this.#at + bytes > CHUNK_BYTES) this.#flush();
  }

  #flush(): void {
    this.#hash.update(this.#bytes.subarray(0, this.#at));
    this.#at = 0;
  }
}

function areNumbers(values: readonly unknown[]): values is readonly number[] {
  for (let i = 0; i < values.length; i++) if (typeof values[i] !== 'number') return false;
  return true;
}
