/**
 * A VM cut off from its network for a while: which links were taken down, why, and when they come up again. Input: links and
 * the reading of both clocks; output: plain data for the journal, and what is left of the time. Pure.
 */
import { type ClockReading, type ForeignHold, holdLeftMs } from './foreign-hold.ts';

/** One network interface as it is live. */
export interface Link {
  /** Hardware address: what stays the same whatever else changes. */
  mac: string;
  up: boolean;
}

export interface Isolation {
  /** Links that were up before, by hardware address: those and no others are brought up again. */
  links: readonly string[];
  reason: string;
  since: ClockReading;
  forMs: number;
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** Asked for again it may be for longer, never shorter; what it took down first is what it brings up. */
export function isolated(
  before: Isolation | undefined,
  links: readonly Link[],
  reason: string,
  now: ClockReading,
  forMs: number,
): Isolation {
  const up = links.filter((link) => link.up).map(({ mac }) => mac);
  const since: ClockReading = { wallMs: now.wallMs, bootMs: now.bootMs };
  if (before === undefined) return { links: up, reason, since, forMs };
  return { links: [...new Set([...before.links, ...up])], reason, since, forMs: Math.max(forMs, isolationLeftMs(before, now)) };
}

/** 0: its time is over. A wall clock set forward does not end it early, see `holdLeftMs`. */
export function isolationLeftMs({ reason, since, forMs }: Isolation, now: ClockReading): number {
  const hold: ForeignHold = { reason, since, forMs };
  return holdLeftMs(hold, now) ?? 0;
}

/** Is this, from disk or metadata, an isolation? */
export function isIsolation(value: unknown): value is Isolation {
  if (typeof value !== 'object' || value === null) return false;
  const { links, reason, since, forMs } = value as Partial<Isolation>;
  const dated = typeof since === 'object' && since !== null && Number.isFinite(since.wallMs) && Number.isFinite(since.bootMs);
  const named = Array.isArray(links) && links.every((mac) => typeof mac === 'string' && MAC.test(mac));
  return named && dated && typeof reason === 'string' && typeof forMs === 'number' && Number.isFinite(forMs);
}
