/**
 * What a guest's own agent cannot tell: its kernel has no pressure accounting, or no word of steal. Input: the guest's rows;
 * output: names of what has been unknown in all of them for a minute, as the API lists them beside what the host cannot tell.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { fieldPlan } from './field-plan.ts';

const FIELDS = {
  'guest-run-queue': 'vm_cpu.guestRunQueue',
  'guest-steal': 'vm_cpu.guestStealFraction',
  'guest-memory': 'vm_memory.guestAvailableMiB',
  'guest-refaults': 'vm_memory.guestRefaultsPerSecond',
  'guest-pressure': 'vm_pressure.guestMemoryFullFraction',
} as const;
const NAMES = Object.keys(FIELDS) as (keyof typeof FIELDS)[];
const columnsOf = fieldPlan((fields) => NAMES.map((name) => fields.indexOf(FIELDS[name])));

/** Rates are unknown at first, and statistics come every few seconds. */
const SILENT_MS = 60_000;

export class GuestSignals {
  /** First and newest row; NaN: none yet. */
  #fromMs = Number.NaN;
  #untilMs = Number.NaN;
  /** When each was last known, by place in NAMES; NaN: never. */
  readonly #knownMs = new Float64Array(NAMES.length).fill(Number.NaN);

  /** Rows of the guest, in any order. */
  add({ fields, timesMs, values }: TelemetryBlock): void {
    const columns = columnsOf(fields);
    // A block of other measurements says nothing about these.
    if (columns.every((column) => column < 0)) return;
    const newestMs = timesMs[timesMs.length - 1]!;
    if (!(newestMs <= this.#untilMs)) this.#untilMs = newestMs;
    if (!(newestMs >= this.#fromMs)) this.#fromMs = newestMs;
    const row = (timesMs.length - 1) * fields.length;
    for (let i = 0; i < columns.length; i++) {
      if (columns[i]! >= 0 && !Number.isNaN(values[row + columns[i]!]!)) this.#knownMs[i] = newestMs;
    }
  }

  missing(): string[] {
    return NAMES.filter((_, i) => {
      const sinceMs = Number.isNaN(this.#knownMs[i]!) ? this.#fromMs : this.#knownMs[i]!;
      return this.#untilMs - sinceMs >= SILENT_MS;
    });
  }
}
