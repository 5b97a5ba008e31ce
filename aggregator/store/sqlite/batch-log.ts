/**
 * The batch log: every accepted group of blocks, on disk before it is acknowledged, in the order it came. Input: groups as
 * bytes. Output: the same after a restart, to be read again. An entry is forgotten once all its rows are sealed elsewhere;
 * since what remains is always the newest part of the log, reading it again writes nothing older over something newer.
 * Names of series and field lists stand beside the entries, once per numbering: each start of the program begins a new one.
 */
import { existsSync, statSync } from 'node:fs';
import { type HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import { type BlockGroup, newNamesIn, numberingOf, openGroup, stampNumbering } from './block-bytes.ts';
import { beginsAnew, NameTable } from './block-names.ts';
import { closeQuietly, type Database, openDatabase, pragmaNumber, type Statement, storeError, transaction } from './database.ts';
import { putAside, type Report } from './slice-shelf.ts';

/** "HrBL". */
const APPLICATION_ID = 0x4872424c;
const PAGE_BYTES = 16384;
const SCHEMA_VERSION = 2;
const SCHEMA = `
CREATE TABLE entry(number INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
CREATE TABLE names(number INTEGER PRIMARY KEY, numbering INTEGER NOT NULL, text TEXT NOT NULL)`;

export class BatchLog {
  readonly existed: boolean;
  /** Why an existing log could not be read; it is put aside by `startAnew`. */
  readonly damage: HeadroomError | null;
  readonly #path: string;
  readonly #bytesMax: number;
  #db: Database | null = null;
  #insert: Statement | null = null;
  #insertNames: Statement | null = null;
  #next = 1;
  #oldest = 1;
  /** The numbering that new entries belong to, its names, and the first entry it may have. */
  #numbering = 0;
  #names = new NameTable();
  #numberedFrom = 1;
  /** Names learnt and not on the disk yet: they go with the next entry that does. */
  #unwritten: { numbering: number; text: string }[] = [];

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

  /** Reads all entries, oldest first; `use` may throw. Stops at damage within the file, which it answers. */
  replay(use: (number: number, group: () => BlockGroup) => void): HeadroomError | null {
    try {
      const tables = this.#readNames();
      const statement = this.#database().prepare('SELECT number, bytes FROM entry ORDER BY number');
      for (const row of statement.iterate()) {
        const bytes = row.bytes as Uint8Array;
        use(Number(row.number), () => openGroup(bytes, tables.get(numberingOf(bytes)) ?? new NameTable()));
      }
      return null;
    } catch (error) {
      return storeError(error, `batch log ${this.#path}`);
    }
  }

  /** A group that has come, ready for `append`; its new names are learnt, whatever becomes of it. Throws STORE_CORRUPT. */
  take(bytes: Uint8Array): BlockGroup {
    const named = newNamesIn(bytes);
    if (named) {
      if (beginsAnew(named.news)) {
        this.#numbering++;
        this.#names = new NameTable();
        this.#numberedFrom = this.#next;
      }
      this.#names.learn(named.news);
      this.#unwritten.push({ numbering: this.#numbering, text: named.text });
    }
    stampNumbering(bytes, this.#numbering);
    return openGroup(bytes, this.#names);
  }

  /** All groups in one commit; answers the number of the first. Throws STORE_FULL or STORE_UNAVAILABLE, and then kept nothing. */
  append(groups: readonly BlockGroup[]): number {
    const first = this.#next;
    transaction(this.#database(), 'batch log', () => {
      for (const { numbering, text } of this.#unwritten) this.#insertNames!.run(numbering, text);
      for (let i = 0; i < groups.length; i++) this.#insert!.run(first + i, groups[i]!.bytes);
    });
    this.#unwritten = [];
    this.#next += groups.length;
    return first;
  }

  /** Forgets entries before `number` (null: all). */
  forget(number: number | null): void {
    const before = number ?? this.#next;
    if (before <= this.#oldest) return;
    transaction(this.#database(), 'batch log', () => {
      this.#database().prepare('DELETE FROM entry WHERE number < ?').run(before);
      if (before >= this.#numberedFrom) this.#database().prepare('DELETE FROM names WHERE numbering < ?').run(this.#numbering);
    });
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
      schemaVersion: SCHEMA_VERSION,
      schema: SCHEMA,
      pageBytes: PAGE_BYTES,
      cacheKiB: 4096,
      // 16 MiB: at full speed a checkpoint each second or so, at rest one in minutes.
      checkpointPages: 1024,
      bytesMax: this.#bytesMax,
    });
    try {
      this.#upgrade();
      this.#insertNames = this.#db.prepare('INSERT INTO names(numbering, text) VALUES (?, ?)');
      this.#insert = this.#db.prepare('INSERT INTO entry(number, bytes) VALUES (?, ?)');
      const row = this.#db.prepare('SELECT min(number) AS oldest, max(number) AS newest FROM entry').get();
      this.#next = Number(row?.newest ?? 0) + 1;
      this.#oldest = Number(row?.oldest ?? this.#next);
      this.#numbering = Number(this.#db.prepare('SELECT max(numbering) AS newest FROM names').get()?.newest ?? 0);
    } catch (error) {
      closeQuietly(this.#db);
      throw storeError(error, `batch log ${this.#path}`);
    }
  }

  /** A log of version 1, of before the first release, begins anew: its entries cannot be read. */
  #upgrade(): void {
    const db = this.#database();
    if (pragmaNumber(db, 'user_version') === SCHEMA_VERSION) return;
    db.exec(`BEGIN; DROP TABLE entry; ${SCHEMA}; PRAGMA user_version=${SCHEMA_VERSION}; COMMIT`);
  }

  #readNames(): Map<number, NameTable> {
    const tables = new Map<number, NameTable>();
    for (const { numbering, text } of this.#database().prepare('SELECT numbering, text FROM names ORDER BY number').all()) {
      const table = tables.get(Number(numbering)) ?? new NameTable();
      tables.set(Number(numbering), table);
      table.learn(JSON.parse(String(text)));
    }
    return tables;
  }

  #database(): Database {
    if (!this.#db) throw new Error('the batch log is not open');
    return this.#db;
  }
}
