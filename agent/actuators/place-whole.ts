/**
 * A snapshot's memory as a plain file: every chunk verified and written before the guest runs. What is done where memory cannot be
 * shown lazily. Input: an open snapshot, a folder in RAM; output: the same as a lazy place, with nothing left to come.
 */
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { CHUNK_BYTES } from '../snapshot/chunk.ts';
import type { OnFetched } from '../snapshot/chunks-ahead.ts';
import { FOLDER_MODE, type MemoryPlace, memoryAt, readRange } from '../snapshot/memory-place.ts';
import type { OpenSnapshot } from '../snapshot/snapshot-store.ts';

/** Throws STORE_CORRUPT when a chunk is not what was written; nothing is left behind then. */
export async function placeWhole(
  snapshot: OpenSnapshot,
  folder: string,
  { owner, onProgress = () => undefined }: { owner?: { uid: number; gid: number }; onProgress?: OnFetched } = {},
): Promise<MemoryPlace> {
  const path = memoryAt(folder);
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  try {
    const file = await open(path, 'w', 0o600);
    try {
      const { memory, facts } = snapshot.manifest;
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      await file.truncate(facts.memoryBytes);
      for (const [index, { kind }] of memory.entries()) {
        if (kind === 'zero') continue;
        await file.write(await snapshot.chunk(index), 0, undefined, index * CHUNK_BYTES);
        await onProgress(index * CHUNK_BYTES);
      }
    } finally {
      await file.close();
    }
    const { dev, ino } = await stat(path);
    return {
      path,
      identity: { dev, ino },
      warm: async () => 0,
      bring: async () => new Set(),
      // Nobody sees what is touched of a plain file.
      touched: () => true,
      touchedChunks: 0,
      order: [],
      read: (offset, length) => readRange(path, offset, length),
      handOver: async () => undefined,
      close: remove,
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
