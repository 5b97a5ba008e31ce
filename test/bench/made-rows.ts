/**
 * Telemetry as hosts send it, for stores and wire to be measured with: 20 values a row that wander like real ones (use in
 * thousandths, sizes that rest for minutes, counters that jump). Input: a seed and VM; output: blocks of rows. Pure.
 */
import { createPrng } from '../../shared/prng.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { VM_HOST_FIELDS } from '../../shared/telemetry.ts';

export const FIELDS_PER_ROW = 20;
export const FIELDS: readonly string[] = VM_HOST_FIELDS.slice(0, FIELDS_PER_ROW);

export const vmUuid = (n: number): string => `beac0000-0000-4000-8000-${String(n).padStart(12, '0')}`;

export class MadeVm {
  readonly id: string;
  readonly #random: () => number;
  readonly #values = new Float64Array(FIELDS_PER_ROW);

  constructor(n: number) {
    this.id = vmUuid(n);
    const prng = createPrng(17, String(n));
    this.#random = () => prng.next();
    for (let i = 0; i < FIELDS_PER_ROW; i++) this.#values[i] = Math.round(1000 * this.#random());
  }

  /** `rows` rows from `fromMs` on, one each `stepMs`. */
  block(fromMs: number, rows: number, stepMs: number): TelemetryBlock {
    const timesMs = new Float64Array(rows);
    const values = new Float64Array(rows * FIELDS_PER_ROW);
    for (let row = 0; row < rows; row++) {
      timesMs[row] = fromMs + row * stepMs;
      this.#move();
      values.set(this.#values, row * FIELDS_PER_ROW);
    }
    return { subject: { kind: 'vm', id: this.id }, source: 'host', fields: FIELDS, timesMs, values };
  }

  /** A third of the fields move each time, in thousandths; a third now and then; a third rest. */
  #move(): void {
    for (let i = 0; i < FIELDS_PER_ROW; i++) {
      if (i % 3 === 0) this.#values[i] = Math.round(1000 * (this.#values[i]! * 0.9 + this.#random() * 0.2)) / 1000;
      else if (i % 3 === 1 && this.#random() < 0.05) this.#values[i] = Math.round(4096 * this.#random());
    }
  }
}
