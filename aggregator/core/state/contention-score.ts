/**
 * How much a VM suffers from its neighbours and its limits, as one figure: 0 = nothing waits, 1 = nothing else happens. Input:
 * rows; output: the score and its parts. Parts are shares of time, smoothed over about a minute, and joined as if they were
 * independent: 1 − Π(1 − part). It is shown, and decides nothing.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';

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
  /** Share of time, 0..1. */
  share: (value: number) => number;
}

const asIs = (value: number): number => value;
const HOST_SIGNALS: Readonly<Record<string, Signal>> = {
  'vm_cpu.waitFraction': { part: 'cpuWait', share: asIs },
  'vm_pressure.memorySomeFraction': { part: 'memoryPressure', share: asIs },
  'vm_pressure.ioSomeFraction': { part: 'ioPressure', share: asIs },
  'vm_memory.swapInMiBPerSecond': { part: 'swap', share: (rate) => rate / SWAP_FULL_MIB_PER_SECOND },
};
const GUEST_SIGNALS: Readonly<Record<string, Signal>> = { 'vm_cpu.guestStealFraction': { part: 'steal', share: asIs } };

export class ContentionScore {
  readonly #parts = new Map<ContentionPart, { value: number; atMs: number }>();

  add({ source, fields, timesMs, values }: TelemetryBlock): void {
    const signals = source === 'host' ? HOST_SIGNALS : GUEST_SIGNALS;
    for (const [column, field] of fields.entries()) {
      const signal = signals[field];
      if (signal === undefined) continue;
      for (const [row, timeMs] of timesMs.entries()) {
        const value = values[row * fields.length + column]!;
        if (!Number.isNaN(value)) this.#note(signal.part, Math.min(1, Math.max(0, signal.share(value))), timeMs);
      }
    }
  }

  #note(part: ContentionPart, share: number, atMs: number): void {
    const known = this.#parts.get(part);
    if (known === undefined || atMs - known.atMs > FRESH_MS) {
      this.#parts.set(part, { value: share, atMs });
      return;
    }
    if (atMs <= known.atMs) return;
    const weight = 1 - Math.exp(-(atMs - known.atMs) / SMOOTH_MS);
    known.value += weight * (share - known.value);
    known.atMs = atMs;
  }

  /** Null: nothing is known of late. */
  view(nowMs: number): Contention | null {
    const parts = Object.fromEntries(
      CONTENTION_PARTS.map((part) => {
        const known = this.#parts.get(part);
        return [part, known !== undefined && nowMs - known.atMs <= FRESH_MS ? known.value : null];
      }),
    ) as Contention['parts'];
    const known = Object.values(parts).filter((part) => part !== null);
    return known.length === 0 ? null : { score: 1 - known.reduce((left, part) => left * (1 - part), 1), parts };
  }
}
