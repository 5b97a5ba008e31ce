/** Where tests keep what is costly to fetch or build: HEADROOM_CACHE, else ~/.cache/headroom. Creates and returns a folder in it. */
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export function cacheDir(name: string): string {
  const path = join(process.env.HEADROOM_CACHE || join(homedir(), '.cache', 'headroom'), name);
  mkdirSync(path, { recursive: true });
  return path;
}
