/**
 * Which bins of five minutes and which hours have to be summed up anew in a store that does not do it by itself. Input:
 * the times of rows as they are stored, the time now; output: bins that are over, one at a time, oldest first. A bin that
 * rows touch while it is being summed up is due again: summing up twice gives the same. It keeps only starts of bins.
 */
import type { TelemetryBlock } from '../../../shared/telemetry.ts';

export type Aggregated = '5m' | '1h';

export const BIN_MS: Readonly<Record<Aggregated, number>> = { '5m': 300_000, '1h': 3_600_000 };
export const AGGREGATED: readonly Aggregated[] = ['5m', '1h'];

/** Rows of a bin that has just ended are still on their way. */
const SETTLE_MS = 10_000;
/** Late rows keep touching bins: a bin is summed up again once a minute at most. */
const AGAIN_MS = 60_000;
/** Bins summed up in one go: an hour's catching up does not hold up what else is to be kept in order. */
const BINS_PER_RUN_MAX = 13;
const DONE_KEPT_MAX = 64;

export class RollUp {
  readonly #due: Readonly<Record<Aggregated, Map<number, number>>> = { '5m': new Map(), '1h': new Map() };
  /** When a bin was last summed up, of the newest ones. */
  readonly #doneAt: Readonly<Record<Aggregated, Map<number, number>>> = { '5m': new Map(), '1h': new Map() };
  #underWay: { resolution: Aggregated; startMs: number } | null = null;

  /** Rows are about to be stored, and again once they are: a bin summed up in between has not seen them. */
  mark(blocks: readonly TelemetryBlock[]): void {
    let last = Number.NaN;
    for (const { timesMs } of blocks) {
      for (const time of timesMs) {
        const startMs = Math.floor(time / BIN_MS['5m']) * BIN_MS['5m'];
        if (startMs === last) continue;
        last = startMs;
        this.#markBin(startMs);
      }
    }
  }

  /** Bins of which it is not known whether they are summed up: after a start. */
  markRange(fromMs: number, toMs: number): void {
    const width = BIN_MS['5m'];
    for (let startMs = Math.floor(fromMs / width) * width; startMs < toMs; startMs += width) this.#markBin(startMs);
  }

  /** Everything before this is summed up; null: nothing is due. */
  throughMs(resolution: Aggregated): number | null {
    let least = this.#underWay?.resolution === resolution ? this.#underWay.startMs : Number.POSITIVE_INFINITY;
    for (const startMs of this.#due[resolution].keys()) if (startMs < least) least = startMs;
    return Number.isFinite(least) ? least : null;
  }

  /**
   * From when on rows have to be read instead of statistics. The bin under way and the one before count even if no row
   * came by here: another aggregator may write to the same store.
   */
  freshFromMs(resolution: Aggregated, nowMs: number): number {
    const width = BIN_MS[resolution];
    return Math.min(this.throughMs(resolution) ?? Number.POSITIVE_INFINITY, (Math.floor(nowMs / width) - 1) * width);
  }

  /** Sums up what is over. Rejects with what `sumUp` rejects with; that bin stays due. `ended`: no further bin is begun. */
  async run(nowMs: number, sumUp: (resolution: Aggregated, startMs: number) => Promise<void>, ended = () => false): Promise<number> {
    const ready = AGGREGATED.flatMap((resolution) =>
      [...this.#due[resolution]]
        .filter(([startMs, notBeforeMs]) => startMs + BIN_MS[resolution] + SETTLE_MS <= nowMs && notBeforeMs <= nowMs)
        .map(([startMs]) => ({ resolution, startMs })),
    );
    ready.sort((a, b) => a.startMs - b.startMs);
    const now = ready.slice(0, BINS_PER_RUN_MAX);
    let done = 0;
    for (const { resolution, startMs } of now) {
      if (ended()) break;
      done++;
      this.#due[resolution].delete(startMs);
      this.#underWay = { resolution, startMs };
      try {
        await sumUp(resolution, startMs);
        this.#done(resolution, startMs, nowMs);
      } catch (error) {
        this.#due[resolution].set(startMs, 0);
        throw error;
      } finally {
        this.#underWay = null;
      }
    }
    return done;
  }

  #markBin(startMs: number): void {
    for (const resolution of AGGREGATED) {
      const start = Math.floor(startMs / BIN_MS[resolution]) * BIN_MS[resolution];
      const doneMs = this.#doneAt[resolution].get(start);
      if (!this.#due[resolution].has(start)) this.#due[resolution].set(start, doneMs === undefined ? 0 : doneMs + AGAIN_MS);
    }
  }

  #done(resolution: Aggregated, startMs: number, nowMs: number): void {
    const doneAt = this.#doneAt[resolution];
    doneAt.set(startMs, nowMs);
    if (doneAt.size > DONE_KEPT_MAX) doneAt.delete(Math.min(...doneAt.keys()));
    // Touched meanwhile: it waits for its next turn.
    if (this.#due[resolution].has(startMs)) this.#due[resolution].set(startMs, nowMs + AGAIN_MS);
  }
}
