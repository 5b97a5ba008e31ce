/**
 * One process per data directory: two writers would each believe their own picture of it. Input: a directory and a name.
 * Output: a held lock. It is SQLite's own file lock, so the kernel frees it when the process dies, also by kill -9.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { errorText, HeadroomError } from '../../../shared/errors.ts';

export interface DirectoryLock {
  release(): void;
}

/** Creates the directory when missing. Throws STORE_UNAVAILABLE when it cannot be used or another process has it. */
export function lockDirectory(directory: string, name: string): DirectoryLock {
  let db: DatabaseSync | undefined;
  try {
    mkdirSync(directory, { recursive: true, mode: 0o750 });
    db = new DatabaseSync(join(directory, `${name}.lock`), { timeout: 0 });
    db.exec('PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE;');
  } catch (error) {
    if (db?.isOpen) db.close();
    throw new HeadroomError(
      'STORE_UNAVAILABLE',
      `${directory} cannot be used: ${errorText(error)}; check its owner, and that no other aggregator runs on it`,
      { cause: error },
    );
  }
  const held = db;
  return { release: () => held.close() };
}
