/**
 * Some of a snapshot's records, so that another host can say how much of it it holds: evenly taken, of what the VM touches first and of the
 * rest. Pure. Input: records by chunk, chunks predicted; output: names and how many bytes they stand for.
 */
export interface ChunkSample {
  /** Of memory, before compression. */
  firstBytes: number;
  filledBytes: number;
  first: string[];
  rest: string[];
}

/** Of thirty-two taken evenly a share is right within a sixth, which tells hosts apart that differ by more than one would feel. */
export const SAMPLE_NAMES = 32;

/** `records`: of each chunk, none for one that holds nothing. */
export function sampleChunks(records: readonly (readonly string[])[], predicted: readonly number[], chunkBytes: number): ChunkSample {
  const firstOnes = new Set(predicted.filter((chunk) => (records[chunk]?.length ?? 0) > 0));
  const filled = [...records.keys()].filter((chunk) => records[chunk]!.length > 0);
  const namesOf = (chunks: readonly number[]): string[] => evenly([...new Set(chunks.flatMap((chunk) => records[chunk] ?? []))]);
  return {
    firstBytes: firstOnes.size * chunkBytes,
    filledBytes: filled.length * chunkBytes,
    first: namesOf([...firstOnes]),
    rest: namesOf(filled.filter((chunk) => !firstOnes.has(chunk))),
  };
}

function evenly(names: readonly string[]): string[] {
  const count = Math.min(SAMPLE_NAMES, names.length);
  return Array.from({ length: count }, (_, i) => names[Math.floor((i * names.length) / count)] as string);
}
