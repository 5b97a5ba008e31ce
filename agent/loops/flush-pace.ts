/**
 * When an uplink flushes: at instants a period apart, and only while anything waits to be sent or confirmed, so that an agent with nothing
 * to send does not wake up to find that out. Input: a clock, what a flush does, whether anything waits; output: its calls.
 */
import type { Clock, Timer } from '../../shared/clock.ts';

export interface FlushPaceOptions {
  clock: Clock;
  periodMs: number;
  flush: () => void;
  isIdle: () => boolean;
}

/** What is nearer than that is now, as far as sums of fractions tell: else a flush that leaves something waiting would come again at once, for ever. */
const WAIT_MS_MIN = 1;

export class FlushPace {
  readonly #options: FlushPaceOptions;
  #periodMs: number;
  /** One of the instants, by our monotonic clock; null = it does not run. */
  #atMs: number | null = null;
  #timer: Timer | undefined;

  constructor(options: FlushPaceOptions) {
    this.#options = options;
    this.#periodMs = options.periodMs;
  }

  get periodMs(): number {
    return this.#periodMs;
  }

  start(): void {
    this.#atMs = this.#options.clock.monotonicMs();
    this.soon();
  }

  stop(): void {
    this.#atMs = null;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** From `firstInMs` on at another period. */
  every(periodMs: number, firstInMs: number): void {
    this.stop();
    this.#periodMs = periodMs;
    this.#atMs = this.#options.clock.monotonicMs() + firstInMs;
    this.soon();
  }

  /** Something waits: at the next instant. */
  soon(): void {
    if (this.#atMs === null || this.#timer !== undefined) return;
    const { clock, flush, isIdle } = this.#options;
    const period = this.#periodMs;
    const aheadMs = (((this.#atMs - clock.monotonicMs()) % period) + period) % period;
    this.#timer = clock.setTimeout(
      () => {
        this.#timer = undefined;
        flush();
        if (!isIdle()) this.soon();
      },
      aheadMs < WAIT_MS_MIN ? aheadMs + period : aheadMs,
    );
  }
}
