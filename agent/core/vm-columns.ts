/**
 * One VM's row as numbers by column, so that a sample of it makes no object of names. Input: readings by the field's name as
 * it stands in the code; output: a row in the order of VM_HOST_FIELDS, NaN = unknown. Pure.
 */
import { VM_HOST_FIELDS } from '../../shared/telemetry.ts';

export type VmHostField = (typeof VM_HOST_FIELDS)[number];

/** Where a field stands. */
export const VM_COLUMN = Object.fromEntries(VM_HOST_FIELDS.map((field, column) => [field, column])) as Readonly<
  Record<VmHostField, number>
>;

/** A row of which nothing is known. */
export const unknownVmRow = (): Float64Array => new Float64Array(VM_HOST_FIELDS.length).fill(Number.NaN);

/** What is not known, or no number, leaves what is there. */
export function put(row: Float64Array, column: number, value: number | null | undefined): void {
  if (value !== null && value !== undefined && Number.isFinite(value)) row[column] = value;
}

/** So many rows share memory: a piece of it each would cost more than what is in it. One that is kept for long keeps the others. */
const ROWS_TOGETHER = 32;

/** Rows of one sample, each begun from what is known already. */
export class VmRows {
  #left: number;
  #numbers = new Float64Array(0);
  #at = 0;

  /** `rows`: as many as may come. */
  constructor(rows: number) {
    this.#left = rows;
  }

  next(known: Float64Array): Float64Array {
    if (this.#at === this.#numbers.length) {
      this.#numbers = new Float64Array(Math.max(1, Math.min(this.#left, ROWS_TOGETHER)) * known.length);
      this.#at = 0;
    }
    this.#left--;
    const row = this.#numbers.subarray(this.#at, this.#at + known.length);
    this.#at += known.length;
    row.set(known);
    return row;
  }
}
