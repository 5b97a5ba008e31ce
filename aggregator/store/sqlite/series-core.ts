/**
 * The embedded series store without its thread: synchronous, and deterministic given the same calls. Input: groups of
 * blocks as bytes, the time of each call. Output: durable rows, queries, retention. The worker and the in-memory store of
 * simulations are two shells around it.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { Source, Subject } from '../../../shared/telemetry.ts';
import type { LastValue, SeriesQuery, SeriesResult, SeriesStoreStatus } from '../series-store.ts';
import { BatchLog } from './batch-log.ts';
import { type BlockGroup, timelyGroup } from './block-bytes.ts';
import { applyBudget, applyRetention } from './retention.ts';
import { RowTable } from './row-table.ts';
import { Sealer, type Shelves } from './sealer.ts';
import { FIVE_MINUTES, HOURS, RAW, type SeriesOptions } from './series-options.ts';
import { SeriesReader } from './series-reader.ts';
import { type Report, SliceShelf } from './slice-shelf.ts';

/** Problems remembered for `status`. */
const PROBLEMS_MAX = 32;

/** Up to this share of the memory limit rows need not be packed: a thousand VMs at 1 Hz. */
const LOOSE_SHARE = 0.25;
/** From this share of the memory limit on, appends wait for sealing; background sealing hurries from a half on. */
const SEAL_FIRST_SHARE = 0.75;
/** Free room in the log's file that is not worth giving back to the disk. */
const LOG_SLACK_BYTES = 64 * 1024 * 1024;

export class SeriesCore {
  readonly #options: SeriesOptions;
  readonly #shelves: Shelves;
  readonly #table: RowTable;
  readonly #log: BatchLog;
  readonly #sealer: Sealer;
  readonly #reader: SeriesReader;
  readonly #report: Report;
  readonly #dropped: Record<string, number> = {};
  readonly #problems: string[] = [];
  /** Why the last step of background work failed; null when it did not. */
  #stalled: HeadroomError | null = null;
  /** Rows before this cannot be taken any more: their raw slice went to the byte budget. */
  #floorMs = Number.NEGATIVE_INFINITY;

  /**
   * Opens the directory (null = in memory) and reads the batch log again. Damaged files are put aside. Throws
   * STORE_UNAVAILABLE (no access, written by a newer version), STORE_CORRUPT when files exist and not one can be read.
   */
  constructor(directory: string | null, options: SeriesOptions, report: Report, nowMs: number) {
    this.#options = options;
    this.#table = new RowTable(LOOSE_SHARE * options.memoryBytesMax);
    this.#report = (message) => {
      this.#remember(message);
      report(message);
    };
    const damagedChunk: Report = (message) => {
      // A damaged chunk is met at each query: told once.
      if (!this.#problems.includes(message)) this.#report(message);
    };
    const shelf = (tier: typeof RAW) => new SliceShelf(tier, directory, this.#report, damagedChunk);
    this.#shelves = { raw: shelf(RAW), fiveMinutes: shelf(FIVE_MINUTES), hours: shelf(HOURS) };
    this.#log = new BatchLog(directory === null ? ':memory:' : join(directory, 'batch-log.db'), options.logBytesMax);
    this.#judgeDamage(directory);
    this.#replay(nowMs);
    this.#sealer = new Sealer(this.#shelves, this.#table, this.#log, options);
    this.#reader = new SeriesReader(this.#shelves, this.#table, this.#sealer);
  }

  /** Makes the groups durable in one commit. Throws STORE_FULL or STORE_UNAVAILABLE, and then kept none of them. */
  append(groups: readonly Uint8Array[], nowMs: number): void {
    // First of all: names that come with a group are not told again.
    const taken = groups.map((bytes) => this.#log.take(bytes));
    // Ingest faster than sealing: sealing goes first, and the acknowledgement that waits for it slows the senders down.
    while (this.#table.bytes > SEAL_FIRST_SHARE * this.#options.memoryBytesMax && this.step(nowMs));
    if (this.#table.bytes > this.#options.memoryBytesMax) {
      throw (
        this.#stalled ??
        new HeadroomError('STORE_UNAVAILABLE', `sealing is behind: ${this.#table.bytes} bytes of rows wait in memory; send again later`)
      );
    }
    const accepted: BlockGroup[] = [];
    const refused: Record<string, number> = {};
    const leastMs = Math.max(nowMs - this.#options.lateMs, this.#floorMs);
    const mostMs = nowMs + this.#options.aheadMs;
    for (const group of taken) {
      const allTimely = group.leastMs >= leastMs && group.mostMs <= mostMs;
      const timely = allTimely ? group : timelyGroup(group, leastMs, mostMs, refused);
      if (timely.blocks > 0) accepted.push(timely);
    }
    if (accepted.length > 0) {
      const first = this.#log.append(accepted);
      for (const [i, group] of accepted.entries()) this.#table.add(group, first + i, nowMs);
    }
    for (const [reason, rows] of Object.entries(refused)) this.#drop(reason, rows);
  }

  /** One piece of background work; false when nothing is due, or when it cannot be done now (status says why). */
  step(nowMs: number): boolean {
    try {
      const worked = this.#sealer.step(nowMs);
      this.#stalled = null;
      return worked;
    } catch (error) {
      if (!isHeadroomError(error)) throw error;
      if (this.#stalled?.message !== error.message) this.#report(`sealing waits: ${error.message}`);
      this.#stalled = error;
      return false;
    }
  }

  query(query: SeriesQuery): SeriesResult {
    return this.#reader.query(query);
  }

  last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): LastValue[] {
    const wanted = subjects && new Set(subjects.map(({ kind, id }) => `${kind}/${id}`));
    return this.subjects().flatMap(({ subject, source }) => {
      if (wanted && !wanted.has(`${subject.kind}/${subject.id}`)) return [];
      return this.#reader.last(subject, source, nowMs - withinMs) ?? [];
    });
  }

  subjects(): { subject: Subject; source: Source }[] {
    const all = new Map<string, { subject: Subject; source: Source }>();
    for (const { key, subject, source } of this.#table.series.values()) all.set(key, { subject, source });
    for (const shelf of Object.values(this.#shelves) as SliceShelf[]) {
      for (const { series } of shelf.all()) for (const [key, name] of series) if (!all.has(key)) all.set(key, name);
    }
    return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, name]) => name);
  }

  maintain(nowMs: number): void {
    const keeping = { shelves: this.#shelves, sealer: this.#sealer, options: this.#options };
    applyRetention(keeping, nowMs, this.#newestMs());
    this.#log.shrink(Math.min(LOG_SLACK_BYTES, this.#options.bytesMax / 16));
    const { rowsDropped, floorMs, short } = applyBudget(keeping, this.#log.bytes());
    if (rowsDropped > 0) {
      this.#drop('byte-budget', rowsDropped);
      this.#report(`the byte budget of ${this.#options.bytesMax} took ${rowsDropped} rows before their retention ended`);
    }
    if (floorMs !== null) this.#floorMs = Math.max(this.#floorMs, floorMs);
    if (short) this.#report(`the byte budget of ${this.#options.bytesMax} bytes is too small for what must be kept: raise store.bytesMax`);
  }

  status(): SeriesStoreStatus {
    const openMs = this.#table.oldestBinMs();
    const [oldest] = this.#shelves.raw.all();
    const sealedMs = oldest ? this.#shelves.raw.read(oldest, null, (file) => file.chunkRange()?.[0] ?? null) : null;
    const starts = [openMs, sealedMs].filter((ms) => ms !== null);
    return {
      kind: 'sqlite',
      bytes: this.bytes(),
      rawFromMs: starts.length === 0 ? null : Math.min(...starts),
      dropped: { ...this.#dropped },
      problems: this.#stalled ? [...this.#problems, `now: ${this.#stalled.message}`] : [...this.#problems],
    };
  }

  bytes(): number {
    const shelves = Object.values(this.#shelves) as SliceShelf[];
    return shelves.reduce((sum, shelf) => sum + shelf.all().reduce((total, slice) => total + shelf.bytes(slice), 0), this.#log.bytes());
  }

  close(): void {
    this.#log.close();
    for (const shelf of Object.values(this.#shelves) as SliceShelf[]) shelf.close();
  }

  #replay(nowMs: number): void {
    const damage = this.#log.replay((entry, group) => {
      try {
        this.#table.add(group(), entry, nowMs);
      } catch (error) {
        if (!isHeadroomError(error)) throw error;
        this.#report(error.message);
      }
    });
    if (damage) this.#report(`${damage.message}; entries after the damage are lost, the log begins anew once the others are sealed`);
  }

  /** Nothing readable at all is a wrong disk or directory, not damage to work around. */
  #judgeDamage(directory: string | null): void {
    const shelves = Object.values(this.#shelves) as SliceShelf[];
    const files = shelves.reduce((sum, shelf) => sum + shelf.found.files, this.#log.existed ? 1 : 0);
    const damaged = shelves.reduce((sum, shelf) => sum + shelf.found.damaged.length, this.#log.damage ? 1 : 0);
    if (files > 0 && damaged === files) {
      this.close();
      const names = directory === null ? [] : readdirSync(directory).slice(0, 5);
      throw new HeadroomError(
        'STORE_CORRUPT',
        `none of the ${files} files of the series store in ${directory} can be read (${names.join(', ')}, …); check the disk, or move them away to begin anew`,
      );
    }
    for (const shelf of shelves) shelf.putDamagedAside();
    if (this.#log.damage) this.#log.startAnew(this.#report);
  }

  #newestMs(): number | null {
    const newest = this.#shelves.raw.all().at(-1);
    if (this.#table.newestMs !== null) return this.#table.newestMs;
    return newest ? newest.startMs + RAW.sliceMs : null;
  }

  #drop(reason: string, rows: number): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + rows;
  }

  #remember(message: string): void {
    if (this.#problems.length >= PROBLEMS_MAX) this.#problems.shift();
    this.#problems.push(message);
  }
}
