/**
 * All slices of one resolution, on disk or in memory. Input: a tier (name, slice length), a directory. Output: the slice of
 * a time, opened when needed; a slice that turns out damaged is put aside under another name and reported, and the rest
 * goes on. Files are named by tier and start: `raw-20260701T130000Z.db`.
 */
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, type HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import { type Source, type Subject, seriesKey } from '../../../shared/telemetry.ts';
import { storeError } from './database.ts';
import { SliceFile } from './slice-file.ts';

export interface Tier {
  name: string;
  sliceMs: number;
  /** Span of one sealed chunk. */
  chunkMs: number;
}

/** What happened that an operator should know. */
export type Report = (message: string) => void;

export interface Slice {
  readonly startMs: number;
  readonly path: string;
  /** Series that this slice has, by key. */
  readonly series: Map<string, { subject: Subject; source: Source }>;
  file: SliceFile | null;
}

/** Open files at a time: three descriptors each; a long query reopens what it needs in about a millisecond. */
const OPEN_FILES_MAX = 24;
const SIDE_FILES = ['', '-wal', '-shm'] as const;

export class SliceShelf {
  readonly tier: Tier;
  /** Files found at the start, and those of them that could not be read. */
  readonly found: { files: number; damaged: { path: string; error: HeadroomError }[] } = { files: 0, damaged: [] };
  readonly #directory: string | null;
  readonly #report: Report;
  readonly #onDamagedChunk: Report;
  readonly #slices = new Map<number, Slice>();
  /** Open slices, least recently used first. */
  readonly #open = new Set<Slice>();

  /** `directory` null: everything in memory. Throws STORE_UNAVAILABLE when the directory or a newer file cannot be read. */
  constructor(tier: Tier, directory: string | null, report: Report, onDamagedChunk: Report) {
    this.tier = tier;
    this.#directory = directory;
    this.#report = report;
    this.#onDamagedChunk = onDamagedChunk;
    if (directory === null) return;
    for (const name of readdirSync(directory)) {
      const startMs = parseStart(tier, name);
      if (startMs !== null) this.#find(startMs, join(directory, name));
    }
  }

  /** Slices that overlap [fromMs, toMs), oldest first. */
  within(fromMs: number, toMs: number): Slice[] {
    const { sliceMs } = this.tier;
    return this.all().filter(({ startMs }) => startMs < toMs && startMs + sliceMs > fromMs);
  }

  /** All slices, oldest first. */
  all(): Slice[] {
    return [...this.#slices.values()].sort((a, b) => a.startMs - b.startMs);
  }

  at(timeMs: number): Slice | null {
    return this.#slices.get(this.startOf(timeMs)) ?? null;
  }

  startOf(timeMs: number): number {
    return Math.floor(timeMs / this.tier.sliceMs) * this.tier.sliceMs;
  }

  /** The slice of that time, created when missing. */
  ensure(timeMs: number): Slice {
    const startMs = this.startOf(timeMs);
    let slice = this.#slices.get(startMs);
    if (!slice) {
      slice = { startMs, path: this.#path(startMs), series: new Map(), file: null };
      this.file(slice);
      this.#slices.set(startMs, slice);
    }
    return slice;
  }

  /** Runs `work` on the slice's file. Damage puts the slice aside and answers `otherwise`; other errors pass. */
  read<T>(slice: Slice, otherwise: T, work: (file: SliceFile) => T): T {
    try {
      return work(this.file(slice));
    } catch (error) {
      const problem = storeError(error, `series slice ${slice.path}`);
      if (problem.code !== 'STORE_CORRUPT') throw problem;
      this.quarantine(slice, problem);
      return otherwise;
    }
  }

  /** Like `read`, but creates the slice when missing, and when it turns out damaged goes on with a fresh one. */
  write(timeMs: number, work: (file: SliceFile, slice: Slice) => void): void {
    const slice = this.ensure(timeMs);
    try {
      const file = this.file(slice);
      file.transaction(() => work(file, slice));
    } catch (error) {
      const problem = storeError(error, `series slice ${slice.path}`);
      if (problem.code !== 'STORE_CORRUPT') throw problem;
      this.quarantine(slice, problem);
      const fresh = this.ensure(timeMs);
      const file = this.file(fresh);
      file.transaction(() => work(file, fresh));
    }
  }

  /** The slice's open file. */
  file(slice: Slice): SliceFile {
    if (slice.file) {
      this.#open.delete(slice);
      this.#open.add(slice);
      return slice.file;
    }
    const file = new SliceFile(slice.path, this.#onDamagedChunk);
    slice.file = file;
    slice.series.clear();
    for (const name of file.seriesNames()) slice.series.set(seriesKey(name.subject, name.source), name);
    this.#open.add(slice);
    this.#closeUnused();
    return file;
  }

  /** Deletes the slice and its file. */
  remove(slice: Slice): void {
    this.#forget(slice);
    if (this.#directory !== null) for (const side of SIDE_FILES) rmSync(slice.path + side, { force: true });
  }

  /** Size of a slice's files, bytes. */
  bytes(slice: Slice): number {
    if (this.#directory === null) return slice.file?.bytes() ?? 0;
    return SIDE_FILES.reduce((sum, side) => sum + (statSync(slice.path + side, { throwIfNoEntry: false })?.size ?? 0), 0);
  }

  /** Empties the write-ahead logs of open slices into their files. */
  checkpoint(): void {
    for (const slice of [...this.#open]) this.read(slice, undefined, (file) => file.checkpoint());
  }

  quarantine(slice: Slice, problem: HeadroomError): void {
    this.#forget(slice);
    if (this.#directory !== null) this.#putAside(slice.path, problem);
  }

  /** Renames the files that could not be read at the start, and reports them. */
  putDamagedAside(): void {
    for (const { path, error } of this.found.damaged) this.#putAside(path, error);
    this.found.damaged.length = 0;
  }

  close(): void {
    for (const slice of this.#open) slice.file?.close();
    this.#open.clear();
  }

  #find(startMs: number, path: string): void {
    this.found.files++;
    const slice: Slice = { startMs, path, series: new Map(), file: null };
    try {
      this.file(slice);
      this.#slices.set(startMs, slice);
    } catch (error) {
      if (!isHeadroomError(error, 'STORE_CORRUPT')) throw error;
      this.found.damaged.push({ path, error });
    }
  }

  #putAside(path: string, problem: HeadroomError): void {
    const aside = putAside(path);
    this.#report(`${problem.message}; put aside as ${aside}, everything else goes on`);
  }

  #forget(slice: Slice): void {
    slice.file?.close();
    slice.file = null;
    this.#open.delete(slice);
    this.#slices.delete(slice.startMs);
  }

  #closeUnused(): void {
    if (this.#directory === null) return;
    for (const slice of this.#open) {
      if (this.#open.size <= OPEN_FILES_MAX) return;
      slice.file?.close();
      slice.file = null;
      this.#open.delete(slice);
    }
  }

  #path(startMs: number): string {
    if (this.#directory === null) return ':memory:';
    const stamp = new Date(startMs).toISOString().replaceAll(/[-:]|\.000/g, '');
    return join(this.#directory, `${this.tier.name}-${stamp}.db`);
  }
}

/** Renames a damaged database and its side files; answers the new name. */
export function putAside(path: string): string {
  let aside = `${path}.damaged`;
  for (let n = 2; existsSync(aside); n++) aside = `${path}.damaged-${n}`;
  try {
    for (const side of SIDE_FILES) if (existsSync(path + side)) renameSync(path + side, aside + side);
  } catch (error) {
    throw storeError(error, `putting ${path} aside failed: ${errorText(error)}`);
  }
  return aside;
}

function parseStart(tier: Tier, name: string): number | null {
  const match = /^(\w+)-(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z\.db$/.exec(name);
  if (!match || match[1] !== tier.name) return null;
  const [, , year, month, day, hour, minute, second] = match;
  const startMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(startMs) || startMs % tier.sliceMs !== 0 ? null : startMs;
}
