/**
 * What goes wrong, drawn from the seed. Input: the seed, which kinds, how long; output: a schedule of events, and the fates
 * of messages and hypervisor calls while faults are on. Once healed nothing more goes wrong.
 */
import type { SimulatedFault } from '../agent/hypervisor/simulated.ts';
import type { Prng } from '../shared/prng.ts';

export const FAULT_KINDS = [
  'drop',
  'duplicate',
  'reorder',
  'partition',
  'restart',
  'clockStep',
  'libvirtError',
  'partialActuation',
  'lostAnswer',
  'stuckVm',
  'foreignWriter',
  'lyingGuest',
  'rebootStorm',
  'job',
  'evacuation',
  'ksmUnshare',
  'keptMemory',
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** `all`, `none`, or names with commas between; throws the unknown name back. */
export function parseFaults(text: string): ReadonlySet<FaultKind> | { unknown: string } {
  if (text === 'all') return new Set(FAULT_KINDS);
  if (text === 'none') return new Set();
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !(FAULT_KINDS as readonly string[]).includes(name));
  return unknown === undefined ? new Set(names as FaultKind[]) : { unknown };
}

/** Events that happen to a host, an agent or the aggregator at a drawn time. */
export const EVENT_FAULTS = [
  'partition',
  'restart',
  'clockStep',
  'stuckVm',
  'foreignWriter',
  'rebootStorm',
  'job',
  'evacuation',
  'ksmUnshare',
  'keptMemory',
] as const;
export type EventFault = (typeof EVENT_FAULTS)[number];

export interface ScheduledFault {
  kind: EventFault;
  atMs: number;
  /** How long it lasts, ms, where it lasts. */
  forMs: number;
  /** Draw in [0, 1) that picks whom it hits. */
  whom: number;
  /** A further draw, for what exactly. */
  what: number;
}

/** Mean time between events of each kind over the whole world. */
const EVERY_MS: Readonly<Record<EventFault, number>> = {
  partition: 40 * 60_000,
  restart: 45 * 60_000,
  clockStep: 3 * 3_600_000,
  stuckVm: 60 * 60_000,
  foreignWriter: 90 * 60_000,
  rebootStorm: 2 * 3_600_000,
  job: 60 * 60_000,
  evacuation: 4 * 3_600_000,
  ksmUnshare: 2 * 3_600_000,
  keptMemory: 60 * 60_000,
};
const LASTS_MS_MIN = 20_000;
const LASTS_MS_MAX = 15 * 60_000;
/** Messages lost, repeated, late: far above any real network, so that hours suffice. */
const DROP_SHARE = 0.02;
const DUPLICATE_SHARE = 0.02;
const REORDER_SHARE = 0.05;
const LATE_MS_MAX = 4000;
const ERROR_SHARE = 0.02;
const PARTIAL_SHARE = 0.02;
const LOST_ANSWER_SHARE = 0.01;

export class Faults {
  readonly kinds: ReadonlySet<FaultKind>;
  readonly injected: Record<string, number> = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0]));
  #healed = false;
  readonly #messages: Prng;
  readonly #calls: Prng;
  readonly #events: Prng;

  constructor(kinds: ReadonlySet<FaultKind>, prng: Prng) {
    this.kinds = kinds;
    this.#messages = prng.stream('messages');
    this.#calls = prng.stream('calls');
    this.#events = prng.stream('events');
  }

  /** From now on nothing goes wrong any more. */
  heal(): void {
    this.#healed = true;
  }

  get healed(): boolean {
    return this.#healed;
  }

  count(kind: FaultKind): void {
    this.injected[kind] = (this.injected[kind] ?? 0) + 1;
  }

  /** Delays of one message's deliveries, ms: none = lost. */
  readonly fate = (): readonly number[] => {
    const near = 1 + 4 * this.#messages.next();
    if (this.#healed) return [near];
    const draw = this.#messages.next();
    if (this.#hits('drop', draw < DROP_SHARE)) return [];
    if (this.#hits('duplicate', draw > 1 - DUPLICATE_SHARE)) return [near, near + LATE_MS_MAX * this.#messages.next()];
    return this.#hits('reorder', this.#messages.next() < REORDER_SHARE) ? [near + LATE_MS_MAX * this.#messages.next()] : [near];
  };

  readonly call = (_host: string, write: boolean): SimulatedFault | null => {
    if (this.#healed) return null;
    if (this.#hits('libvirtError', this.#calls.next() < ERROR_SHARE)) {
      return { kind: 'error', code: 'HYPERVISOR_REFUSED', message: 'simulated: the hypervisor says no' };
    }
    if (!write) return null;
    if (this.#hits('partialActuation', this.#calls.next() < PARTIAL_SHARE)) return { kind: 'partial', share: this.#calls.next() };
    return this.#hits('lostAnswer', this.#calls.next() < LOST_ANSWER_SHARE) ? { kind: 'lostAnswer' } : null;
  };

  /** Every scheduled event up to `untilMs`, in time order. */
  schedule(untilMs: number): ScheduledFault[] {
    const events: ScheduledFault[] = [];
    for (const kind of EVENT_FAULTS) {
      if (!this.kinds.has(kind)) continue;
      const random = this.#events.stream(kind);
      // The first comes early, so that short runs see every kind.
      for (let atMs = (0.1 + 0.4 * random.next()) * untilMs; atMs < untilMs; atMs += -Math.log(1 - random.next()) * EVERY_MS[kind]) {
        const forMs = LASTS_MS_MIN + random.next() * (LASTS_MS_MAX - LASTS_MS_MIN);
        events.push({ kind, atMs, forMs, whom: random.next(), what: random.next() });
      }
    }
    return events.sort((a, b) => a.atMs - b.atMs);
  }

  #hits(kind: FaultKind, drawn: boolean): boolean {
    if (!drawn || !this.kinds.has(kind)) return false;
    this.count(kind);
    return true;
  }
}
