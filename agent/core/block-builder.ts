/**
 * Grows one telemetry block row by row without an object per row. Input: blocks of one series and one field list.
 * Output: one block with exactly sized columns. Pure.
 */
import type { Source, Subject, TelemetryBlock } from '../../shared/telemetry.ts';

const BYTES_PER_NUMBER = 8;

export class BlockBuilder {
  readonly sinceMs: number;
  readonly receipts: ((stored: boolean) => void)[] = [];
  readonly #subject: Subject;
  readonly #source: Source;
  readonly #fields: readonly string[];
  readonly #overheadBytes: number;
  #times: Float64Array;
  #values: Float64Array;
  #rows = 0;

  /** For the series and fields of `first`, which is not yet appended. `owned`: its arrays are nobody else's any more. */
  constructor(first: TelemetryBlock, sinceMs: number, overheadBytes: number, owned = false) {
    this.sinceMs = sinceMs;
    this.#subject = first.subject;
    this.#source = first.source;
    this.#fields = first.fields;
    // Names count too: on a new connection they travel again.
    this.#overheadBytes = first.fields.reduce((bytes, field) => bytes + field.length, overheadBytes);
    // Most blocks leave with what came first (a row a flush): room for just that, doubled when more comes.
    this.#times = owned ? first.timesMs : new Float64Array(first.timesMs.length);
    this.#values = owned ? first.values : new Float64Array(first.values.length);
  }

  static cost(block: TelemetryBlock): number {
    return BYTES_PER_NUMBER * (block.timesMs.length + block.values.length);
  }

  get rows(): number {
    return this.#rows;
  }

  /** What its rows cost, bytes, overhead included. */
  get bytes(): number {
    return this.#overheadBytes + BYTES_PER_NUMBER * this.#rows * (1 + this.#fields.length);
  }

  sameFields(fields: readonly string[]): boolean {
    if (fields === this.#fields) return true;
    return fields.length === this.#fields.length && fields.every((field, i) => field === this.#fields[i]);
  }

  /** Do the block's times come after what is here? */
  follows(block: TelemetryBlock): boolean {
    return this.#rows === 0 || block.timesMs[0]! > this.#times[this.#rows - 1]!;
  }

  append(block: TelemetryBlock): void {
    const rows = this.#rows + block.timesMs.length;
    if (rows > this.#times.length) this.#grow(Math.max(rows, this.#times.length * 2));
    if (block.values !== this.#values) {
      this.#times.set(block.timesMs, this.#rows);
      this.#values.set(block.values, this.#rows * this.#fields.length);
    }
    this.#rows = rows;
  }

  /** Call once, and append nothing afterwards: a full builder hands out its own arrays. */
  build(): TelemetryBlock {
    const full = this.#rows === this.#times.length;
    return {
      subject: this.#subject,
      source: this.#source,
      fields: this.#fields,
      timesMs: full ? this.#times : this.#times.slice(0, this.#rows),
      values: full ? this.#values : this.#values.slice(0, this.#rows * this.#fields.length),
    };
  }

  #grow(capacity: number): void {
    const times = new Float64Array(capacity);
    times.set(this.#times);
    this.#times = times;
    const values = new Float64Array(capacity * this.#fields.length);
    values.set(this.#values);
    this.#values = values;
  }
}
