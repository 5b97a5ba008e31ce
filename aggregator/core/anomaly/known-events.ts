/**
 * What explains an odd VM away: our own resizes, deployments, the calendar. Input: events with a span; output: why an
 * incident that begins at a moment needs nobody's attention. Bounded: the oldest give way.
 */
const EVENTS_MAX = 256;
/** A change is felt for a while after it: caches fill, balloons deflate. */
const AFTERMATH_MS = 15 * 60_000;

export interface KnownEvent {
  /** Null: every VM. */
  vm: string | null;
  fromMs: number;
  toMs: number;
  /** e.g. `our own resize of memory from 4096 to 3072 MiB`. */
  why: string;
}

export class KnownEvents {
  #events: KnownEvent[] = [];

  add(event: KnownEvent): void {
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }

  remove(event: KnownEvent): void {
    this.#events = this.#events.filter((one) => one !== event);
  }

  /** The oldest first. */
  get all(): readonly KnownEvent[] {
    return this.#events;
  }

  explain(vm: string, atMs: number): string | null {
    const event = this.#events.find((one) => (one.vm ?? vm) === vm && one.fromMs <= atMs && atMs <= one.toMs + AFTERMATH_MS);
    return event?.why ?? null;
  }
}
