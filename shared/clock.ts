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
  monotonicMs: () => monotonicMs(),
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

/** Not by `performance`: its library, with workers and streams behind it, takes megabytes that a guest agent has no use for. */
function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** /proc/uptime is CLOCK_BOOTTIME with 10 ms resolution; Node offers no other way to read it. */
function bootTimeMs(): number {
  try {
    return Number.parseFloat(readFileSync('/proc/uptime', 'utf8')) * 1000;
  } catch {
    return monotonicMs();
  }
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, delayMs));
}

/** A turn for others lasts no longer: work that is wanted every minute must end within it. */
const TURN_MS_MAX = 500;

/**
 * For long work on a thread that serves connections: call the answer between its parts, and others have as long as the part
 * took. An acknowledgement takes three turns (read, handed to the store, stored): one moment between parts would not do.
 */
export function fairTurns(clock: Clock): () => Promise<void> {
  let sinceMs = clock.monotonicMs();
  return async () => {
    await sleep(clock, Math.min(TURN_MS_MAX, clock.monotonicMs() - sinceMs));
    sinceMs = clock.monotonicMs();
  };
}
