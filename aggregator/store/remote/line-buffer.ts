/**
 * Bytes of line protocol, put one behind the other: text that is laid out already, numbers, times. Input: bytes and
 * numbers; output: the text of all of it. Numbers are written digit by digit, which is several times cheaper than a string
 * for each; what is written reads back as the very same number.
 */

/** Telemetry is rounded to so many decimals where it is rounded at all. */
const DECIMALS = 4;
const SCALE = 10 ** DECIMALS;
/** Digits are taken apart by 32-bit arithmetic. */
const UINT_MAX = 2 ** 31 - 1;
/** The longest number: -1.2345678901234567e-300. */
const NUMBER_BYTES_MAX = 32;

const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;

export class LineBuffer {
  #bytes = Buffer.allocUnsafe(64 * 1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes back what was written from there on. */
  cut(length: number): void {
    this.#length = length;
  }

  byte(value: number): void {
    if (this.#length + 1 > this.#bytes.length) this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  put(from: Uint8Array): void {
    if (this.#length + from.length > this.#bytes.length) this.#grow(from.length);
    const bytes = this.#bytes;
    let at = this.#length;
    for (let i = 0; i < from.length; i++) bytes[at++] = from[i]!;
    this.#length = at;
  }

  /** A finite number. */
  number(value: number): void {
    if (this.#length + NUMBER_BYTES_MAX > this.#bytes.length) this.#grow(NUMBER_BYTES_MAX);
    const positive = Math.abs(value);
    const scaled = Math.round(positive * SCALE);
    // Division is correctly rounded, and so is reading the digits of the quotient: both give the same number or neither does.
    if (positive > UINT_MAX || scaled / SCALE !== positive) {
      this.#length += this.#bytes.write(String(value), this.#length, 'latin1');
      return;
    }
    if (value < 0 || Object.is(value, -0)) this.#bytes[this.#length++] = MINUS;
    const whole = Math.trunc(positive);
    this.#uint(whole);
    let rest = scaled - whole * SCALE;
    if (rest === 0) return;
    this.#bytes[this.#length++] = POINT;
    let digits = DECIMALS;
    while (rest % 10 === 0) {
      rest /= 10;
      digits--;
    }
    this.#padded(rest, digits);
  }

  /** Whole milliseconds from 1970 on, until the year 70,000. */
  time(ms: number): void {
    if (this.#length + NUMBER_BYTES_MAX > this.#bytes.length) this.#grow(NUMBER_BYTES_MAX);
    const high = Math.floor(ms / 1e6);
    if (ms < 1e6 || high > UINT_MAX) {
      this.#length += this.#bytes.write(String(ms), this.#length, 'latin1');
      return;
    }
    this.#uint(high);
    this.#padded(ms - high * 1e6, 6);
  }

  /** All of it as text; begins anew. */
  take(): string {
    const text = this.#bytes.toString('utf8', 0, this.#length);
    this.#length = 0;
    return text;
  }

  #uint(value: number): void {
    let digits = 1;
    for (let bound = 10; digits < 10 && value >= bound; bound *= 10) digits++;
    this.#padded(value, digits);
  }

  #padded(value: number, digits: number): void {
    const bytes = this.#bytes;
    let rest = value | 0;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      const quotient = (rest / 10) | 0;
      bytes[at] = ZERO + rest - quotient * 10;
      rest = quotient;
    }
    this.#length += digits;
  }

  #grow(more: number): void {
    const bytes = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#length + more));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}
