/**
 * Plans out of turn: what must not wait for the plan loop's turn asks for one, soon. Input: after how long (ms, monotonic); output:
 * one call of `plan` for all who ask in the meantime.
 */
import type { Clock, Timer } from '../../shared/clock.ts';

export class ExtraPlan {
  readonly #clock: Clock;
  readonly #plan: () => void;
  #due: { monoMs: number; timer: Timer } | null = null;

  constructor(clock: Clock, plan: () => void) {
    this.#clock = clock;
    this.#plan = plan;
  }

  /** One that is due sooner serves as well. */
  in(waitMs: number): void {
    const monoMs = this.#clock.monotonicMs() + waitMs;
    if (this.#due !== null && this.#due.monoMs <= monoMs) return;
    this.cancel();
    const timer = this.#clock.setTimeout(() => {
      this.#due = null;
      this.#plan();
    }, waitMs);
    this.#due = { monoMs, timer };
  }

  cancel(): void {
    this.#due?.timer.cancel();
    this.#due = null;
  }
}
