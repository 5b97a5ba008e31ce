/**
 * One loop: runs a piece of work at its own pace, never twice at once, and measures it. Input: the work, a period, a clock;
 * output: figures. A run that takes longer than its period is counted and the next one follows at once, not several.
 */
import type { Clock, Timer } from '../../shared/clock.ts';

export interface LoopOptions {
  name: string;
  clock: Clock;
  periodMs: number;
  /** Milliseconds until the next run, asked after each; absent = a period after the last one began. */
  nextDelayMs?: () => number;
  run: () => Promise<void> | void;
  onError: (name: string, error: unknown) => void;
}

export interface LoopFigures {
  runs: number;
  failures: number;
  overruns: number;
  lastMs: number;
  longestMs: number;
}

export class Loop {
  readonly name: string;
  readonly figures: LoopFigures = { runs: 0, failures: 0, overruns: 0, lastMs: 0, longestMs: 0 };
  readonly #options: LoopOptions;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #stopped = true;

  constructor(options: LoopOptions) {
    this.name = options.name;
    this.#options = options;
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#schedule(this.#nextDelayMs(0));
  }

  /** Waits for the run under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** Now, or right after the run under way has ended. */
  async runNow(): Promise<void> {
    await this.#running;
    await this.#once();
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#options.clock.setTimeout(() => void this.#turn(), Math.max(0, delayMs));
  }

  async #turn(): Promise<void> {
    // Someone asked for a run just now: that one counts.
    if (this.#running) await this.#running;
    else await this.#once();
    if (this.#stopped) return;
    if (this.figures.lastMs > this.#options.periodMs) this.figures.overruns++;
    this.#schedule(this.#nextDelayMs(this.figures.lastMs));
  }

  #nextDelayMs(elapsedMs: number): number {
    const { nextDelayMs, periodMs } = this.#options;
    return nextDelayMs ? nextDelayMs() : periodMs - elapsedMs;
  }

  #once(): Promise<void> {
    const running = this.#measured().finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #measured(): Promise<void> {
    const { clock, run, onError } = this.#options;
    const startMs = clock.monotonicMs();
    try {
      await run();
    } catch (error) {
      this.figures.failures++;
      onError(this.name, error);
    }
    this.figures.runs++;
    this.figures.lastMs = clock.monotonicMs() - startMs;
    this.figures.longestMs = Math.max(this.figures.longestMs, this.figures.lastMs);
  }
}

/** For metrics: `loop_plan_runs_total`, … */
export function loopMetrics({ name, figures }: Loop): Record<string, number> {
  return {
    [`loop_${name}_runs_total`]: figures.runs,
    [`loop_${name}_failures_total`]: figures.failures,
    [`loop_${name}_overruns_total`]: figures.overruns,
    [`loop_${name}_last_ms`]: figures.lastMs,
    [`loop_${name}_longest_ms`]: figures.longestMs,
  };
}
