/**
 * The memory a guest needs to hold to run as it does. Input: one reading of levels, MiB, and the refault rate; output: MiB.
 * Where the kernel tracks idle pages: all that is neither free nor idle. Elsewhere: what is not available, and the cache
 * that was evicted and fetched back within the last minute, since who fetches it back needs it (Linux counts such pages as
 * workingset refaults; kernel documentation, mm/workingset.c). Pure.
 */

export interface WorkingSetReading {
  totalMiB: number;
  availableMiB: number;
  freeMiB: number;
  /** NaN = the kernel does not track it, or the first round is not over. */
  idleMiB: number;
  /** NaN = unknown, counted as none. */
  refaultMiBPerSecond: number;
}

/** Refaults count for about this long: a guest that stopped thrashing a minute ago no longer needs what it fetched then. */
const REFAULT_MS = 60_000;

/** One per guest: it remembers refaults. */
export function createWorkingSet(): (reading: WorkingSetReading, nowMs: number) => number {
  let refaultedMiB = 0;
  let lastMs = Number.NaN;
  return ({ totalMiB, availableMiB, freeMiB, idleMiB, refaultMiBPerSecond }, nowMs) => {
    const elapsedMs = nowMs - lastMs;
    lastMs = nowMs;
    if (elapsedMs > 0) {
      const fetchedMiB = Number.isNaN(refaultMiBPerSecond) ? 0 : (refaultMiBPerSecond * elapsedMs) / 1000;
      refaultedMiB = refaultedMiB * Math.exp(-elapsedMs / REFAULT_MS) + fetchedMiB;
    }
    if (!Number.isNaN(idleMiB)) return Math.max(0, totalMiB - freeMiB - idleMiB);
    // No more than the cache that could be taken: what is fetched back lies there.
    const cacheMiB = Math.max(0, availableMiB - freeMiB);
    return Math.max(0, totalMiB - availableMiB) + (Number.isNaN(cacheMiB) ? 0 : Math.min(cacheMiB, refaultedMiB));
  };
}
