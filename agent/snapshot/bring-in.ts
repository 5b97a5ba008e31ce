/**
 * Has the kernel hold chunks of a paused guest's memory before the guest runs, so that it waits for none of them: they are read by a
 * handle of our own, each exactly, where a fault of the guest's would have the kernel read megabytes around it. Nothing is mapped: what
 * the guest then touches can be seen. Input: the shown file's path, chunks; output: those the kernel holds.
 *
 * QEMU's daemon tells a new time of change whenever it is asked, which a read does once a second, and the kernel then drops what it holds.
 * It takes what a change of the file's rights answers as it is: with the rights set to what they are before each few reads, no read asks.
 * The file must not be opened once the guest runs.
 */
import { open } from 'node:fs/promises';
import { CHUNK_BYTES, chunkLength } from './chunk.ts';

/** What the kernel has in one request of FUSE's. */
export const READ_BYTES_MAX = 1024 * 1024;
/** Sixteen mebibytes at the most: a tenth of a second. */
const READS_PER_ANSWER = 16;
const RIGHTS = 0o7777;

interface Stretch {
  first: number;
  count: number;
}

export async function bringIn(path: string, bytes: number, chunks: readonly number[], cancelled: () => boolean): Promise<Set<number>> {
  const stretches = stretchesOf(chunks.filter((chunk) => chunk * CHUNK_BYTES < bytes));
  const held = new Set<number>();
  if (stretches.length === 0) return held;
  const file = await open(path, 'r');
  try {
    const rights = (await file.stat()).mode & RIGHTS;
    const buffer = Buffer.allocUnsafe(READ_BYTES_MAX);
    for (const [index, { first, count }] of stretches.entries()) {
      if (cancelled()) break;
      if (index % READS_PER_ANSWER === 0) await file.chmod(rights);
      const last = first + count - 1;
      const length = (count - 1) * CHUNK_BYTES + chunkLength(last, bytes);
      const { bytesRead } = await file.read(buffer, 0, length, first * CHUNK_BYTES);
      if (bytesRead !== length) break;
      for (let chunk = first; chunk <= last; chunk++) held.add(chunk);
    }
    return held;
  } finally {
    await file.close();
  }
}

/** Neighbours in one; the last ones first: the kernel reads ahead of whoever goes upwards. */
function stretchesOf(chunks: readonly number[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const chunk of chunks.toSorted((a, b) => a - b)) {
    const open = stretches.at(-1);
    const joins = open !== undefined && open.first + open.count === chunk && open.count * CHUNK_BYTES < READ_BYTES_MAX;
    if (joins) open.count++;
    else stretches.push({ first: chunk, count: 1 });
  }
  return stretches.reverse();
}
