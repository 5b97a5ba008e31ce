/**
 * The aggregator's loops and when each turns. Input: what each does, the periods of the configuration, a clock; output: the
 * loops, not yet begun. Steps end on whole multiples of their length; a plan follows the forecasts it is made from.
 */
import type { Clock } from '../../shared/clock.ts';
import type { DecisionConfig } from '../config.ts';
import { Loop } from './loop.ts';
import { untilAfterEnd } from './step-loop.ts';

/** Heavy models that are due are looked for this often: they are fitted once a season. */
const FIT_PERIOD_MS = 10_000;
/** A plan begins this long after the step's end and grace: its forecasts take some time. */
const PLAN_AFTER_STEP_MS_MAX = 500;
/** The first plan need not wait for its turn: leases are renewed by it, and people wait for a first answer. */
const FIRST_PLAN_MS_MAX = 5000;

export interface LoopsOptions {
  clock: Clock;
  /** Of the loop that makes VMs and lets them go. */
  spawnPeriodMs: number;
  config: DecisionConfig;
  /** Time that does not jump, and the monotonic milliseconds until it has gone on by so many of its own. */
  nowMs: () => number;
  waitMs: (steadyMs: number) => number;
  step: () => Promise<void>;
  plan: () => Promise<void>;
  /** Whether a plan was made since the start. */
  planned: () => boolean;
  maintain: () => Promise<void>;
  checkpoint: () => Promise<void>;
  fit: () => Promise<void>;
  spawn: () => Promise<void>;
  onError: (name: string, error: unknown) => void;
}

export class Loops {
  readonly plan: Loop;
  readonly all: readonly Loop[];

  constructor({ clock, config, spawnPeriodMs, nowMs, waitMs, planned, onError, ...work }: LoopsOptions) {
    const { stepMs, planPeriodMs, graceMs } = config;
    // Right after the step's forecasts, where plan periods and steps fit: what was just learnt is acted on at once.
    const planAfterMs = graceMs + Math.min(PLAN_AFTER_STEP_MS_MAX, planPeriodMs / 20);
    const planDelayMs = (): number => {
      const delayMs = waitMs(untilAfterEnd(nowMs(), planPeriodMs, planAfterMs));
      return planned() ? delayMs : Math.min(delayMs, FIRST_PLAN_MS_MAX);
    };
    const stepDelayMs = (): number => waitMs(untilAfterEnd(nowMs(), stepMs, graceMs));
    const step = onceAStep(work.step, () => Math.floor((nowMs() - graceMs) / stepMs));
    this.plan = new Loop({ name: 'plan', clock, periodMs: planPeriodMs, run: work.plan, onError, nextDelayMs: planDelayMs });
    this.all = [
      new Loop({ name: 'step', clock, periodMs: stepMs, run: step, onError, nextDelayMs: stepDelayMs }),
      this.plan,
      new Loop({ name: 'maintain', clock, periodMs: config.maintainPeriodMs, run: work.maintain, onError }),
      new Loop({ name: 'checkpoint', clock, periodMs: config.checkpointPeriodMs, run: work.checkpoint, onError }),
      new Loop({ name: 'spawn', clock, periodMs: spawnPeriodMs, run: work.spawn, onError }),
      new Loop({ name: 'fit', clock, periodMs: FIT_PERIOD_MS, run: work.fit, onError }),
    ];
  }

  start(): void {
    for (const loop of this.all) loop.start();
  }

  /** Waits for the runs under way. */
  async stop(): Promise<void> {
    await Promise.all(this.all.map((loop) => loop.stop()));
  }
}

/** Who watches step by step must not be shown one twice: a wall that is stepped back while the loop waits wakes it early. */
function onceAStep(run: () => Promise<void>, stepOver: () => number): () => Promise<void> {
  let last = Number.NaN;
  return async () => {
    const over = stepOver();
    if (over === last) return;
    last = over;
    await run();
  };
}
