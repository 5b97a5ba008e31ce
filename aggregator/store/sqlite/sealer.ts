/**
 * Background work of the series store, in small steps so that it never holds up appends for long: rows of a finished bin
 * become a column chunk and its five-minute statistics; finished hours get theirs from the hour's chunks; statistics that
 * can change no more become chunks too; the batch log forgets what is sealed. Each part is written before what it was made
 * from is forgotten, and writing it again changes nothing, so a crash between two files costs a repetition at most.
 */
import { seriesKey } from '../../../shared/telemetry.ts';
import { STATISTICS, statisticName, writeStatistics } from '../statistics.ts';
import type { BatchLog } from './batch-log.ts';
import { ColumnArena } from './column-room.ts';
import { type Columns, OpenBin } from './open-bin.ts';
import type { Layout } from './row-segment.ts';
import { type DueBin, type RowTable, SEAL_DELAY_MS_MAX } from './row-table.ts';
import { BIN_MS, type SeriesOptions, SLICE_HOUR_MS } from './series-options.ts';
import type { BinRow, SeriesName, SliceFile } from './slice-file.ts';
import type { Slice, SliceShelf } from './slice-shelf.ts';

export interface Shelves {
  raw: SliceShelf;
  fiveMinutes: SliceShelf;
  hours: SliceShelf;
}

/** Bins sealed in one step: about 20 ms of work at 1 Hz, and two commits. */
const BINS_PER_STEP = 24;
/** Series whose hour is summed up in one step. */
const HOURS_PER_STEP = 6;
/** Series whose statistics are chunked in one step. */
const BLOCKS_PER_STEP = 8;
/** Bins sealed until the log is cut, when there is no quiet moment before. */
const BINS_PER_LOG_CUT = 2000;

interface SealedBin {
  open: DueBin;
  columns: Columns;
  statistics: BinRow;
}

export class Sealer {
  readonly #shelves: Shelves;
  readonly #table: RowTable;
  readonly #log: BatchLog;
  readonly #options: SeriesOptions;
  /** Hours to be summed up: start → series keys. */
  readonly #hoursDue = new Map<number, Map<string, SeriesName>>();
  /** Statistics not chunked yet: per shelf, chunk start → series keys. */
  readonly #blocksWaiting = new Map<SliceShelf, Map<number, Map<string, SeriesName>>>();
  #sealedSinceCut = 0;
  /** Columns of the bins that are being sealed. */
  readonly #arena = new ColumnArena();

  constructor(shelves: Shelves, table: RowTable, log: BatchLog, options: SeriesOptions) {
    this.#shelves = shelves;
    this.#table = table;
    this.#log = log;
    this.#options = options;
    for (const slice of shelves.raw.all()) this.#findHours(slice);
    for (const shelf of [shelves.fiveMinutes, shelves.hours]) {
      this.#blocksWaiting.set(shelf, new Map());
      for (const slice of shelf.all()) this.#findBlocks(shelf, slice);
    }
  }

  /** Does one piece of what is due; false when nothing is. Throws STORE_FULL or STORE_UNAVAILABLE, then nothing is lost. */
  step(nowMs: number): boolean {
    const due = this.#table.due(nowMs, BINS_PER_STEP, this.#table.bytes > this.#options.memoryBytesMax / 2);
    if (due.length > 0) {
      this.seal(due);
      if (this.#sealedSinceCut >= BINS_PER_LOG_CUT) this.#cutLog();
      return true;
    }
    if (this.#sealedSinceCut > 0) {
      this.#cutLog();
      return true;
    }
    return this.#hourStep(nowMs) || this.#blockStep(nowMs);
  }

  /** Is the hour still to be summed up for the series? */
  isHourDue(hourMs: number, key: string): boolean {
    return this.#hoursDue.get(hourMs)?.has(key) ?? false;
  }

  hoursDueOf(key: string): number[] {
    return [...this.#hoursDue].flatMap(([hourMs, series]) => (series.has(key) ? [hourMs] : []));
  }

  /** Seals and sums up all of a raw slice that is about to go. */
  finish(slice: Slice): void {
    const open = this.#table.binsWithin(slice.startMs, slice.startMs + this.#shelves.raw.tier.sliceMs);
    for (let i = 0; i < open.length; i += BINS_PER_STEP) this.seal(open.slice(i, i + BINS_PER_STEP));
    while (this.#hoursDue.has(slice.startMs)) this.#sumHour(slice.startMs);
  }

  /** A slice is gone: nothing more is to be made from it. */
  forget(shelf: SliceShelf, slice: Slice): void {
    if (shelf === this.#shelves.raw) this.#hoursDue.delete(slice.startMs);
    const waiting = this.#blocksWaiting.get(shelf);
    for (const start of waiting?.keys() ?? []) if (shelf.startOf(start) === slice.startMs) waiting?.delete(start);
  }

  seal(due: readonly DueBin[]): void {
    this.#arena.clear();
    const sealed: SealedBin[] = [];
    for (const open of due) {
      const columns = knownOnly(open.bin.merge(this.#stored(open), null, this.#arena.room));
      if (columns.columns.size === 0) this.#table.remove(open);
      else sealed.push({ open, columns, statistics: statisticsOf(open.bin.startMs, columns) });
    }
    const byStart = (shelf: SliceShelf) => Map.groupBy(sealed, ({ open }) => shelf.startOf(open.bin.startMs));
    for (const [startMs, bins] of byStart(this.#shelves.fiveMinutes)) this.#writeStatistics(startMs, bins);
    for (const [startMs, bins] of byStart(this.#shelves.raw)) this.#writeChunks(startMs, bins);
    for (const { open } of sealed) this.#table.remove(open);
    this.#sealedSinceCut += due.length;
  }

  #writeStatistics(startMs: number, bins: readonly SealedBin[]): void {
    const shelf = this.#shelves.fiveMinutes;
    shelf.write(startMs, (file, slice) => {
      for (const { open, statistics } of bins) file.writeBin(addSeries(file, slice, open.series), statistics);
    });
    for (const { open, statistics } of bins) this.#wait(shelf, statistics.startMs, open.series.key, open.series);
  }

  #writeChunks(startMs: number, bins: readonly SealedBin[]): void {
    this.#shelves.raw.write(startMs, (file, slice) => {
      for (const { open, columns } of bins) {
        const series = addSeries(file, slice, open.series);
        file.writeChunk(series, open.bin.startMs, columns);
        file.markHourDue(series);
      }
    });
    for (const { open } of bins) mark(this.#hoursDue, startMs, open.series.key, open.series);
  }

  /** What was sealed of this bin before: late rows come on top of it. */
  #stored({ series, bin }: DueBin): Columns | null {
    const slice = this.#shelves.raw.at(bin.startMs);
    if (!slice?.series.has(series.key)) return null;
    return this.#shelves.raw.read(slice, null, (file) => {
      const id = file.findSeries(series.key);
      if (id === null || !file.hasChunk(id, bin.startMs)) return null;
      return file.readChunks(id, bin.startMs, bin.startMs + 1, null)[0]?.columns ?? null;
    });
  }

  #hourStep(nowMs: number): boolean {
    for (const hourMs of this.#hoursDue.keys()) {
      if (hourMs + SLICE_HOUR_MS + SEAL_DELAY_MS_MAX > nowMs) continue;
      this.#sumHour(hourMs);
      return true;
    }
    return false;
  }

  /** Sums up one hour for a few of the series that are due. */
  #sumHour(hourMs: number): void {
    const due = this.#hoursDue.get(hourMs);
    if (!due) return;
    const some = [...due].slice(0, HOURS_PER_STEP);
    const slice = this.#shelves.raw.at(hourMs);
    const rows: { key: string; name: SeriesName; row: BinRow }[] = [];
    for (const [key, name] of some) {
      const columns = slice && this.readHour(slice, key, null);
      if (columns && columns.columns.size > 0) rows.push({ key, name, row: statisticsOf(hourMs, columns) });
    }
    if (rows.length > 0) {
      this.#shelves.hours.write(hourMs, (file, target) => {
        for (const { name, row } of rows) file.writeBin(addSeries(file, target, name), row);
      });
    }
    if (slice && this.#shelves.raw.at(hourMs) === slice) {
      this.#shelves.raw.write(hourMs, (file) => {
        for (const [key] of some) {
          const id = file.findSeries(key);
          if (id !== null) file.clearHourDue(id);
        }
      });
    }
    for (const { key, name } of rows) this.#wait(this.#shelves.hours, hourMs, key, name);
    for (const [key] of some) due.delete(key);
    if (due.size === 0) this.#hoursDue.delete(hourMs);
  }

  /** An hour's sealed rows as one set of columns; only the fields asked for unless null. */
  readHour(slice: Slice, key: string, fields: readonly string[] | null): Columns {
    const chunks = this.#shelves.raw.read(slice, [], (file) => {
      const id = file.findSeries(key);
      return id === null ? [] : file.readChunks(id, slice.startMs, slice.startMs + SLICE_HOUR_MS, fields);
    });
    return concatenate(chunks.map(({ columns }) => columns));
  }

  /** Statistics that no late row can change any more become a chunk, a few series at a time. */
  #blockStep(nowMs: number): boolean {
    for (const [shelf, waiting] of this.#blocksWaiting) {
      const { chunkMs } = shelf.tier;
      // An hour more than rows may be late: hours are summed up after their last bin is sealed.
      const closedMs = nowMs - this.#options.lateMs - SLICE_HOUR_MS - BIN_MS;
      for (const [startMs, series] of waiting) {
        if (startMs + chunkMs > closedMs) continue;
        this.#chunkBlock(shelf, startMs, series);
        if (series.size === 0) waiting.delete(startMs);
        return true;
      }
    }
    return false;
  }

  #chunkBlock(shelf: SliceShelf, startMs: number, series: Map<string, SeriesName>): void {
    const some = [...series.keys()].slice(0, BLOCKS_PER_STEP);
    const { chunkMs } = shelf.tier;
    shelf.write(startMs, (file) => {
      for (const key of some) {
        const id = file.findSeries(key);
        const rows = id === null ? [] : file.readBins(id, startMs, startMs + chunkMs);
        if (id === null || rows.length === 0) continue;
        const stored = file.readChunks(id, startMs, startMs + 1, null)[0]?.columns ?? null;
        file.writeChunk(id, startMs, knownOnly(columnsOfStatistics(rows, stored)));
        file.deleteBins(id, startMs, startMs + chunkMs);
      }
    });
    for (const key of some) series.delete(key);
  }

  #cutLog(): void {
    this.#log.forget(this.#table.oldestEntry());
    this.#sealedSinceCut = 0;
  }

  #wait(shelf: SliceShelf, timeMs: number, key: string, name: SeriesName): void {
    const { chunkMs } = shelf.tier;
    mark(this.#blocksWaiting.get(shelf)!, Math.floor(timeMs / chunkMs) * chunkMs, key, name);
  }

  #findHours(slice: Slice): void {
    const due = new Set(this.#shelves.raw.read(slice, [], (file) => file.hoursDue()));
    if (due.size === 0) return;
    this.#shelves.raw.read(slice, undefined, (file) => {
      for (const [key, name] of slice.series) if (due.has(file.findSeries(key)!)) mark(this.#hoursDue, slice.startMs, key, name);
    });
  }

  #findBlocks(shelf: SliceShelf, slice: Slice): void {
    shelf.read(slice, undefined, (file) => {
      const keys = new Map([...slice.series.keys()].map((key) => [file.findSeries(key), key]));
      for (const [id, startMs] of file.waitingBlocks(shelf.tier.chunkMs)) {
        const key = keys.get(id);
        if (key !== undefined) this.#wait(shelf, startMs, key, slice.series.get(key)!);
      }
    });
  }
}

function mark(marks: Map<number, Map<string, SeriesName>>, startMs: number, key: string, { subject, source }: SeriesName): void {
  const series = marks.get(startMs);
  if (series) series.set(key, { subject, source });
  else marks.set(startMs, new Map([[key, { subject, source }]]));
}

function addSeries(file: SliceFile, slice: Slice, { subject, source }: SeriesName): number {
  slice.series.set(seriesKey(subject, source), { subject, source });
  return file.addSeries({ subject, source });
}

/** A column in which nothing is known is the same as no column. */
function knownOnly({ timesMs, columns }: Columns): Columns {
  for (const [name, values] of columns) if (values.every(Number.isNaN)) columns.delete(name);
  return { timesMs, columns };
}

function statisticsOf(startMs: number, { columns }: Columns): BinRow {
  const fields = [...columns.keys()].sort();
  const values = new Float64Array(fields.length * STATISTICS.length);
  for (const [i, field] of fields.entries()) writeStatistics(columns.get(field)!, values, i * STATISTICS.length);
  return { startMs, fields, values };
}

/** Columns of following stretches of time as one. */
function concatenate(parts: readonly Columns[]): Columns {
  const rows = parts.reduce((sum, { timesMs }) => sum + timesMs.length, 0);
  const out: Columns = { timesMs: new Float64Array(rows), columns: new Map() };
  let at = 0;
  for (const { timesMs, columns } of parts) {
    out.timesMs.set(timesMs, at);
    for (const [name, values] of columns) {
      let column = out.columns.get(name);
      if (!column) {
        column = new Float64Array(rows).fill(Number.NaN);
        out.columns.set(name, column);
      }
      column.set(values, at);
    }
    at += timesMs.length;
  }
  return out;
}

/** Rows of statistics as columns `field:statistic`, on top of what was chunked before. */
function columnsOfStatistics(rows: readonly BinRow[], stored: Columns | null): Columns {
  const merged = new OpenBin(0, 0);
  const layouts = new Map<readonly string[], Layout>();
  for (const { startMs, fields, values } of rows) {
    let layout = layouts.get(fields);
    if (!layout) {
      const names = fields.flatMap((field) => STATISTICS.map((_, statistic) => statisticName(field, statistic)));
      layout = { fields: names, names: new Set(names) };
      layouts.set(fields, layout);
    }
    const row = new Float64Array(1 + values.length);
    row[0] = startMs;
    row.set(values, 1);
    merged.add(layout, row, 0, 1, 1);
  }
  return merged.merge(stored, null);
}
