/**
 * Reconnect delays: exponential with full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), so that
 * a fleet whose aggregator restarts does not come back in one instant. Attempt number in, milliseconds out.
 */
import type { Prng } from './prng.ts';

export interface BackoffOptions {
  baseMs: number;
  capMs: number;
}

export function backoffMs(attempt: number, options: BackoffOptions, random: Prng): number {
  const ceilingMs = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return options.baseMs / 2 + random.next() * (ceilingMs - options.baseMs / 2);
}
