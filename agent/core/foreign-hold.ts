/**
 * Hands off a resource after somebody else wrote it: why, and for how long. Input: the reading of both clocks; output: the
 * hold and what is left of it. Pure; holds are kept in the journal and outlive the agent.
 */
import type { Setting } from '../../shared/resources.ts';

/** UTC, which may step, and CLOCK_BOOTTIME, which starts anew with the machine. */
export interface ClockReading {
  wallMs: number;
  bootMs: number;
}

export interface ForeignHold {
  reason: string;
  since: ClockReading;
  /** Null = until lifted. */
  forMs: number | null;
}

/** So many foreign writes over ours end automatic changes of that resource until an administrator lifts the hold. */
export const REVERSALS_MAX = 2;

/** The hold that follows the `reversals`-th foreign write. */
export function foreignHold(seen: Setting, reversals: number, since: ClockReading, holdMs: number): ForeignHold {
  const what = `someone else set ${JSON.stringify(seen)}`;
  if (reversals >= REVERSALS_MAX) {
    return { reason: `${what}, for the ${reversals}. time: automatic changes are off until lifted`, since, forMs: null };
  }
  return { reason: what, since, forMs: holdMs };
}

/** Milliseconds left, null = until lifted. The clock that says more is believed: a wall clock set forward ends no hold. */
export function holdLeftMs({ since, forMs }: ForeignHold, now: ClockReading): number | null {
  if (forMs === null) return null;
  const byWall = since.wallMs + forMs - now.wallMs;
  const rebooted = now.bootMs < since.bootMs;
  return Math.max(0, byWall, rebooted ? 0 : since.bootMs + forMs - now.bootMs);
}
