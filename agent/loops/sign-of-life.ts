/** Waits for a resumed guest to show that it lives. Input: a look at it, the clock, a deadline; output: whether it did in time. */
import { type Clock, sleep } from '../../shared/clock.ts';

const POLL_MS = 50;

/** Looks at least once; a look that takes long uses up the time as waiting does. */
export async function signOfLife(look: () => Promise<boolean> | boolean, clock: Clock, withinMs: number): Promise<boolean> {
  const untilMs = clock.monotonicMs() + withinMs;
  for (;;) {
    if (await look()) return true;
    if (clock.monotonicMs() + POLL_MS >= untilMs) return false;
    await sleep(clock, POLL_MS);
  }
}
