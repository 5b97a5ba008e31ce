/**
 * The snapshot store's files in a folder of this machine's disk, readable by their owner alone: they hold guests' memory. Keeps
 * files that are read again and again open, up to a limit. Input: the folder; output: `StoreFiles`.
 */
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { StoreFiles } from './store-files.ts';
import { synced } from './synced.ts';

/** A snapshot of gigabytes lies in some dozens of packs. */
const OPEN_MAX = 64;

export interface LocalFiles extends StoreFiles {
  close(): Promise<void>;
}

export function openLocalFiles(root: string): LocalFiles {
  const handles = new Map<string, Promise<FileHandle>>();
  const at = (path: string): string => join(root, path);

  const forget = async (path: string): Promise<void> => {
    const handle = handles.get(path);
    handles.delete(path);
    if (handle !== undefined) await (await handle).close();
  };
  const handleOf = (path: string): Promise<FileHandle> => {
    const known = handles.get(path);
    // Put at the end: the first is the one unused for longest.
    const handle = known ?? open(at(path), 'r');
    handles.delete(path);
    handles.set(path, handle);
    if (known === undefined) {
      handle.catch(() => handles.delete(path));
      const oldest = handles.size > OPEN_MAX ? handles.keys().next().value : undefined;
      if (oldest !== undefined) void forget(oldest);
    }
    return handle;
  };

  return {
    list: async (folder) => (await orNull(readdir(at(folder))))?.toSorted() ?? [],
    size: async (path) => (await orNull(stat(at(path))))?.size ?? null,
    async read(path, offset, length) {
      const handle = await orNull(handleOf(path));
      if (handle === null) return null;
      const buffer = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return buffer.subarray(0, filled);
    },
    async makeFolder(folder) {
      // The first one made, if any: its name and all below it are new.
      const first = await mkdir(at(folder), { recursive: true, mode: 0o700 });
      if (first === undefined) return;
      for (let made = at(folder); made.length >= first.length; made = dirname(made)) await synced(dirname(made));
    },
    async write(path, parts) {
      await forget(path);
      const handle = await open(at(path), 'w', 0o600);
      try {
        for (const part of parts) await handle.writeFile(part);
      } finally {
        await handle.close();
      }
    },
    sync: (path) => synced(at(path)),
    async rename(from, to) {
      await forget(from);
      await forget(to);
      await rename(at(from), at(to));
    },
    syncFolder: (folder) => synced(at(folder)),
    async remove(path) {
      await forget(path);
      await rm(at(path), { force: true });
    },
    async close() {
      await Promise.all([...handles.keys()].map(forget));
    },
  };
}

async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null;
    throw error;
  }
}
