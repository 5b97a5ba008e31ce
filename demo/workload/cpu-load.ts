/**
 * Uses CPU at an offered rate. Input: offered cores now; effect: a busy loop for that share of time, in slices of 20 ms.
 * The load is open: what could not be done in time (the guest was throttled) is dropped, not queued, so offered load stays
 * what the pattern says and never grows by its own backlog.
 */
/** Short against the 100 ms period in which CPU caps are enforced, long against a timer's cost in an emulated guest. */
export const SLICE_MS = 20;
/** Work older than this is given up. */
const BACKLOG_MS_MAX = 60;

export interface CpuLoad {
  /** Works for this slice; `spentMs` is time other work of this process took in it and counts as done. */
  work(cores: number, spentMs: number): void;
}

export function createCpuLoad(nowMs: () => number): CpuLoad {
  let lastMs = nowMs();
  let owedMs = 0;
  return {
    work(cores, spentMs) {
      const startMs = nowMs();
      owedMs = Math.min(BACKLOG_MS_MAX, owedMs + cores * Math.min(startMs - lastMs, BACKLOG_MS_MAX) - spentMs);
      lastMs = startMs;
      const untilMs = startMs + owedMs;
      let endMs = startMs;
      while (endMs < untilMs) endMs = nowMs();
      owedMs -= Math.max(0, endMs - startMs);
      // A loop that was interrupted for long (throttled) overshoots: the surplus is not credit for later.
      owedMs = Math.max(owedMs, -SLICE_MS);
    },
  };
}
