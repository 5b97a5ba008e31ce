/**
 * One time slice of one resolution: a SQLite file of its own, so that retention is an unlink and damage stays in one slice.
 * Input: columns per series and chunk (sealed), rows of statistics per bin (not yet chunked), marks of hours whose
 * aggregate is due. Output: the same, by series, time and field. Series and field lists are numbered within the file: each
 * file can be read without any other.
 */
import { errorText } from '../../../shared/errors.ts';
import { type Source, type Subject, seriesKey } from '../../../shared/telemetry.ts';
import { splitStatistic } from '../statistics.ts';
import { decodeGroup, encodeGroup } from './chunk-codec.ts';
import { closeQuietly, type Database, openDatabase, pragmaNumber, type Statement, storeError, transaction } from './database.ts';
import type { Columns } from './open-bin.ts';

export interface Chunk {
  startMs: number;
  columns: Columns;
}

/** A row of statistics: six numbers per field, in the order of STATISTICS. */
export interface BinRow {
  startMs: number;
  fields: readonly string[];
  values: Float64Array;
}

export interface SeriesName {
  subject: Subject;
  source: Source;
}

/** "HrSl". */
const APPLICATION_ID = 0x4872536c;
const SCHEMA_VERSION = 1;
const SCHEMA = `
CREATE TABLE series(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, source TEXT NOT NULL);
CREATE TABLE layout(id INTEGER PRIMARY KEY, fields TEXT NOT NULL);
CREATE TABLE chunk(series INTEGER NOT NULL, start_ms INTEGER NOT NULL, layout INTEGER NOT NULL, rows INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX chunk_key ON chunk(series, start_ms, layout);
CREATE TABLE bin(series INTEGER NOT NULL, start_ms INTEGER NOT NULL, layout INTEGER NOT NULL, bytes BLOB NOT NULL);
CREATE UNIQUE INDEX bin_key ON bin(series, start_ms);
CREATE TABLE hour_due(series INTEGER PRIMARY KEY)`;

/** Chunks take 1 to 10 KB and do not share pages they do not fit: measured, pages of 16 KiB cost 10 bytes a row more, 64 KiB save 2. */
const PAGE_BYTES = 32768;
/** The times of a chunk are stored as a layout of their own. */
const TIMES_LAYOUT = 0;

type ChunkRow = [startMs: number, layout: number, rows: number, bytes: Uint8Array];

export class SliceFile {
  readonly #db: Database;
  readonly #onDamage: (message: string) => void;
  readonly #statements = new Map<string, Statement>();
  readonly #series = new Map<string, number>();
  readonly #layouts = new Map<string, number>();
  readonly #layoutFields = new Map<number, readonly string[]>();

  /** Opens or creates. Throws as `openDatabase` does. `onDamage` hears of single chunks that cannot be read. */
  constructor(path: string, onDamage: (message: string) => void) {
    this.#onDamage = onDamage;
    this.#db = openDatabase(path, {
      what: 'series slice',
      applicationId: APPLICATION_ID,
      schemaVersion: SCHEMA_VERSION,
      schema: SCHEMA,
      pageBytes: PAGE_BYTES,
      cacheKiB: 2048,
      checkpointPages: 128,
      bytesMax: null,
    });
    try {
      this.#loadNames();
    } catch (error) {
      this.close();
      throw storeError(error, `series slice ${path}`);
    }
  }

  transaction<T>(work: () => T): T {
    try {
      return transaction(this.#db, 'series slice', work);
    } catch (error) {
      // Numbers given to names within the transaction went with it.
      this.#loadNames();
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    closeQuietly(this.#db);
  }

  /** Number of the series in this file; null when it has none. */
  findSeries(key: string): number | null {
    return this.#series.get(key) ?? null;
  }

  seriesNames(): SeriesName[] {
    return this.#seriesRows().map(({ subject, source }) => ({ subject, source }));
  }

  /** Within a transaction: the series' number, given if it had none. */
  addSeries(name: SeriesName): number {
    const key = seriesKey(name.subject, name.source);
    const found = this.#series.get(key);
    if (found !== undefined) return found;
    this.#run('INSERT INTO series(kind, subject, source) VALUES (?, ?, ?)', name.subject.kind, name.subject.id, name.source);
    const id = this.#lastId();
    this.#series.set(key, id);
    return id;
  }

  /** Within a transaction: replaces what is stored of this series for this chunk. */
  writeChunk(series: number, startMs: number, { timesMs, columns }: Columns): void {
    this.#run('DELETE FROM chunk WHERE series=? AND start_ms=?', series, startMs);
    const insert = 'INSERT INTO chunk(series, start_ms, layout, rows, bytes) VALUES (?, ?, ?, ?, ?)';
    this.#run(insert, series, startMs, TIMES_LAYOUT, timesMs.length, encodeGroup([timesMs]));
    for (const names of groups(columns.keys())) {
      const bytes = encodeGroup(names.map((name) => columns.get(name)!));
      this.#run(insert, series, startMs, this.#layout(names), timesMs.length, bytes);
    }
  }

  hasChunk(series: number, startMs: number): boolean {
    return this.#all('SELECT 1 FROM chunk WHERE series=? AND start_ms=? LIMIT 1', series, startMs).length > 0;
  }

  /** Sealed columns of chunks that start in [fromMs, toMs), in time order; only the fields asked for unless null. */
  readChunks(series: number, fromMs: number, toMs: number, fields: readonly string[] | null): Chunk[] {
    const layouts: number[] = [TIMES_LAYOUT];
    for (const [id, names] of this.#layoutFields) if (!fields || names.some((name) => fields.includes(name))) layouts.push(id);
    if (layouts.length === 1) return [];
    const rows = this.#all(
      `SELECT start_ms, layout, rows, bytes FROM chunk WHERE series=? AND start_ms>=? AND start_ms<?
       AND layout IN (SELECT value FROM json_each(?)) ORDER BY start_ms, layout`,
      series,
      fromMs,
      toMs,
      JSON.stringify(layouts),
    ) as ChunkRow[];
    const chunks: Chunk[] = [];
    for (let i = 0; i < rows.length; ) {
      const begin = i;
      while (i < rows.length && rows[i]![0] === rows[begin]![0]) i++;
      const chunk = this.#assemble(rows.slice(begin, i), fields);
      if (chunk) chunks.push(chunk);
    }
    return chunks;
  }

  /** Start of the series' newest chunk in [fromMs, toMs); null when there is none. */
  newestChunk(series: number, fromMs: number, toMs: number): number | null {
    const [row] = this.#all('SELECT max(start_ms) FROM chunk WHERE series=? AND start_ms>=? AND start_ms<?', series, fromMs, toMs);
    return row?.[0] === null || row === undefined ? null : Number(row[0]);
  }

  /** Starts of the oldest and the newest chunk of all; null when there is none. */
  chunkRange(): [oldestMs: number, newestMs: number] | null {
    const [row] = this.#all('SELECT min(start_ms), max(start_ms) FROM chunk');
    return row === undefined || row[0] === null ? null : [Number(row[0]), Number(row[1])];
  }

  /** Rows sealed in this file before `beforeMs`. */
  countRows(beforeMs: number): number {
    const [row] = this.#all('SELECT coalesce(sum(rows), 0) FROM chunk WHERE layout=? AND start_ms<?', TIMES_LAYOUT, beforeMs);
    return Number(row?.[0] ?? 0);
  }

  /** Within a transaction: forgets chunks that start before `beforeMs`. */
  deleteChunks(beforeMs: number): void {
    this.#run('DELETE FROM chunk WHERE start_ms<?', beforeMs);
  }

  /** Size of the database, for one that is in memory. */
  bytes(): number {
    return pragmaNumber(this.#db, 'page_count') * PAGE_BYTES;
  }

  /** Gives freed pages back to the file system. */
  shrink(): void {
    this.#db.exec('PRAGMA incremental_vacuum');
    this.checkpoint();
  }

  checkpoint(): void {
    this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  /** Within a transaction: a bin's statistics, replacing what was there. */
  writeBin(series: number, row: BinRow): void {
    this.#run(
      'INSERT INTO bin(series, start_ms, layout, bytes) VALUES (?, ?, ?, ?) ON CONFLICT(series, start_ms) DO UPDATE SET layout=excluded.layout, bytes=excluded.bytes',
      series,
      row.startMs,
      this.#layout(row.fields),
      new Uint8Array(row.values.buffer, row.values.byteOffset, row.values.byteLength),
    );
  }

  readBins(series: number, fromMs: number, toMs: number): BinRow[] {
    const rows = this.#all(
      'SELECT start_ms, layout, bytes FROM bin WHERE series=? AND start_ms>=? AND start_ms<? ORDER BY start_ms',
      series,
      fromMs,
      toMs,
    ) as [number, number, Uint8Array][];
    return rows.map(([startMs, layout, bytes]) => {
      const aligned = bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
      const values = new Float64Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 3);
      return { startMs, fields: this.#layoutFields.get(layout) ?? [], values };
    });
  }

  /** Starts of the chunks-to-be that have bins waiting, with the series: [series, start]. */
  waitingBlocks(blockMs: number): [series: number, startMs: number][] {
    return this.#all('SELECT DISTINCT series, start_ms - start_ms % ? FROM bin', blockMs) as [number, number][];
  }

  /** Within a transaction: forgets bins in [fromMs, toMs). */
  deleteBins(series: number, fromMs: number, toMs: number): void {
    this.#run('DELETE FROM bin WHERE series=? AND start_ms>=? AND start_ms<?', series, fromMs, toMs);
  }

  /** Within a transaction: this slice's hour must be aggregated (anew) for the series. */
  markHourDue(series: number): void {
    this.#run('INSERT OR IGNORE INTO hour_due(series) VALUES (?)', series);
  }

  clearHourDue(series: number): void {
    this.#run('DELETE FROM hour_due WHERE series=?', series);
  }

  hoursDue(): number[] {
    return this.#all('SELECT series FROM hour_due').map(([series]) => Number(series));
  }

  /** Null when the times cannot be read; a group that cannot be read leaves its fields unknown. */
  #assemble(rows: readonly ChunkRow[], fields: readonly string[] | null): Chunk | null {
    const [first] = rows;
    if (first?.[1] !== TIMES_LAYOUT) return null;
    const timesMs = this.#decode(first, [0])?.[0];
    if (!timesMs) return null;
    const columns = new Map<string, Float64Array>();
    for (const row of rows.slice(1)) {
      const names = this.#layoutFields.get(row[1]) ?? [];
      const wanted = names.flatMap((name, i) => (!fields || fields.includes(name) ? [i] : []));
      const decoded = this.#decode(row, wanted);
      for (let i = 0; decoded && i < wanted.length; i++) columns.set(names[wanted[i]!]!, decoded[i]!);
    }
    return { startMs: first[0], columns: { timesMs, columns } };
  }

  #decode([startMs, , rows, bytes]: ChunkRow, positions: readonly number[]): Float64Array[] | null {
    try {
      return decodeGroup(bytes, rows, positions);
    } catch (error) {
      this.#onDamage(`${errorText(error)} (chunk of ${new Date(startMs).toISOString()}, ${rows} rows)`);
      return null;
    }
  }

  /** Within a transaction: the number of a field list, given if it had none. */
  #layout(fields: readonly string[]): number {
    const text = JSON.stringify(fields);
    const found = this.#layouts.get(text);
    if (found !== undefined) return found;
    this.#run('INSERT INTO layout(fields) VALUES (?)', text);
    const id = this.#lastId();
    this.#keepLayout(id, text);
    return id;
  }

  #keepLayout(id: number, text: string): void {
    this.#layouts.set(text, id);
    this.#layoutFields.set(id, JSON.parse(text));
  }

  #loadNames(): void {
    this.#series.clear();
    this.#layouts.clear();
    this.#layoutFields.clear();
    for (const { subject, source, id } of this.#seriesRows()) this.#series.set(seriesKey(subject, source), id);
    for (const [id, fields] of this.#all('SELECT id, fields FROM layout')) this.#keepLayout(Number(id), String(fields));
  }

  #seriesRows(): (SeriesName & { id: number })[] {
    return this.#all('SELECT id, kind, subject, source FROM series').map(([id, kind, subject, source]) => ({
      id: Number(id),
      subject: { kind: kind as Subject['kind'], id: String(subject) },
      source: source as Source,
    }));
  }

  #lastId(): number {
    return Number(this.#all('SELECT last_insert_rowid()')[0]![0]);
  }

  #run(sql: string, ...parameters: (string | number | Uint8Array)[]): void {
    this.#statement(sql).run(...parameters);
  }

  #all(sql: string, ...parameters: (string | number)[]): unknown[][] {
    return this.#statement(sql).all(...parameters) as unknown as unknown[][];
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      statement.setReturnArrays(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * A group with this many columns takes no further measurement. Statistics are asked for by field over weeks: one field's query
 * decompresses no more than it must. Rows are asked for over hours, and written far more often than they are read.
 */
const GROUP_COLUMNS_ENOUGH = { rows: 24, statistics: 8 };
/** Largest group, for measurements with very many fields. */
const GROUP_COLUMNS_MAX = { rows: 32, statistics: 16 };

/**
 * Fields that are stored and read together: by statistic and measurement, small measurements joined, since each compressed
 * group costs a call of some 70 µs whatever its size. Sorted, so that the same fields make the same layouts.
 */
function groups(fields: Iterable<string>): string[][] {
  const keyed = Array.from(fields, (field) => ({ field, ...placeOf(field) }));
  keyed.sort((a, b) => a.statistic - b.statistic || (a.field < b.field ? -1 : 1));
  const out: string[][] = [];
  let before: (typeof keyed)[number] | null = null;
  for (const next of keyed) {
    const group = out.at(-1);
    const most = (before?.measurement === next.measurement ? GROUP_COLUMNS_MAX : GROUP_COLUMNS_ENOUGH)[next.kind];
    if (group === undefined || group.length >= most || before?.statistic !== next.statistic) out.push([next.field]);
    else group.push(next.field);
    before = next;
  }
  return out;
}

function placeOf(field: string): { kind: 'rows' | 'statistics'; measurement: string; statistic: number } {
  const { field: name, statistic } = splitStatistic(field);
  const dot = name.indexOf('.');
  return { kind: name === field ? 'rows' : 'statistics', measurement: dot < 0 ? name : name.slice(0, dot), statistic };
}
