/**
 * UTC time that does not jump. Input: a Clock whose wall time may be stepped; output: milliseconds that follow the wall
 * slowly and never run back. Steps of the series, cooldowns and windows would otherwise be torn by every correction of the
 * machine's clock.
 */
import type { Clock } from '../../shared/clock.ts';

/** Share of elapsed time by which it may run faster or slower: a minute's error is gone within ten minutes. */
const SLEW_SHARE = 0.1;
/** Nearer than this to the wall it counts as following it: the grain of what is asked for. */
const GRAIN_MS = 1;

export class SteadyTime {
  readonly #clock: Clock;
  #nowMs: number;
  #monoMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#nowMs = clock.wallMs();
    this.#monoMs = clock.monotonicMs();
  }

  /** Whole milliseconds. */
  nowMs(): number {
    const monoMs = this.#clock.monotonicMs();
    const elapsedMs = Math.max(0, monoMs - this.#monoMs);
    this.#monoMs = monoMs;
    const asideMs = this.#clock.wallMs() - (this.#nowMs + elapsedMs);
    const slewMs = Math.max(-SLEW_SHARE * elapsedMs, Math.min(SLEW_SHARE * elapsedMs, asideMs));
    this.#nowMs += elapsedMs + slewMs;
    return Math.floor(this.#nowMs);
  }

  /**
   * Monotonic milliseconds until it has gone on by so many of its own: while it follows a step of the wall it goes faster or
   * slower, and a timer set for its own would wake late, or early again and again. A step yet to come is not foreseen.
   */
  waitMs(steadyMs: number): number {
    this.nowMs();
    const asideMs = this.#clock.wallMs() - this.#nowMs;
    if (Math.abs(asideMs) < GRAIN_MS) return steadyMs;
    const rate = 1 + Math.sign(asideMs) * SLEW_SHARE;
    const followsMs = Math.abs(asideMs) / SLEW_SHARE;
    return steadyMs <= followsMs * rate ? steadyMs / rate : followsMs + (steadyMs - followsMs * rate);
  }

  /** How far the machine's clock is ahead of this one, ms. */
  asideMs(): number {
    return this.#clock.wallMs() - this.nowMs();
  }
}
