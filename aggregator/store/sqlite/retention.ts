/**
 * What leaves the store, and when: slices past their retention, then the oldest while all files together are above the byte
 * budget. Input: the shelves, now, the newest data. Output: rows lost to the budget, and from when on rows can be taken.
 */
import type { Sealer, Shelves } from './sealer.ts';
import type { SeriesOptions } from './series-options.ts';
import type { Slice, SliceShelf } from './slice-shelf.ts';

export interface Keeping {
  shelves: Shelves;
  sealer: Sealer;
  options: SeriesOptions;
}

export interface BudgetOutcome {
  rowsDropped: number;
  /** Rows before this were given up: late ones for that time cannot be merged any more. Null = no change. */
  floorMs: number | null;
  /** Nothing more can go, and it is still too much. */
  short: boolean;
}

/**
 * Age is measured from the newest data where that is older than the clock: a clock that jumps far ahead must not empty the
 * store, and a fleet that was silent for a week finds its last days again.
 */
export function applyRetention({ shelves, sealer, options }: Keeping, nowMs: number, newestMs: number | null): void {
  if (newestMs === null) return;
  const fromMs = Math.min(nowMs, newestMs);
  const tiers: [SliceShelf, number][] = [
    [shelves.raw, options.rawRetentionMs],
    [shelves.fiveMinutes, options.fiveMinuteRetentionMs],
    [shelves.hours, options.hourRetentionMs],
  ];
  for (const [shelf, retentionMs] of tiers) {
    for (const slice of shelf.all()) {
      if (slice.startMs + shelf.tier.sliceMs > fromMs - retentionMs) break;
      // Rows may outlive their bins only if sealing is far behind; their statistics are kept longer than they are.
      if (shelf === shelves.raw) sealer.finish(slice);
      sealer.forget(shelf, slice);
      shelf.remove(slice);
    }
  }
}

/** Raw rows go first, then five-minute statistics, then hourly ones; of each the newest slice stays until the end. */
export function applyBudget(keeping: Keeping, otherBytes: number): BudgetOutcome {
  const { shelves, options } = keeping;
  const outcome: BudgetOutcome = { rowsDropped: 0, floorMs: null, short: false };
  const all = [shelves.raw, shelves.fiveMinutes, shelves.hours];
  const total = (): number => otherBytes + all.reduce((sum, shelf) => sum + shelf.all().reduce((n, slice) => n + shelf.bytes(slice), 0), 0);
  if (total() > options.bytesMax) for (const shelf of all) shelf.checkpoint();
  for (const shelf of all) {
    for (const slice of shelf.all().slice(0, -1)) {
      if (total() <= options.bytesMax) return outcome;
      outcome.rowsDropped += drop(keeping, shelf, slice);
      if (shelf === shelves.raw) outcome.floorMs = slice.startMs + shelf.tier.sliceMs;
    }
  }
  const newest = shelves.raw.all().at(-1);
  if (newest && total() > options.bytesMax) {
    outcome.rowsDropped += trim(keeping, newest, total() - options.bytesMax, outcome);
  }
  outcome.short = total() > options.bytesMax;
  return outcome;
}

/** Rows of the slice are counted in raw slices only: a bin of statistics is no row that anyone sent. */
function drop({ shelves, sealer }: Keeping, shelf: SliceShelf, slice: Slice): number {
  let rows = 0;
  if (shelf === shelves.raw) {
    sealer.finish(slice);
    rows = shelf.read(slice, 0, (file) => file.countRows(Number.MAX_SAFE_INTEGER));
  }
  sealer.forget(shelf, slice);
  shelf.remove(slice);
  return rows;
}

/**
 * The last resort: the oldest chunks of the newest raw slice, in proportion to what is too much. Its newest chunk stays, so
 * that rows of the present bin still find a place.
 */
function trim({ shelves, sealer }: Keeping, slice: Slice, excessBytes: number, outcome: BudgetOutcome): number {
  const { chunkMs } = shelves.raw.tier;
  sealer.finish(slice);
  return shelves.raw.read(slice, 0, (file) => {
    const [oldestMs, newestMs] = file.chunkRange() ?? [0, 0];
    const share = Math.min(1, (1.2 * excessBytes) / Math.max(1, shelves.raw.bytes(slice)));
    const beforeMs = Math.min(newestMs, oldestMs + Math.ceil((share * (newestMs - oldestMs)) / chunkMs) * chunkMs);
    if (beforeMs <= oldestMs) return 0;
    const rows = file.countRows(beforeMs);
    file.transaction(() => file.deleteChunks(beforeMs));
    file.shrink();
    outcome.floorMs = beforeMs;
    return rows;
  });
}
