/**
 * At the end of each step: closes it for every VM, teaches the models, stores demand, allocation and forecast. Input: live
 * state, the time; output: rows to the series store. It gives way after each budget's worth of work, so that connections
 * are served meanwhile.
 */
import type { Clock } from '../../shared/clock.ts';
import { sleep } from '../../shared/clock.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { SeriesStore } from '../store/series-store.ts';
import { storeOwnRows } from './own-rows.ts';

export interface StepLoopOptions {
  clock: Clock;
  nowMs: () => number;
  state: FleetState;
  series: SeriesStore;
  stepMs: number;
  graceMs: number;
  budgetMs: number;
  /** Rows that could not be stored: they are lost, the models have seen them. */
  onStoreError: (error: unknown, rows: number) => void;
}

/** Blocks handed to the store at once. */
const BLOCKS_PER_APPEND = 1000;
/** A timer may fire a little early by another clock. */
const SLACK_MS = 5;

/** Milliseconds until the period under way is over and some time more has passed: the end of a step and its grace, a plan's turn. */
export function untilAfterEnd(nowMs: number, periodMs: number, afterMs: number): number {
  const sinceEnd = (((nowMs - afterMs) % periodMs) + periodMs) % periodMs;
  return periodMs - sinceEnd + SLACK_MS;
}

export async function runStep({ clock, nowMs, state, series, budgetMs, onStoreError }: StepLoopOptions): Promise<void> {
  const atMs = nowMs();
  let blocks: TelemetryBlock[] = [];
  let failure: unknown = null;
  let sinceMs = clock.monotonicMs();
  const store = async (): Promise<void> => {
    const batch = blocks;
    blocks = [];
    if (batch.length === 0) return;
    // A store that is away takes its time to say so: the steps of the others do not wait for it again.
    if (failure !== null) return onStoreError(failure, batch.length);
    try {
      await storeOwnRows(series, batch);
    } catch (error) {
      failure = error;
      onStoreError(error, batch.length);
    }
  };
  for (const vm of state.vmIds()) {
    blocks.push(...state.tick(vm, atMs));
    if (blocks.length >= BLOCKS_PER_APPEND) await store();
    if (clock.monotonicMs() - sinceMs < budgetMs) continue;
    await sleep(clock, 0);
    sinceMs = clock.monotonicMs();
  }
  await store();
}
