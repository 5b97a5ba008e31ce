/**
 * Reads small kernel files fast. Input: a root directory (`/` on a machine, a fixture tree in tests) and paths below it;
 * output: their text, or null where there is no such source. Descriptors stay open (a read at offset 0 makes the kernel
 * write the file anew) and one buffer serves all: a read costs one system call.
 */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface KernelFiles {
  /** Text of the file; null when it does not exist or the kernel has the feature off. Throws on anything else. */
  read(path: string): string | null;
  /** Bytes of the file as it is under this name now (others may replace it by renaming), or null. */
  readBytes(path: string): Buffer | null;
  /** When the file was last read from (a terminal: its last input), UTC ms, or null. */
  accessedMs(path: string): number | null;
  /** Names in a directory, or null when there is none. */
  list(path: string): string[] | null;
  /** Closes what is kept open below `prefix` (a VM that is gone), or everything. */
  release(prefix?: string): void;
}

/** Descriptors kept open at most, well below the 1,024 a plain process may have; beyond it files are opened for each read. */
const OPEN_FILES_MAX = 600;
/** First size of the buffer: /proc/vmstat takes about 4 KiB, /proc/stat of 64 CPUs about 16 KiB. */
const BUFFER_BYTES = 64 * 1024;
/**
 * A read shorter than this is the whole rest: the kernel fills a page with records until the next one does not fit, and no
 * record of the files read here is longer than half a page. Longer reads are followed by another, to see the end.
 */
const SHORT_READ_BYTES = 2048;
/** A kernel file larger than this is none of ours. */
const BUFFER_BYTES_MAX = 8 * 1024 * 1024;
/** Errors that mean "there is no such source here": absent, gone with its process or cgroup, or switched off (PSI). */
const ABSENT = new Set(['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR', 'EOPNOTSUPP', 'ENOTSUP']);

export function openKernelFiles(root: string): KernelFiles {
  const open = new Map<string, number>();
  let buffer = Buffer.allocUnsafe(BUFFER_BYTES);

  const fill = (descriptor: number): number => {
    let length = 0;
    for (;;) {
      const got = readSync(descriptor, buffer, length, buffer.length - length, length);
      length += got;
      if (got === 0 || (length < buffer.length && got < SHORT_READ_BYTES)) return length;
      if (length === buffer.length) {
        if (buffer.length >= BUFFER_BYTES_MAX) return length;
        buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
      }
    }
  };

  const drop = (path: string): void => {
    const descriptor = open.get(path);
    if (descriptor !== undefined) closeSync(descriptor);
    open.delete(path);
  };

  const readOnce = (path: string): number => {
    const kept = open.get(path);
    if (kept !== undefined) return fill(kept);
    const descriptor = openSync(join(root, path), 'r');
    if (open.size >= OPEN_FILES_MAX) {
      try {
        return fill(descriptor);
      } finally {
        closeSync(descriptor);
      }
    }
    open.set(path, descriptor);
    return fill(descriptor);
  };

  const readLength = (path: string): number | null => {
    const wasOpen = open.has(path);
    try {
      return readOnce(path);
    } catch (error) {
      drop(path);
      if (!isAbsent(error)) throw error;
      // What a kept descriptor pointed at is gone; the path may have come back as something new.
      return wasOpen ? readLength(path) : null;
    }
  };

  return {
    read(path) {
      const length = readLength(path);
      return length === null ? null : buffer.toString('latin1', 0, length);
    },
    readBytes(path) {
      const length = readLength(path);
      drop(path);
      return length === null ? null : Buffer.from(buffer.subarray(0, length));
    },
    accessedMs(path) {
      try {
        return statSync(join(root, path)).atimeMs;
      } catch (error) {
        if (isAbsent(error)) return null;
        throw error;
      }
    },
    list(path) {
      try {
        return readdirSync(join(root, path));
      } catch (error) {
        if (isAbsent(error)) return null;
        throw error;
      }
    },
    release(prefix = '') {
      for (const path of [...open.keys()]) if (path.startsWith(prefix)) drop(path);
    },
  };
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && ABSENT.has(String(error.code));
}
