/**
 * Counters become rates here, and nowhere else. Input: cumulative counters with the monotonic time they were read at;
 * output: units per second, NaN where nothing honest can be said (first sample, reset, clock that stood still, gap).
 */

export interface RateOptions {
  /** Readings farther apart than this give no rate: one number cannot stand for a hole. */
  gapMsMax: number;
  /** Value at which the counter wraps to zero (2 ** 32 for counters of 32 bits); absent = it never wraps, falling means reset. */
  wrapsAt?: number;
}

export interface Rate {
  /** Feeds one reading; NaN in means unknown, and keeps the reading before. Returns units per second, or NaN. */
  next(value: number, nowMs: number): number;
}

/** Readings closer than this are one reading taken twice: their difference is mostly the kernel's tick. */
const SPACING_MS_MIN = 20;
/** A fall from the last quarter of the range to the first is a wrap; any other fall is a reset (reboot, reload, new device). */
const WRAP_SHARE = 0.25;

export function createRate(options: RateOptions): Rate {
  const table = new RateTable(1, options);
  return { next: (value, nowMs) => table.next(0, value, nowMs) };
}

/** Several counters by number, in columns: a host has nine of every VM at every look. */
export class RateTable {
  readonly #gapMsMax: number;
  readonly #wrapsAt: number | undefined;
  readonly #lastValues: Float64Array;
  readonly #lastMs: Float64Array;

  constructor(counters: number, { gapMsMax, wrapsAt }: RateOptions) {
    this.#gapMsMax = gapMsMax;
    this.#wrapsAt = wrapsAt;
    this.#lastValues = new Float64Array(counters).fill(Number.NaN);
    this.#lastMs = new Float64Array(counters).fill(Number.NaN);
  }

  /** As `Rate.next`, of one counter. */
  next(counter: number, value: number, nowMs: number): number {
    if (!Number.isFinite(value)) return Number.NaN;
    const elapsedMs = nowMs - this.#lastMs[counter]!;
    if (elapsedMs >= 0 && elapsedMs < SPACING_MS_MIN) return Number.NaN;
    const difference = counterDifference(this.#lastValues[counter]!, value, this.#wrapsAt);
    this.#lastValues[counter] = value;
    this.#lastMs[counter] = nowMs;
    if (!(elapsedMs > 0) || elapsedMs > this.#gapMsMax) return Number.NaN;
    return (difference / elapsedMs) * 1000;
  }
}

/** Growth of a counter between two readings; NaN when it was reset or the earlier reading is unknown. One that was beyond `wrapsAt` does not wrap there. */
export function counterDifference(before: number, after: number, wrapsAt?: number): number {
  if (after >= before) return after - before;
  if (wrapsAt === undefined || before >= wrapsAt) return Number.NaN;
  const wrapped = before >= wrapsAt * (1 - WRAP_SHARE) && after <= wrapsAt * WRAP_SHARE;
  return wrapped ? wrapsAt - before + after : Number.NaN;
}

/** Rates of a fixed set of named counters, all read at the same moment. */
export function createRates<Name extends string>(
  names: readonly Name[],
  options: RateOptions,
): (values: Record<Name, number>, nowMs: number) => Record<Name, number> {
  const rates = new RateTable(names.length, options);
  return (values, nowMs) => {
    const out = {} as Record<Name, number>;
    for (let i = 0; i < names.length; i++) out[names[i]!] = rates.next(i, values[names[i]!], nowMs);
    return out;
  };
}

/** A share of time can be measured a little above 1 when clocks are read apart; below 0 cannot happen. NaN stays NaN. */
export function clampFraction(value: number): number {
  return Math.min(1, Math.max(0, value));
}
