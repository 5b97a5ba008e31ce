/**
 * Which of several VMs is fetched for first. Pure. Input: what each was ordered with; output: an order. A VM that somebody waits for, or
 * that runs, comes before all that are only expected; of those the one of higher priority, then the one that is due earlier, then the one
 * that was ordered earlier.
 */
export interface Urgency {
  /** Somebody waits for it now. */
  awaited: boolean;
  /** Larger goes first. */
  priority: number;
  /** On the clock of whoever orders them; infinite = whenever it is. */
  dueMs: number;
  /** Of all that were ordered here. */
  turn: number;
}

/** Negative: `a` goes first. No two of different turns are equal. */
export function byUrgency(a: Urgency, b: Urgency): number {
  if (a.awaited !== b.awaited) return a.awaited ? -1 : 1;
  if (a.priority !== b.priority) return b.priority - a.priority;
  // Not a difference: both may be infinite.
  if (a.dueMs !== b.dueMs) return a.dueMs < b.dueMs ? -1 : 1;
  return a.turn - b.turn;
}
