/**
 * The load of `bench harm`: one schedule per seed, the same for every mode, played open-loop: what is due is sent when it is
 * due, whatever is still unanswered. Input: guests, schedule; output: latencies of requests, and when each step began and
 * was over.
 */
import type { Prng } from '../../shared/prng.ts';
import type { TinyGuest } from '../support/tiny-guest.ts';

export interface Schedule {
  /** When each request is due, ms from the start. */
  requestsMs: number[];
  /** CPU bursts: when, and for how long. */
  bursts: { atMs: number; forMs: number }[];
  /** Memory that is filled little by little, held and given up again. */
  ramps: { atMs: number; mib: number; forMs: number }[];
  lengthMs: number;
}

/** Requests a second, in the two halves of each cycle: so many in all that the slowest hundredth is more than one of them. */
const RATES = [4, 16] as const;
const CYCLE_MS = 20_000;
const BURST_MS = 5000;
const BURST_EVERY_MS = 12_000;
const RAMP_EVERY_MS = 20_000;
const RAMP_HELD_MS = 6000;
/** Added at each ramp: more than a guest that was reclaimed has to spare. */
const RAMP_MIB = 80;

export function scheduleOf(random: Prng, lengthMs: number): Schedule {
  const requestsMs: number[] = [];
  for (let atMs = 0; atMs < lengthMs; ) {
    const rate = RATES[Math.floor((atMs % CYCLE_MS) / (CYCLE_MS / RATES.length))]!;
    atMs += (-Math.log(1 - random.next()) / rate) * 1000;
    if (atMs < lengthMs) requestsMs.push(atMs);
  }
  const every = <T>(periodMs: number, make: (atMs: number) => T): T[] => {
    const count = Math.floor((lengthMs - 10_000) / periodMs);
    return Array.from({ length: count }, (_, i) => make(3000 + i * periodMs + random.next() * 3000));
  };
  return {
    requestsMs,
    bursts: every(BURST_EVERY_MS, (atMs) => ({ atMs, forMs: BURST_MS })),
    ramps: every(RAMP_EVERY_MS, (atMs) => ({ atMs, mib: RAMP_MIB, forMs: RAMP_HELD_MS })),
    lengthMs,
  };
}

export interface Played {
  requestMs: number[];
  unanswered: number;
  /** Wall-clock times at which a burst began, and at which a ramp began and was over. */
  burstsAtMs: number[];
  ramps: { atMs: number; doneAtMs: number }[];
}

export interface Players {
  web: TinyGuest;
  burst: TinyGuest;
  memory: TinyGuest;
  /** Loops of the guest's shell that make one request. */
  loops: number;
}

const untilMs = (atMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, atMs - performance.now())));

/** Answers still awaited this long after the end count as unanswered. */
const LAST_ANSWERS_MS = 10_000;

export async function play({ web, burst, memory, loops }: Players, schedule: Schedule): Promise<Played> {
  const startMs = performance.now();
  const sent = new Map<string, number>();
  const requestMs: number[] = [];
  web.onLine((line) => {
    const atMs = sent.get(line);
    if (atMs === undefined) return;
    sent.delete(line);
    requestMs.push(performance.now() - atMs);
  });
  const requests = async (): Promise<void> => {
    for (const [n, dueMs] of schedule.requestsMs.entries()) {
      await untilMs(startMs + dueMs);
      // From when it was due: a late sender hides no wait.
      sent.set(`answer ${n}`, startMs + dueMs);
      web.send(`req ${n} ${loops}`);
    }
  };
  const burstsAtMs: number[] = [];
  const bursts = async (): Promise<void> => {
    for (const { atMs, forMs } of schedule.bursts) {
      await untilMs(startMs + atMs);
      burstsAtMs.push(Date.now());
      burst.send('busy 1');
      await untilMs(startMs + atMs + forMs);
      burst.send('idle');
    }
  };
  const ramps: Played['ramps'] = [];
  const touches = async (): Promise<void> => {
    for (const { atMs, mib, forMs } of schedule.ramps) {
      await untilMs(startMs + atMs);
      const beganMs = Date.now();
      await memory.order(`fast ${mib}`);
      ramps.push({ atMs: beganMs, doneAtMs: Date.now() });
      await untilMs(startMs + atMs + forMs);
      await memory.order('touch');
      await memory.order('free');
    }
  };
  await Promise.all([requests(), bursts(), touches()]);
  await untilMs(startMs + schedule.lengthMs);
  for (const lastMs = performance.now() + LAST_ANSWERS_MS; sent.size > 0 && performance.now() < lastMs; )
    await untilMs(performance.now() + 50);
  web.onLine(() => undefined);
  return { requestMs, unanswered: sent.size, burstsAtMs, ramps };
}
