/**
 * Has the kernel put chunks of a paused guest's memory where the guest will find them: reading them through its own mapping faults
 * them in, and the guest then waits for none of them. Input: process, file, chunks; output: the chunks that are in place. Needs the
 * right to read that process's memory (CAP_SYS_PTRACE, or being root); without it nothing is done, and nothing is wrong.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { CHUNK_BYTES } from './chunk.ts';
import type { FileIdentity } from './device-number.ts';
import { mappingsIn } from './touched-chunks.ts';

export interface PlacedProcess {
  pid: number;
  file: FileIdentity;
}

export async function putInPlace(
  { pid, file }: PlacedProcess,
  chunks: readonly number[],
  cancelled: () => boolean,
  procfs = '/proc',
): Promise<Set<number>> {
  const placed = new Set<number>();
  let memory: FileHandle;
  try {
    memory = await open(join(procfs, String(pid), 'mem'), 'r');
  } catch {
    return placed;
  }
  try {
    const mappings = await mappingsIn(pid, file, procfs);
    const bytes = Buffer.allocUnsafe(CHUNK_BYTES);
    for (const chunk of chunks) {
      if (cancelled()) break;
      const at = chunk * CHUNK_BYTES;
      const mapping = mappings.find(({ offset, bytes: length }) => at >= offset && at < offset + length);
      if (mapping === undefined) continue;
      const length = Math.min(CHUNK_BYTES, mapping.offset + mapping.bytes - at);
      const { bytesRead } = await memory.read(bytes, 0, length, mapping.start + at - mapping.offset);
      if (bytesRead === length) placed.add(chunk);
    }
  } catch {
    // What is not in place comes when it is touched.
  } finally {
    await memory.close();
  }
  return placed;
}
