/**
 * The files of a data directory, copied while an aggregator may be writing them. Input: the directory, where copies go; output: which
 * files. Databases are copied by SQLite itself, each as it was at one moment; a slice of series that retention removes meanwhile is left out.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { backup, DatabaseSync } from 'node:sqlite';
import { errorText, HeadroomError } from '../../../shared/errors.ts';

/** Of SQLite beside a database, and locks of processes: they belong to who runs, not to what is kept. */
const LEFT_OUT = /(-wal|-shm|-journal|\.lock)$/;
/** Put aside for somebody to look at. */
const DAMAGED = /\.damaged/;
const DATABASE = /\.db$/;
/** How long a writer's lock is waited for, ms. */
const BUSY_MS = 10_000;

/** Paths below `from`; rejects with STORE_UNAVAILABLE. */
export async function copyData(from: string, to: string): Promise<string[]> {
  const paths = readdirSync(from, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !LEFT_OUT.test(entry.name) && !DAMAGED.test(entry.name))
    .map((entry) => relative(from, join(entry.parentPath, entry.name)))
    .sort();
  const copied: string[] = [];
  for (const path of paths) {
    const [source, target] = [join(from, path), join(to, path)];
    mkdirSync(dirname(target), { recursive: true, mode: 0o750 });
    try {
      if (DATABASE.test(path)) await copyDatabase(source, target);
      else copyFileSync(source, target);
    } catch (error) {
      if (!existsSync(source)) continue;
      throw new HeadroomError('STORE_UNAVAILABLE', `${source} cannot be copied: ${errorText(error)}`, { cause: error });
    }
    copied.push(path);
  }
  return copied;
}

/** In one step: a database that another process goes on writing would make several begin again and again. */
async function copyDatabase(source: string, target: string): Promise<void> {
  const db = new DatabaseSync(source, { readOnly: true, timeout: BUSY_MS });
  try {
    await backup(db, target, { rate: 0x7fff_ffff });
  } finally {
    db.close();
  }
}
