/**
 * The disk ring's files: one directory, one file a segment, `NUMBER.seg`. Input: bytes to append; output: files. Written
 * without waiting for the disk (a killed process loses nothing that was written; only a power cut can take the last
 * seconds), synced in the background when a segment is full. Errors are the system's own.
 */
import { closeSync, fsync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SegmentFiles } from './core/disk-ring.ts';

const SEGMENT = /^(\d{1,15})\.seg$/;

export function openSegmentDir(directory: string): SegmentFiles {
  const pathOf = (id: number): string => join(directory, `${String(id).padStart(12, '0')}.seg`);
  let open: { id: number; descriptor: number } | null = null;

  /** Before each write: what a tidy administrator removed comes back. Rows tell what a tenant does: root's business only. */
  const make = (): void => void mkdirSync(directory, { recursive: true, mode: 0o700 });

  const begin = (id: number): number => {
    if (open?.id === id) return open.descriptor;
    make();
    const descriptor = openSync(pathOf(id), 'a', 0o600);
    if (open) closeSync(open.descriptor);
    open = { id, descriptor };
    return descriptor;
  };

  return {
    list: () =>
      namesIn(directory)
        .flatMap((name) => {
          const id = Number(SEGMENT.exec(name)?.[1] ?? Number.NaN);
          return Number.isNaN(id) ? [] : [{ id, bytes: statSync(pathOf(id)).size }];
        })
        .sort((a, b) => a.id - b.id),
    append: (id, bytes) => writeFileSync(begin(id), bytes),
    seal(id) {
      if (open?.id !== id) return;
      const { descriptor } = open;
      open = null;
      // What could not be synced is as good as a power cut at this moment: the checksums tell at the next reading.
      fsync(descriptor, () => closeSync(descriptor));
    },
    read: (id) => readFileSync(pathOf(id)),
    remove: (id) => rmSync(pathOf(id), { force: true }),
    freeBytes() {
      make();
      const { bavail, bsize } = statfsSync(directory);
      return bavail * bsize;
    },
  };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
