/**
 * Has the kernel hold chunks of a paused guest's memory before the guest runs, so that it waits for none of them: they are read from the
 * file that shows them, each exactly, where a fault of the guest's would have the kernel read megabytes around it. Nothing is mapped: what
 * the guest then touches can be seen. Input: the shown file, chunks; output: those the kernel holds.
 */
import { CHUNK_BYTES, chunkLength } from './chunk.ts';
import { READ_BYTES_MAX, type ShownFile } from './shown-file.ts';

interface Stretch {
  first: number;
  count: number;
}

/** Asked for at once: the reader has its next one when it is done with one. */
const ASKED_AT_ONCE = 8;

export async function bringIn(file: ShownFile, bytes: number, chunks: readonly number[], cancelled: () => boolean): Promise<Set<number>> {
  const held = new Set<number>();
  const rest = stretchesOf(chunks.filter((chunk) => chunk * CHUNK_BYTES < bytes)).values();
  let short = false;
  const some = async (): Promise<void> => {
    for (const { first, count } of rest) {
      if (short || cancelled()) break;
      const last = first + count - 1;
      const length = (count - 1) * CHUNK_BYTES + chunkLength(last, bytes);
      if ((await file.hold(first * CHUNK_BYTES, length)) !== length) short = true;
      else for (let chunk = first; chunk <= last; chunk++) held.add(chunk);
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, some));
  return held;
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
