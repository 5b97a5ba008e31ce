/**
 * One SQLite file opened the way all of Headroom's stores want it. Input: a path (or `:memory:`), what kind of file it is
 * and its schema. Output: a database, transactions, and errors told apart by code.
 *
 * WAL with synchronous=FULL: a commit is on the disk when it returns, so neither kill -9 nor power loss takes back what was
 * acknowledged (as far as the disk honours fsync). Group commit makes that affordable: measured, a commit costs the same
 * for one row and for ten thousand.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { errorText, HeadroomError } from '../../../shared/errors.ts';

export interface DatabaseOptions {
  /** For messages: "series slice", "ledger". */
  what: string;
  /** Told apart from other programs' files by SQLite's application_id. */
  applicationId: number;
  /** Raised with every change of `schema` that an older program would misread. */
  schemaVersion: number;
  /** Creates what is missing: `create … if not exists`. */
  schema: string;
  pageBytes: number;
  cacheKiB: number;
  /** Pages in the WAL before they move to the file. */
  checkpointPages: number;
  /** Opens an existing file to look at, changing nothing. */
  readOnly?: boolean;
  /** Largest size of the file; null = as far as the disk goes. */
  bytesMax: number | null;
}

export type Database = DatabaseSync;
export type Statement = StatementSync;

/** How long to wait for another process's lock (a reader that checkpoints), milliseconds. */
const BUSY_MS = 2000;

/** Opens or creates. Throws STORE_CORRUPT, STORE_FULL, or STORE_UNAVAILABLE (no access, in use, written by a newer version). */
export function openDatabase(path: string, options: DatabaseOptions): Database {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: BUSY_MS, readOnly: options.readOnly ?? false });
    const version = readVersion(db, path, options);
    if (options.readOnly) return db;
    // These two shape the file and count only before its first table; in an existing file they change nothing.
    db.exec(`PRAGMA page_size=${options.pageBytes}; PRAGMA auto_vacuum=INCREMENTAL;`);
    db.exec(`PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-${options.cacheKiB};`);
    db.exec(`PRAGMA wal_autocheckpoint=${options.checkpointPages}; PRAGMA journal_size_limit=0;`);
    if (options.bytesMax !== null) db.exec(`PRAGMA max_page_count=${Math.max(8, Math.floor(options.bytesMax / options.pageBytes))}`);
    if (version === 0) {
      db.exec(
        `BEGIN IMMEDIATE; ${options.schema}; PRAGMA application_id=${options.applicationId}; PRAGMA user_version=${options.schemaVersion}; COMMIT;`,
      );
    }
    return db;
  } catch (error) {
    closeQuietly(db);
    throw storeError(error, `${options.what} ${path}`);
  }
}

function readVersion(db: DatabaseSync, path: string, options: DatabaseOptions): number {
  const version = pragmaNumber(db, 'user_version');
  const application = pragmaNumber(db, 'application_id');
  if (application !== 0 && application !== options.applicationId) {
    throw new HeadroomError('STORE_UNAVAILABLE', `${path} is a database of another kind, not a ${options.what}; choose another directory`);
  }
  if (version > options.schemaVersion) {
    throw new HeadroomError(
      'STORE_UNAVAILABLE',
      `${path}: this ${options.what} was written by a newer Headroom (schema ${version}, this one knows up to ${options.schemaVersion}); upgrade, or choose another directory`,
    );
  }
  return version;
}

export function pragmaNumber(db: DatabaseSync, name: string): number {
  return Number(pragmaText(db, name));
}

export function pragmaText(db: DatabaseSync, name: string): string {
  const row = db.prepare(`PRAGMA ${name}`).get();
  return String(Object.values(row ?? { none: 0 })[0]);
}

/** Runs `work` in one transaction; whatever it throws rolls back and comes out as a store error. */
export function transaction<T>(db: Database, what: string, work: () => T): T {
  try {
    db.exec('BEGIN IMMEDIATE');
    const result = work();
    db.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite rolls back by itself on some errors (full disk, I/O): then there is no transaction left to end.
    if (db.isOpen && db.isTransaction) db.exec('ROLLBACK');
    throw storeError(error, what);
  }
}

/** SQLite's primary result codes (sqlite.org/rescode.html) that mean something of their own here. */
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;

/** Any failure of SQLite as one of ours; a HeadroomError passes unchanged. */
export function storeError(error: unknown, what: string): HeadroomError {
  if (error instanceof HeadroomError) return error;
  const text = `${what}: ${errorText(error)}`;
  switch (resultCode(error)) {
    case SQLITE_FULL:
      return new HeadroomError('STORE_FULL', `${text}; free disk space or lower the retention`, { cause: error });
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new HeadroomError('STORE_CORRUPT', text, { cause: error });
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return new HeadroomError('STORE_UNAVAILABLE', `${text}; another process uses it`, { cause: error });
    default:
      return new HeadroomError('STORE_UNAVAILABLE', text, { cause: error });
  }
}

function resultCode(error: unknown): number {
  const code = (error as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' ? code & 0xff : 0;
}

export function closeQuietly(db: DatabaseSync | undefined): void {
  try {
    if (db?.isOpen) db.close();
  } catch {
    // A damaged file may not even close; its handle goes with the process.
  }
}
