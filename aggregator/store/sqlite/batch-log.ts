/**
 * The batch log: every accepted group of blocks, on disk before it is acknowledged, in the order it came. Input: groups as
 * bytes. Output: the same after a restart, to be read again. An entry is forgotten once all its rows are sealed elsewhere;
 * since what remains is always the newest part of the log, reading it again writes nothing older over something newer.
 */
import { existsSync, statSync } from 'node:fs';
import { type HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import { closeQuietly, type Database, openDatabase, pragmaNumber, type Statement, storeError, transaction } from './database.ts';
import { putAside, type Report } from './slice-shelf.ts';

/** "HrBL". */
const APPLICATION_ID = 0x4872424c;
const PAGE_BYTES = 16384;
const SCHEMA = 'CREATE TABLE entry(number INTEGER PRIMARY KEY, bytes BLOB NOT NULL)';
export class BatchLog {
  readonly existed: boolean;
  /** Why an existing log could not be read; it is put aside by `startAnew`. */
  readonly damage: HeadroomError | null;
  readonly #path: string;
  readonly #bytesMax: number;
  #db: Database | null = null;
  #insert: Statement | null = null;
  #next = 1;
  #oldest = 1;

  /** `:memory:` for none on disk. Throws STORE_UNAVAILABLE; damage is kept in `damage`. */
  constructor(path: string, bytesMax: number) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.existed = path !== ':memory:' && existsSync(path);
    let damage: HeadroomError | null = null;
    try {
      this.#open();
    } catch (error) {
      if (!isHeadroomError(error, 'STORE_CORRUPT')) throw error;
      damage = error;
    }
    this.damage = damage;
  }

  /** Puts a damaged log aside and begins an empty one. */
  startAnew(report: Report): void {
    const aside = putAside(this.#path);
    report(`${this.damage?.message}; put aside as ${aside}: rows of the last minutes that were not sealed yet are lost`);
    this.#open();
  }

  /** Reads all entries, oldest first. Stops at damage within the file, which it answers. */
  replay(use: (number: number, bytes: Uint8Array) => void): HeadroomError | null {
    const statement = this.#database().prepare('SELECT number, bytes FROM entry ORDER BY number');
    try {
      for (const row of statement.iterate()) use(Number(row.number), row.bytes as Uint8Array);
      return null;
    } catch (error) {
      return storeError(error, `batch log ${this.#path}`);
    }
  }

  /** All groups in one commit; answers the number of the first. Throws STORE_FULL or STORE_UNAVAILABLE, and then kept nothing. */
  append(groups: readonly Uint8Array[]): number {
    const first = this.#next;
    transaction(this.#database(), 'batch log', () => {
      for (let i = 0; i < groups.length; i++) this.#insert!.run(first + i, groups[i]!);
    });
    this.#next += groups.length;
    return first;
  }

  /** Forgets entries before `number` (null: all). */
  forget(number: number | null): void {
    const before = number ?? this.#next;
    if (before <= this.#oldest) return;
    transaction(this.#database(), 'batch log', () => this.#database().prepare('DELETE FROM entry WHERE number < ?').run(before));
    this.#oldest = before;
  }

  bytes(): number {
    const pages = pragmaNumber(this.#database(), 'page_count') * PAGE_BYTES;
    return pages + (statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size ?? 0);
  }

  /** Gives room back after a burst: free pages when they are most of the file and more than `slackBytes`. */
  shrink(slackBytes: number): void {
    const db = this.#database();
    const free = pragmaNumber(db, 'freelist_count');
    const all = pragmaNumber(db, 'page_count');
    if (free * PAGE_BYTES > slackBytes && free > all / 2) db.exec('PRAGMA incremental_vacuum');
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  }

  close(): void {
    closeQuietly(this.#db ?? undefined);
  }

  #open(): void {
    this.#db = openDatabase(this.#path, {
      what: 'batch log',
      applicationId: APPLICATION_ID,
      schemaVersion: 1,
      schema: SCHEMA,
      pageBytes: PAGE_BYTES,
      cacheKiB: 4096,
      // 16 MiB: at full speed a checkpoint each second or so, at rest one in minutes.
      checkpointPages: 1024,
      bytesMax: this.#bytesMax,
    });
    try {
      this.#insert = this.#db.prepare('INSERT INTO entry(number, bytes) VALUES (?, ?)');
      const row = this.#db.prepare('SELECT min(number) AS oldest, max(number) AS newest FROM entry').get();
      this.#next = Number(row?.newest ?? 0) + 1;
      this.#oldest = Number(row?.oldest ?? this.#next);
    } catch (error) {
      closeQuietly(this.#db);
      throw storeError(error, `batch log ${this.#path}`);
    }
  }

  #database(): Database {
    if (!this.#db) throw new Error('the batch log is not open');
    return this.#db;
  }
}
