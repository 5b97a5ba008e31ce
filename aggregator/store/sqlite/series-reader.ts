/**
 * Answers queries from what is sealed and what is not, merged: the newest rows are seen as soon as they are accepted.
 * Bins and hours that changed since they were summed up are summed up here anew, from rows.
 */
import { type Source, type Subject, seriesKey } from '../../../shared/telemetry.ts';
import type { LastValue, SeriesQuery, SeriesResult } from '../series-store.ts';
import { STATISTICS, splitStatistic, statisticName, writeStatistics } from '../statistics.ts';
import { type Columns, firstNotBefore } from './open-bin.ts';
import type { RowTable } from './row-table.ts';
import type { Sealer, Shelves } from './sealer.ts';
import { BIN_MS, SLICE_HOUR_MS } from './series-options.ts';
import type { Slice, SliceShelf } from './slice-shelf.ts';

/** A field asked for at an aggregated resolution. */
interface Asked {
  name: string;
  field: string;
  statistic: number;
  stored: string;
}

export class SeriesReader {
  readonly #shelves: Shelves;
  readonly #table: RowTable;
  readonly #sealer: Sealer;

  constructor(shelves: Shelves, table: RowTable, sealer: Sealer) {
    this.#shelves = shelves;
    this.#table = table;
    this.#sealer = sealer;
  }

  query(query: SeriesQuery): SeriesResult {
    const key = seriesKey(query.subject, query.source);
    const { fromMs, toMs } = query;
    if (query.resolution === 'raw') return this.#rawRows(key, [...new Set(query.fields)], fromMs, toMs);
    return this.#statistics(key, query, query.resolution === '5m' ? BIN_MS : SLICE_HOUR_MS);
  }

  last(subject: Subject, source: Source, sinceMs: number): LastValue | null {
    const key = seriesKey(subject, source);
    let beforeMs = Number.MAX_SAFE_INTEGER;
    for (let startMs = this.#newestBin(key, sinceMs, beforeMs); startMs !== null; startMs = this.#newestBin(key, sinceMs, beforeMs)) {
      const { timesMs, columns } = this.#bins(key, null, startMs, startMs + BIN_MS)[0]?.columns ?? EMPTY;
      for (let row = timesMs.length - 1; row >= 0 && timesMs[row]! >= sinceMs; row--) {
        const values: Record<string, number> = {};
        for (const [name, column] of columns) if (!Number.isNaN(column[row]!)) values[name] = column[row]!;
        if (Object.keys(values).length > 0) return { subject, source, timeMs: timesMs[row]!, values };
      }
      beforeMs = startMs;
    }
    return null;
  }

  #rawRows(key: string, fields: readonly string[], fromMs: number, toMs: number): SeriesResult {
    const parts = this.#bins(key, fields, fromMs, toMs).map(({ columns }) => columns);
    const rows = new RowBuilder(fields);
    for (const { timesMs, columns } of parts) {
      const picked = fields.map((field) => columns.get(field) ?? null);
      const end = firstNotBefore(timesMs, toMs);
      for (let row = firstNotBefore(timesMs, fromMs); row < end; row++) rows.add(timesMs[row]!, picked, row);
    }
    return rows.finish();
  }

  /** Bins that overlap [fromMs, toMs), sealed and open merged, in time order. */
  #bins(key: string, fields: readonly string[] | null, fromMs: number, toMs: number): { startMs: number; columns: Columns }[] {
    const firstMs = Math.floor(fromMs / BIN_MS) * BIN_MS;
    const found = new Map<number, Columns>();
    for (const slice of this.#shelves.raw.within(firstMs, toMs)) {
      if (!slice.series.has(key)) continue;
      const chunks = this.#shelves.raw.read(slice, [], (file) => {
        const id = file.findSeries(key);
        return id === null ? [] : file.readChunks(id, firstMs, toMs, fields);
      });
      for (const { startMs, columns } of chunks) found.set(startMs, columns);
    }
    let sorted = true;
    for (const [startMs, { bin }] of this.#table.series.get(key)?.bins ?? []) {
      if (startMs < firstMs || startMs >= toMs) continue;
      found.set(startMs, bin.merge(found.get(startMs) ?? null, fields));
      sorted = false;
    }
    const bins = [...found].map(([startMs, columns]) => ({ startMs, columns }));
    return sorted ? bins : bins.sort((a, b) => a.startMs - b.startMs);
  }

  #newestBin(key: string, sinceMs: number, beforeMs: number): number | null {
    const fromMs = Math.floor(sinceMs / BIN_MS) * BIN_MS;
    let newest: number | null = null;
    for (const startMs of this.#table.series.get(key)?.bins.keys() ?? []) {
      if (startMs >= fromMs && startMs < beforeMs && (newest === null || startMs > newest)) newest = startMs;
    }
    for (const slice of this.#shelves.raw.within(newest ?? fromMs, beforeMs).reverse()) {
      if (!slice.series.has(key)) continue;
      const start = this.#shelves.raw.read(slice, null, (file) => {
        const id = file.findSeries(key);
        return id === null ? null : file.newestChunk(id, fromMs, beforeMs);
      });
      if (start !== null) return newest === null ? start : Math.max(start, newest);
    }
    return newest;
  }

  #statistics(key: string, query: SeriesQuery, binMs: number): SeriesResult {
    const { fromMs, toMs } = query;
    const shelf = binMs === BIN_MS ? this.#shelves.fiveMinutes : this.#shelves.hours;
    const asked = [...new Set(query.fields)].map((name): Asked => {
      const { field, statistic } = splitStatistic(name);
      return { name, field, statistic, stored: statisticName(field, statistic) };
    });
    const parts: Part[] = [];
    for (const slice of shelf.within(fromMs, toMs)) {
      if (slice.series.has(key)) parts.push(...storedParts(shelf, slice, key, asked, fromMs, toMs));
    }
    for (const startMs of [...this.#changedBins(key, binMs, fromMs, toMs)].sort((a, b) => a - b)) {
      const fresh = this.#sumUp(key, asked, startMs, binMs);
      if (fresh) parts.push({ timesMs: Float64Array.of(startMs), columns: fresh.map((value) => Float64Array.of(value)) });
    }
    return joinParts(
      asked.map(({ name }) => name),
      parts,
      fromMs,
      toMs,
    );
  }

  /** Starts of bins or hours whose stored statistics are missing or out of date. */
  #changedBins(key: string, binMs: number, fromMs: number, toMs: number): Set<number> {
    const changed = new Set<number>();
    for (const startMs of this.#table.series.get(key)?.bins.keys() ?? []) changed.add(Math.floor(startMs / binMs) * binMs);
    if (binMs === SLICE_HOUR_MS) for (const hourMs of this.#sealer.hoursDueOf(key)) changed.add(hourMs);
    for (const startMs of changed) if (startMs < fromMs || startMs >= toMs) changed.delete(startMs);
    return changed;
  }

  #sumUp(key: string, asked: readonly Asked[], startMs: number, binMs: number): number[] | null {
    const fields = [...new Set(asked.map(({ field }) => field))];
    const { timesMs, columns } = this.#rawRows(key, fields, startMs, startMs + binMs);
    if (timesMs.length === 0) return null;
    const six = new Float64Array(STATISTICS.length);
    return asked.map(({ field, statistic }) => {
      writeStatistics(columns[field]!, six, 0);
      return six[statistic]!;
    });
  }
}

const EMPTY: Columns = { timesMs: new Float64Array(0), columns: new Map() };

/** A stretch of rows in time order, one column for each name asked (null: unknown throughout). Later parts win. */
interface Part {
  timesMs: Float64Array;
  columns: readonly (Float64Array | null)[];
}

/** What a slice has of a series' statistics: chunks first, then bins that are not chunked yet, which are younger. */
function storedParts(shelf: SliceShelf, slice: Slice, key: string, asked: readonly Asked[], fromMs: number, toMs: number): Part[] {
  const names = asked.map(({ stored }) => stored);
  return shelf.read(slice, [], (file) => {
    const id = file.findSeries(key);
    if (id === null) return [];
    const chunks = file.readChunks(id, fromMs - shelf.tier.chunkMs + 1, toMs, names);
    const parts: Part[] = chunks.map(({ columns: { timesMs, columns } }) => ({
      timesMs,
      columns: names.map((name) => columns.get(name) ?? null),
    }));
    const bins = file.readBins(id, fromMs, toMs);
    if (bins.length === 0) return parts;
    const at = (fields: readonly string[]) => asked.map(({ field, statistic }) => fields.indexOf(field) * STATISTICS.length + statistic);
    const places = new Map<readonly string[], number[]>();
    const columns = names.map(() => new Float64Array(bins.length));
    for (const [row, { fields, values }] of bins.entries()) {
      let place = places.get(fields);
      if (!place) {
        place = at(fields);
        places.set(fields, place);
      }
      // A field that the bin does not have stands before the array: unknown.
      for (let i = 0; i < columns.length; i++) columns[i]![row] = values[place[i]!] ?? Number.NaN;
    }
    parts.push({ timesMs: Float64Array.from(bins, ({ startMs }) => startMs), columns });
    return parts;
  });
}

/** Parts as one result; where parts overlap in time, the row of the latest part stands. */
function joinParts(names: readonly string[], parts: readonly Part[], fromMs: number, toMs: number): SeriesResult {
  const rows = new RowBuilder(names);
  const inOrder = parts.every(({ timesMs }, i) => i === 0 || timesMs[0]! > parts[i - 1]!.timesMs.at(-1)!);
  if (inOrder) {
    for (const { timesMs, columns } of parts) {
      const end = firstNotBefore(timesMs, toMs);
      for (let row = firstNotBefore(timesMs, fromMs); row < end; row++) rows.add(timesMs[row]!, columns, row);
    }
    return rows.finish();
  }
  const latest = new Map<number, { columns: Part['columns']; row: number }>();
  for (const { timesMs, columns } of parts) for (const [row, time] of timesMs.entries()) latest.set(time, { columns, row });
  for (const time of Float64Array.from(latest.keys()).sort()) {
    const { columns, row } = latest.get(time)!;
    if (time >= fromMs && time < toMs) rows.add(time, columns, row);
  }
  return rows.finish();
}

/** Collects rows in which at least one value is known. */
class RowBuilder {
  readonly #names: readonly string[];
  #rows = 0;
  #timesMs = new Float64Array(256);
  #columns: Float64Array[];

  constructor(names: readonly string[]) {
    this.#names = names;
    this.#columns = names.map(() => new Float64Array(256));
  }

  add(timeMs: number, from: readonly (Float64Array | null)[], row: number): void {
    if (this.#rows === this.#timesMs.length) this.#grow();
    let known = false;
    for (let i = 0; i < from.length; i++) {
      const value = from[i]?.[row] ?? Number.NaN;
      this.#columns[i]![this.#rows] = value;
      if (!Number.isNaN(value)) known = true;
    }
    if (known) this.#timesMs[this.#rows++] = timeMs;
  }

  finish(): SeriesResult {
    const columns: Record<string, Float64Array> = {};
    for (const [i, name] of this.#names.entries()) columns[name] = this.#columns[i]!.slice(0, this.#rows);
    return { timesMs: this.#timesMs.slice(0, this.#rows), columns };
  }

  #grow(): void {
    this.#timesMs = doubled(this.#timesMs);
    this.#columns = this.#columns.map((column) => doubled(column));
  }
}

function doubled(from: Float64Array): Float64Array<ArrayBuffer> {
  const to = new Float64Array(from.length * 2);
  to.set(from);
  return to;
}
