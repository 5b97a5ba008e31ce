/** Where the demo keeps what is costly to make: HEADROOM_CACHE, else the user's cache directory. */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const directory = join(environment.HEADROOM_CACHE ?? join(environment.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'headroom'), 'demo');
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** An image is 200 MB sparse: the one in use and the one before (another checkout's) are worth their room. */
const IMAGES_KEPT = 2;

/** Removes all but the newest images, and work directories that a killed run left more than an hour ago. */
export function pruneCache(directory: string, nowMs: number): void {
  const entries = readdirSync(directory).map((name) => ({
    name,
    path: join(directory, name),
    changedMs: statSync(join(directory, name)).mtimeMs,
  }));
  const images = entries.filter(({ name }) => name.startsWith('image-')).toSorted((a, b) => b.changedMs - a.changedMs);
  const stale = entries.filter(({ name, changedMs }) => name.startsWith('work-') && nowMs - changedMs > 3_600_000);
  for (const { path } of [...images.slice(IMAGES_KEPT), ...stale]) rmSync(path, { recursive: true, force: true });
}
