/**
 * Time as a seam. Wall time labels data; monotonic time measures ages, leases and delays. Nothing outside a composition
 * root reads the machine's clock itself. `bootMs` counts through system suspend (CLOCK_BOOTTIME) where leases need it.
 */
import { readFileSync } from 'node:fs';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** UTC milliseconds, may step. */
  wallMs(): number;
  /** Milliseconds since an arbitrary start, never steps back. */
  monotonicMs(): number;
  /** Like monotonicMs, but goes on while the machine is suspended. */
  bootMs(): number;
  setTimeout(run: () => void, delayMs: number): Timer;
  setInterval(run: () => void, periodMs: number): Timer;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  bootMs: () => bootTimeMs(),
  setTimeout(run, delayMs) {
    const handle = setTimeout(run, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  setInterval(run, periodMs) {
    const handle = setInterval(run, periodMs);
    return { cancel: () => clearInterval(handle) };
  },
};

/** /proc/uptime is CLOCK_BOOTTIME with 10 ms resolution; Node offers no other way to read it. */
function bootTimeMs(): number {
  try {
    return Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000;
  } catch {
    return performance.now();
  }
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, delayMs));
}
