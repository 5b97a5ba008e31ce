/**
 * Chunks of a guest's memory decoded before they are asked for: those it is predicted to touch first, each until all of it has been given,
 * and those behind what was just asked for, a few mebibytes. Input: an open snapshot; output: chunks, and what a server of them has to tell.
 * While the guest runs not by reading the file that shows them, which would have to be opened: the kernel then drops what it holds of it.
 */
import type { OpenSnapshot } from './snapshot-store.ts';

/** Four mebibytes: what several vCPUs go through at once. */
const RECENT_CHUNKS = 64;
/** Chunks fetched ahead of the guest. */
const FETCHED_AT_ONCE = 8;
/**
 * Around a page that is not there the kernel reads two mebibytes, by two requests, one after the other since it has one under way at a time:
 * while the first is on its way to the guest what the second asks for can be decoded. More was wasted: a third of all that was decoded.
 */
const NEXT_CHUNKS = 16;

/** Told the bytes fetched so far; the next chunk waits for what it answers. */
export type OnFetched = (doneBytes: number) => unknown;

export type Ahead = ReturnType<typeof createAhead>;

export function createAhead(snapshot: OpenSnapshot) {
  const { memory } = snapshot.manifest;
  const isZero = (chunk: number): boolean => (memory[chunk]?.kind ?? 'zero') === 'zero';
  const held = new Map<number, Buffer>();
  const givenBytes = new Map<number, number>();
  const { decoded } = createRecent(snapshot);
  /** Where the last request ended, and how many began elsewhere. */
  let end = -1;
  let begun = 0;
  /** What comes next is known: nothing is decoded for what may come. */
  let exact = false;
  const decodeNext = async (first: number, mine: number): Promise<void> => {
    for (let index = first; index < first + NEXT_CHUNKS && mine === begun; index++) {
      if (isZero(index) || held.has(index) || !snapshot.here(index)) continue;
      // Whoever asks for it is told what is wrong with it.
      await decoded(index).catch(() => undefined);
    }
  };
  return {
    chunk: async (index: number): Promise<Buffer> => held.get(index) ?? decoded(index),
    given(index: number, bytes: number): void {
      const contents = held.get(index);
      if (contents === undefined) return;
      const sum = (givenBytes.get(index) ?? 0) + bytes;
      givenBytes.set(index, sum);
      if (sum >= contents.length) held.delete(index);
    },
    /** Of several chunks. What goes on where the last one ended is what was decoded meanwhile. */
    answered(first: number, last: number): void {
      const goesOn = first === end;
      end = last + 1;
      if (goesOn || last === first) return;
      const mine = ++begun;
      if (exact) return;
      setImmediate(() => void decodeNext(last + 1, mine));
    },
    /** All that is asked for until this has ended was chosen before. */
    async exactly<T>(work: () => Promise<T>): Promise<T> {
      exact = true;
      return work().finally(() => {
        exact = false;
      });
    },
    async fetch(chunks: readonly number[], cancelled: () => boolean, onProgress?: OnFetched): Promise<number> {
      const rest = chunks.values();
      let bytes = 0;
      const some = async (): Promise<void> => {
        for (const chunk of rest) {
          if (cancelled()) break;
          if (isZero(chunk)) continue;
          const contents = await snapshot.chunk(chunk);
          held.set(chunk, contents);
          bytes += contents.length;
          await onProgress?.(bytes);
        }
      };
      // Side by side: what is far away takes its time.
      await Promise.all(Array.from({ length: FETCHED_AT_ONCE }, some));
      return bytes;
    },
  };
}

/** The kernel asks for a chunk page by page where its own reading ahead was refused: it is decoded once. */
function createRecent(snapshot: OpenSnapshot) {
  const recent = new Map<number, Buffer>();
  const coming = new Map<number, Promise<Buffer>>();
  const remember = (index: number, contents: Buffer): Buffer => {
    recent.delete(index);
    recent.set(index, contents);
    const oldest = recent.size > RECENT_CHUNKS ? recent.keys().next().value : undefined;
    if (oldest !== undefined) recent.delete(oldest);
    return contents;
  };
  return {
    async decoded(index: number): Promise<Buffer> {
      const known = recent.get(index);
      if (known !== undefined) return remember(index, known);
      const asked = coming.get(index) ?? snapshot.chunk(index);
      coming.set(index, asked);
      try {
        return remember(index, await asked);
      } finally {
        coming.delete(index);
      }
    },
  };
}
