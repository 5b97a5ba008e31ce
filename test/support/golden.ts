/** Golden files: what a reviewer has read and agreed to. Differences fail; UPDATE_GOLDEN=1 writes them anew, to be read again. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export function goldenPath(name: string): string {
  return fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
}

/** The text agreed to; written first when asked to. Throws when there is none. */
export function golden(name: string, found: string): string {
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(goldenPath(name), found);
  return readFileSync(goldenPath(name), 'utf8');
}
