/**
 * Chunks of a guest's memory into records, each stored once. Input: a chunk, what it was in the snapshot before; output: the manifest's
 * entry for it, and a count of what was new.
 */
import { CHUNK_BYTES, isZero, patchOf } from './chunk.ts';
import { type ChunkEntry, recordsOfEntry, ZERO } from './manifest.ts';
import type { RecordStore } from './record-store.ts';
import type { Seal } from './seal.ts';

export type Ingest = ReturnType<typeof createIngest>;

export function createIngest(seal: Seal, records: RecordStore) {
  let newBytes = 0;
  let newRecords = 0;
  const keep = async (digest: string, bytes: Buffer): Promise<void> => {
    if (records.has(digest)) return;
    newRecords++;
    newBytes += await records.add(digest, bytes);
  };
  const holds = (entry: ChunkEntry): boolean => recordsOfEntry(entry).every((digest) => records.has(digest));
  return {
    newBytes: () => newBytes,
    newRecords: () => newRecords,
    holds,
    async chunk(bytes: Buffer, before: ChunkEntry | null): Promise<ChunkEntry> {
      if (isZero(bytes)) return ZERO;
      const digest = seal.digest(bytes).toString('hex');
      if (records.has(digest)) return { kind: 'whole', digest };
      if (before !== null && before.kind !== 'zero') {
        if (before.digest === digest && holds(before)) return before;
        const base = before.kind === 'whole' ? before.digest : before.base;
        const baseBytes = await records.read(base, CHUNK_BYTES);
        const patch = baseBytes === null ? null : patchOf(baseBytes, bytes);
        if (patch !== null) {
          const patchDigest = seal.digest(patch).toString('hex');
          await keep(patchDigest, patch);
          return { kind: 'patched', digest, base, patch: patchDigest };
        }
      }
      await keep(digest, bytes);
      return { kind: 'whole', digest };
    },
  };
}
