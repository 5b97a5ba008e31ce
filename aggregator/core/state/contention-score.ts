/**
 * How much a VM suffers from its neighbours and its limits, as one figure: 0 = nothing waits, 1 = nothing else happens. Input:
 * rows; output: the score and its parts. Parts are shares of time, smoothed over about a minute, and joined as if they were
 * independent: 1 − Π(1 − part). It is shown, and decides nothing.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { fieldPlan } from './field-plan.ts';

/** Time constant of the smoothing: the window of the kernel's own middle pressure average. */
const SMOOTH_MS = 60_000;
/** Older than this a part is unknown. */
const FRESH_MS = 5 * 60_000;
/** Swapping at this rate, nearly all that runs waits for it: a spinning disk's random reads are slower still. */
const SWAP_FULL_MIB_PER_SECOND = 20;

export const CONTENTION_PARTS = ['cpuWait', 'steal', 'memoryPressure', 'ioPressure', 'swap'] as const;
export type ContentionPart = (typeof CONTENTION_PARTS)[number];

export interface Contention {
  /** 0..1 over the known parts. */
  score: number;
  /** Null = unknown. `steal` is the guest's own word; the others the host saw. */
  parts: Record<ContentionPart, number | null>;
}

interface Signal {
  part: ContentionPart;
  /** The value that stands for all of the time. */
  full: number;
}

const HOST_SIGNALS: Readonly<Record<string, Signal>> = {
  'vm_cpu.waitFraction': { part: 'cpuWait', full: 1 },
  'vm_pressure.memorySomeFraction': { part: 'memoryPressure', full: 1 },
  'vm_pressure.ioSomeFraction': { part: 'ioPressure', full: 1 },
  'vm_memory.swapInMiBPerSecond': { part: 'swap', full: SWAP_FULL_MIB_PER_SECOND },
};
const GUEST_SIGNALS: Readonly<Record<string, Signal>> = { 'vm_cpu.guestStealFraction': { part: 'steal', full: 1 } };

const columnsOf = (signals: Readonly<Record<string, Signal>>) =>
  fieldPlan((fields) =>
    fields.flatMap((field, column) => {
      const signal = Object.hasOwn(signals, field) ? signals[field]! : null;
      return signal === null ? [] : [{ column, part: CONTENTION_PARTS.indexOf(signal.part), full: signal.full }];
    }),
  );
const HOST_COLUMNS = columnsOf(HOST_SIGNALS);
const GUEST_COLUMNS = columnsOf(GUEST_SIGNALS);

/** How much a new share counts after so long; rows come at an even pace, so mostly the last answer stands. */
const newest = { elapsedMs: 0, weight: 0 };
function weightAfter(elapsedMs: number): number {
  if (newest.elapsedMs !== elapsedMs) {
    newest.elapsedMs = elapsedMs;
    newest.weight = 1 - Math.exp(-elapsedMs / SMOOTH_MS);
  }
  return newest.weight;
}

export class ContentionScore {
  /** By place in CONTENTION_PARTS; a time that is NaN = never known. */
  readonly #shares = new Float64Array(CONTENTION_PARTS.length);
  readonly #timesMs = new Float64Array(CONTENTION_PARTS.length).fill(Number.NaN);

  add({ source, fields, timesMs, values }: TelemetryBlock): void {
    const columns = source === 'host' ? HOST_COLUMNS(fields) : GUEST_COLUMNS(fields);
    for (let i = 0; i < columns.length; i++) {
      const { column, part, full } = columns[i]!;
      for (let row = 0; row < timesMs.length; row++) {
        const value = values[row * fields.length + column]!;
        if (!Number.isNaN(value)) this.#note(part, Math.min(1, Math.max(0, value / full)), timesMs[row]!);
      }
    }
  }

  #note(part: number, share: number, atMs: number): void {
    const elapsedMs = atMs - this.#timesMs[part]!;
    if (Number.isNaN(elapsedMs) || elapsedMs > FRESH_MS) {
      this.#shares[part] = share;
      this.#timesMs[part] = atMs;
      return;
    }
    if (elapsedMs <= 0) return;
    this.#shares[part]! += weightAfter(elapsedMs) * (share - this.#shares[part]!);
    this.#timesMs[part] = atMs;
  }

  /** Null: nothing is known of late. */
  view(nowMs: number): Contention | null {
    let left = 1;
    let known = 0;
    const part = (index: number): number | null => {
      if (!(nowMs - this.#timesMs[index]! <= FRESH_MS)) return null;
      known++;
      left *= 1 - this.#shares[index]!;
      return this.#shares[index]!;
    };
    // In the order of CONTENTION_PARTS.
    const parts = { cpuWait: part(0), steal: part(1), memoryPressure: part(2), ioPressure: part(3), swap: part(4) };
    return known === 0 ? null : { score: 1 - left, parts };
  }
}
