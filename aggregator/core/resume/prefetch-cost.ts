/**
 * What a suspension cost, in seconds of waiting: how long whoever wanted the VM back waited, and what was fetched and held for it before,
 * at the prices its policy names. Pure.
 */
export interface PrefetchPrices {
  /** What it is worth not to fetch a GiB ahead, seconds of waiting. */
  secondsPerGiB: number;
  /** The same, not to hold a GiB for an hour. */
  secondsPerGiBHour: number;
}

export interface PrefetchSpent {
  fetchedBytes: number;
  /** Bytes times milliseconds. */
  heldByteMs: number;
  /** From the order until the guest gave a sign of life, or ran. */
  resumeMs: number;
  /** Touched after it ran and not fetched before; null = nobody could see. */
  missedChunks: number | null;
}

const GIB = 1024 ** 3;
const HOUR_MS = 3_600_000;
const CHUNK_BYTES = 65_536;
/** A chunk that is fetched when it is touched keeps the guest waiting for some five milliseconds. */
const MISS_SECONDS = 0.005;

export function costSeconds(spent: PrefetchSpent, prices: PrefetchPrices): number {
  const waited = spent.resumeMs / 1000 + (spent.missedChunks ?? 0) * MISS_SECONDS;
  const fetched = (spent.fetchedBytes / GIB) * prices.secondsPerGiB;
  return waited + fetched + (spent.heldByteMs / GIB / HOUR_MS) * prices.secondsPerGiBHour;
}

/**
 * Of what was fetched `wasteRate` was not touched, and of what was touched `hitRate` had been fetched: the rest was missed.
 * Null: nothing was fetched, or hit.
 */
export function missedOf(fetchedBytes: number, hitRate: number | null, wasteRate: number | null): number | null {
  if (hitRate === null || wasteRate === null || hitRate <= 0) return null;
  const hits = (fetchedBytes / CHUNK_BYTES) * (1 - wasteRate);
  return hits * (1 / hitRate - 1);
}
