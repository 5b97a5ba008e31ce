/**
 * Opens the places for packs that a host's configuration names. Each bears a mark, so that a disk which is not mounted is told from an empty
 * one and nothing is written beneath it; which marks there are is remembered in the home folder, so that a place which is named no longer
 * is still read, and emptied. Input: the home folder, what is asked for; output: the store's files, and problems in words. Throws
 * CONFIG_INVALID for a place that cannot be one.
 */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { TiersAsked } from '../core/tier-config.ts';
import { type LocalFiles, openLocalFiles } from './local-files.ts';
import { RamCache } from './ram-cache.ts';
import { putDurably, readWhole, type StoreFiles } from './store-files.ts';
import { Tier } from './tier.ts';
import { TieredFiles } from './tiered-files.ts';

/** In the home folder: whose it is, and the marks of all places that hold packs of it. */
const BOOK = '.tiers.json';
const MARK = '.headroom-tier';

interface TierBook {
  home: string;
  /** Marks by directory. */
  marks: Record<string, string>;
}

interface TierMark {
  home: string;
  mark: string;
}

export interface OpenTiersOptions {
  homeDir: string;
  home: LocalFiles;
  asked: TiersAsked;
  clock: Pick<Clock, 'monotonicMs'>;
  tenants: readonly string[];
}

export interface OpenedTiers {
  files: TieredFiles;
  /** Places that should be there and are not. */
  problems: string[];
  close(): Promise<void>;
}

/** Null: nothing is asked for, and nothing was before: packs lie in the home folder, however many. */
export async function openTiers({ homeDir, home, asked, clock, tenants }: OpenTiersOptions): Promise<OpenedTiers | null> {
  const kept = await readJson<TierBook>(home, BOOK);
  if (asked.dirs.length === 0 && Object.keys(kept?.marks ?? {}).length === 0) return null;
  await home.makeFolder('.');
  const book: TierBook = kept ?? { home: randomUUID(), marks: {} };
  const inside = asked.dirs.find(({ dir }) => dir !== homeDir && (dir.startsWith(`${homeDir}/`) || homeDir.startsWith(`${dir}/`)));
  if (inside !== undefined) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `tiers: ${inside.dir} and snapshotDir (${homeDir}) lie in one another: name one beside it, or itself`,
    );
  }
  const problems: string[] = [];
  const opened: LocalFiles[] = [];
  const tiers: Tier[] = [];
  const add = (name: string, files: LocalFiles, capacityBytes: number, leaving: boolean): void => {
    if (files !== home) opened.push(files);
    tiers.push(new Tier({ name, files, capacityBytes, leaving }));
  };
  for (const { dir, capacityBytes } of asked.dirs) {
    if (dir === homeDir) add(dir, home, capacityBytes, false);
    else {
      const files = openLocalFiles(dir);
      const problem = await claim(dir, files, book);
      if (problem === null) add(dir, files, capacityBytes, false);
      else problems.push(problem);
    }
  }
  // Before anything is written there.
  await putDurably(home, '.', BOOK, [Buffer.from(JSON.stringify(book))]);
  for (const [dir, mark] of Object.entries(book.marks)) {
    if (asked.dirs.some((each) => each.dir === dir)) continue;
    const files = openLocalFiles(dir);
    if ((await readMark(files))?.mark === mark) add(dir, files, 0, true);
    else problems.push(away(dir));
  }
  if (!asked.dirs.some(({ dir }) => dir === homeDir))
    add(homeDir, home, asked.dirs.length === 0 ? Number.POSITIVE_INFINITY : 0, asked.dirs.length > 0);
  const ram = asked.ramBytes > 0 ? new RamCache(asked.ramBytes) : null;
  const files = await TieredFiles.open({ home, tiers, ram, clock, tenants });
  await forgetEmpty(files, home, book);
  return {
    ...{ files, problems },
    async close() {
      for (const each of opened) await each.close();
    },
  };
}

/** Null: it is ours, and marked. */
async function claim(dir: string, files: StoreFiles, book: TierBook): Promise<string | null> {
  const known = book.marks[dir];
  const there = await readMark(files);
  if (there !== null && there.home !== book.home) {
    throw new HeadroomError('CONFIG_INVALID', `tiers: ${dir} belongs to another host's snapshots: each host needs a directory of its own`);
  }
  if (known !== undefined) return there?.mark === known ? null : away(dir);
  try {
    // Not what is around it: a disk that is not mounted would be written beneath.
    await mkdir(dir, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    const mark: TierMark = there ?? { home: book.home, mark: randomUUID() };
    if (there === null) await putDurably(files, '.', MARK, [Buffer.from(JSON.stringify(mark))]);
    book.marks[dir] = mark.mark;
    return null;
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `tiers: ${dir} cannot be used: ${errorText(error)}`, { cause: error });
  }
}

/** A place that is named no longer and holds nothing any more. */
async function forgetEmpty(files: TieredFiles, home: StoreFiles, book: TierBook): Promise<void> {
  const empty = files.tiers.filter((tier) => tier.leaving && book.marks[tier.name] !== undefined && files.packsIn(tier) === 0);
  if (empty.length === 0) return;
  for (const { name } of empty) delete book.marks[name];
  await putDurably(home, '.', BOOK, [Buffer.from(JSON.stringify(book))]);
  for (const tier of empty) await tier.files.remove(MARK);
}

const away = (dir: string): string =>
  `tier ${dir} does not bear the mark that was left there: is its disk mounted? What lies there cannot be read, and nothing is written there, until the agent is started with it`;

const readMark = (files: StoreFiles): Promise<TierMark | null> => readJson<TierMark>(files, MARK);

async function readJson<T>(files: StoreFiles, path: string): Promise<T | null> {
  const bytes = await readWhole(files, path);
  if (bytes === null) return null;
  try {
    return JSON.parse(bytes.toString('utf8')) as T;
  } catch (error) {
    throw new HeadroomError('STORE_CORRUPT', `${path} of the snapshot store cannot be read: ${errorText(error)}`, { cause: error });
  }
}
