/**
 * Rows that are not sealed yet, by series and bin. Input: groups of blocks with the number of the log entry that holds them.
 * Output: the bins, which of them are due for sealing, and from which entry on the log is still needed.
 */
import { type Source, type Subject, seriesKey } from '../../../shared/telemetry.ts';
import { type BlockGroup, eachBlock } from './block-bytes.ts';
import type { NameTable, SeriesName } from './block-names.ts';
import { DueQueue } from './due-queue.ts';
import { OpenBin } from './open-bin.ts';
import type { Layout } from './row-segment.ts';
import { BIN_MS } from './series-options.ts';

export interface SeriesRows {
  readonly key: string;
  readonly subject: Subject;
  readonly source: Source;
  /** Delay of this series' sealing after its bins end: spreads the work over the next bin. */
  readonly phaseMs: number;
  readonly bins: Map<number, DueBin>;
}

export interface DueBin {
  readonly series: SeriesRows;
  readonly bin: OpenBin;
  readonly dueMs: number;
}

/** Rows of a bin may arrive this much after its end and still be sealed with it: several frames of the slowest agent. */
const GRACE_MS = 15_000;
/** Sealing of one bin's series is spread over so long, ending before the next bin does. */
const SPREAD_MS = 240_000;
/** Longest time from a bin's end to its sealing, while sealing keeps up. */
export const SEAL_DELAY_MS_MAX = GRACE_MS + SPREAD_MS;
/** Field lists known at a time; a forgotten one is learnt again at the cost of one more segment. */
const LAYOUTS_MAX = 4096;

export class RowTable {
  readonly series = new Map<string, SeriesRows>();
  /** Memory of the rows held, bytes. */
  bytes = 0;
  /** Newest time ever taken in; null before the first row. */
  newestMs: number | null = null;
  readonly #looseBytesMax: number;
  readonly #due = new DueQueue<DueBin>();
  /** Handed out by `due`, and perhaps not sealed. */
  #taken: DueBin[] = [];
  readonly #layouts = new Map<string, Layout>();
  /** What the numbers of one numbering stand for. */
  #known: { names: NameTable | null; series: SeriesRows[]; layouts: Layout[] } = { names: null, series: [], layouts: [] };

  /** @param looseBytesMax memory up to which rows lie as they came; beyond it they are packed as more come */
  constructor(looseBytesMax: number) {
    this.#looseBytesMax = looseBytesMax;
  }

  add(group: BlockGroup, entry: number, nowMs: number): void {
    const { names, numbers } = group;
    if (!(group.mostMs >= group.leastMs)) return;
    if (this.#known.names !== names) this.#known = { names, series: [], layouts: [] };
    const known = this.#known;
    eachBlock(group, (name, number, rows, timesAt) => {
      let series = known.series[name];
      // One whose last bin was sealed has left the table.
      if (series === undefined || series.bins.size === 0) {
        series = this.#seriesOf(names.series[name]!);
        known.series[name] = series;
      }
      let layout = known.layouts[number];
      if (layout === undefined) {
        layout = this.#layout(names.layouts[number]!);
        known.layouts[number] = layout;
      }
      this.#addRows(series, layout, numbers, timesAt, rows, entry, nowMs);
    });
    if (this.newestMs === null || group.mostMs > this.newestMs) this.newestMs = group.mostMs;
  }

  /** Rows of one block, which may reach over several bins. */
  #addRows(series: SeriesRows, layout: Layout, numbers: Float64Array, timesAt: number, rows: number, entry: number, nowMs: number): void {
    const width = layout.fields.length;
    const valuesAt = timesAt + rows;
    for (let from = 0; from < rows; ) {
      const startMs = Math.floor(numbers[timesAt + from]! / BIN_MS) * BIN_MS;
      const endMs = startMs + BIN_MS;
      let to = from + 1;
      while (to < rows && numbers[timesAt + to]! >= startMs && numbers[timesAt + to]! < endMs) to++;
      const { bin } = this.#bin(series, startMs, entry, nowMs);
      const before = bin.bytes;
      bin.add(layout, numbers, timesAt + from, valuesAt + from * width, to - from, this.bytes > this.#looseBytesMax);
      this.bytes += bin.bytes - before;
      from = to;
    }
  }

  /** Up to `count` bins due at `nowMs`, or (`hurry`) those due soonest, however early. */
  due(nowMs: number, count: number, hurry: boolean): DueBin[] {
    for (const open of this.#taken) if (isOpen(open)) this.#due.push(open);
    const due: DueBin[] = [];
    while (due.length < count) {
      const { soonest } = this.#due;
      if (soonest === null || (!hurry && soonest.dueMs > nowMs)) break;
      this.#due.pop();
      // One that was sealed out of turn stays in the queue until its time.
      if (isOpen(soonest)) due.push(soonest);
    }
    this.#taken = due;
    return due;
  }

  /** Bins that start in [fromMs, toMs), of all series. */
  binsWithin(fromMs: number, toMs: number): DueBin[] {
    const found: DueBin[] = [];
    for (const { bins } of this.series.values()) {
      for (const open of bins.values()) if (open.bin.startMs >= fromMs && open.bin.startMs < toMs) found.push(open);
    }
    return found;
  }

  remove(open: DueBin): void {
    const { series, bin } = open;
    if (!isOpen(open)) return;
    series.bins.delete(bin.startMs);
    this.bytes -= bin.bytes;
    // A series that is gone for good must not stay in memory; one that goes on comes back with its next row.
    if (series.bins.size === 0) this.series.delete(series.key);
  }

  /** The oldest log entry with rows in here; null when there are none. */
  oldestEntry(): number | null {
    let oldest: number | null = null;
    for (const { bins } of this.series.values()) {
      for (const { bin } of bins.values()) if (oldest === null || bin.oldestEntry < oldest) oldest = bin.oldestEntry;
    }
    return oldest;
  }

  oldestBinMs(): number | null {
    let oldest: number | null = null;
    for (const { bins } of this.series.values()) for (const start of bins.keys()) if (oldest === null || start < oldest) oldest = start;
    return oldest;
  }

  #seriesOf({ subject, source }: SeriesName): SeriesRows {
    const key = seriesKey(subject, source);
    let series = this.series.get(key);
    if (!series) {
      series = { key, subject, source, phaseMs: spread(key) * SPREAD_MS, bins: new Map() };
      this.series.set(key, series);
    }
    return series;
  }

  #bin(series: SeriesRows, startMs: number, entry: number, nowMs: number): DueBin {
    let open = series.bins.get(startMs);
    if (!open) {
      const dueMs = Math.max(startMs + BIN_MS + GRACE_MS, nowMs) + series.phaseMs;
      open = { series, bin: new OpenBin(startMs, entry), dueMs };
      series.bins.set(startMs, open);
      this.#due.push(open);
    }
    return open;
  }

  #layout(fields: readonly string[]): Layout {
    const text = fields.join('\n');
    let layout = this.#layouts.get(text);
    if (!layout) {
      if (this.#layouts.size >= LAYOUTS_MAX) this.#layouts.clear();
      layout = { fields, names: new Set(fields) };
      this.#layouts.set(text, layout);
    }
    return layout;
  }
}

/** Not sealed yet. */
function isOpen(open: DueBin): boolean {
  return open.series.bins.get(open.bin.startMs) === open;
}

/** FNV-1a of a name as a fraction 0..1: the same series always seals at the same point of the bin. */
function spread(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h / 2 ** 32;
}
