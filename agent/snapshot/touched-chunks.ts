/**
 * Which chunks of its memory's file a QEMU process has touched, from /proc/PID/pagemap.
 * Input: process, file, a root for /proc; output: chunk numbers. Needs no more than the right to read that process's pagemap
 * (CAP_SYS_PTRACE, or being root). A page is told as touched when it is mapped; the kernel maps a few neighbours that are in memory
 * already along with it, never outside of their chunk.
 */
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_BYTES, PAGE_BYTES } from './chunk.ts';
import { deviceNumber, type FileIdentity } from './device-number.ts';

const ENTRY_BYTES = 8;
/** Bits 62 and 63: swapped, present. They lie in the entry's last byte. */
const THERE = 0xc0;
const PAGES_PER_CHUNK = CHUNK_BYTES / PAGE_BYTES;

export interface Mapping {
  /** In the process's memory, bytes; the file from `offset` on lies there. */
  start: number;
  bytes: number;
  offset: number;
}

/** The QEMU of this VM that has the file as its memory; null = none. Another daemon's guest may go by the same UUID. */
export async function qemuProcess(uuid: string, file: FileIdentity, procfs = '/proc'): Promise<number | null> {
  for (const name of await readdir(procfs)) {
    if (!/^\d+$/.test(name)) continue;
    const words = (await readFile(join(procfs, name, 'cmdline'), 'utf8').catch(() => '')).split('\0');
    const at = words.indexOf('-uuid');
    if (at < 0 || words[at + 1] !== uuid) continue;
    const maps = await readFile(join(procfs, name, 'maps'), 'utf8').catch(() => '');
    if (mappingsOf(maps, file).length > 0) return Number(name);
  }
  return null;
}

/** Chunk numbers, ascending; none when the process has no such mapping. */
export async function touchedChunks(pid: number, file: FileIdentity, procfs = '/proc'): Promise<number[]> {
  const folder = join(procfs, String(pid));
  const touched: number[] = [];
  const pagemap = await open(join(folder, 'pagemap'), 'r');
  try {
    for (const { start, bytes, offset } of await mappingsIn(pid, file, procfs)) {
      const entries = Buffer.alloc((bytes / PAGE_BYTES) * ENTRY_BYTES);
      const { bytesRead } = await pagemap.read(entries, 0, entries.length, (start / PAGE_BYTES) * ENTRY_BYTES);
      const pages = bytesRead / ENTRY_BYTES;
      const firstPage = offset / PAGE_BYTES;
      let last = -1;
      for (let page = 0; page < pages; page++) {
        if (((entries[page * ENTRY_BYTES + 7] as number) & THERE) === 0) continue;
        const chunk = Math.floor((firstPage + page) / PAGES_PER_CHUNK);
        if (chunk !== last) touched.push(chunk);
        last = chunk;
      }
    }
  } finally {
    await pagemap.close();
  }
  return [...new Set(touched)].toSorted((a, b) => a - b);
}

/** Where a process has the file. */
export async function mappingsIn(pid: number, file: FileIdentity, procfs = '/proc'): Promise<Mapping[]> {
  return mappingsOf(await readFile(join(procfs, String(pid), 'maps'), 'utf8'), file);
}

/** By device and inode: in another mount namespace the file may go by another path. */
function mappingsOf(maps: string, { dev, ino }: FileIdentity): Mapping[] {
  const { major, minor } = deviceNumber(dev);
  return maps.split('\n').flatMap((line) => {
    const [, from, to, offset, device, inode] = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) (\S+) (\d+)/.exec(line) ?? [];
    if (from === undefined || to === undefined || offset === undefined || device === undefined || Number(inode) !== ino) return [];
    const [itsMajor, itsMinor] = device.split(':').map((number) => Number.parseInt(number, 16));
    if (itsMajor !== major || itsMinor !== minor) return [];
    const start = Number.parseInt(from, 16);
    return [{ start, bytes: Number.parseInt(to, 16) - start, offset: Number.parseInt(offset, 16) }];
  });
}
