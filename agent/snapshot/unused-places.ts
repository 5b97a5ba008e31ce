/**
 * Places of resumed guests' memory that were left by an agent which is gone, and that no guest lives on: their daemons would serve nobody
 * for as long as the host is up. Input: the folder of all places, which VMs are known to live on theirs; output: the VMs whose places are
 * gone now. A QEMU that has the file as its memory keeps it, whoever knows of it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clearPlace, memoryAt } from './memory-place.ts';
import { daemonPaths } from './storage-daemon.ts';

/** Where in the folder for what is in RAM the places are. */
export const placesIn = (ramDir: string): string => join(ramDir, 'resumed');

export async function clearUnused(folder: string, known: (vm: string) => boolean, procfs = '/proc'): Promise<string[]> {
  const shown = (await daemonPaths(procfs)).flatMap((path) => placeOf(folder, path) ?? []);
  const folders = await readdir(folder).catch(() => []);
  const cleared: string[] = [];
  for (const vm of new Set([...folders, ...shown])) {
    const place = join(folder, vm);
    if (known(vm) || (await isLivedOn(memoryAt(place), procfs))) continue;
    await clearPlace(place);
    cleared.push(vm);
  }
  return cleared;
}

/** Null: it is in another folder. */
function placeOf(folder: string, memoryPath: string): string | null {
  const name = memoryPath.startsWith(`${folder}/`) ? memoryPath.slice(folder.length + 1).split('/')[0] : undefined;
  return name !== undefined && memoryPath === memoryAt(join(folder, name)) ? name : null;
}

/** By the words a QEMU was started with: asking for the file's state would make the kernel drop what its guest holds of it. */
export async function isLivedOn(path: string, procfs = '/proc'): Promise<boolean> {
  for (const name of await readdir(procfs)) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(join(procfs, name, 'cmdline'), 'utf8').catch(ofGone)).split('\0');
    if (words.some((word) => word.includes(`mem-path=${path},`))) return true;
  }
  return false;
}

/** Of any other that cannot be read nobody knows what it lives on. */
function ofGone(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT' || error.code === 'ESRCH') return '';
  throw error;
}
