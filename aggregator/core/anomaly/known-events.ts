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
  /** The same by VM (null: of every VM), the oldest first: asked for each VM at each step. */
  readonly #of = new Map<string | null, KnownEvent[]>();

  add(event: KnownEvent): void {
    this.#events.push(event);
    const others = this.#of.get(event.vm);
    if (others === undefined) this.#of.set(event.vm, [event]);
    else others.push(event);
    if (this.#events.length > EVENTS_MAX) this.#forget(this.#events.shift()!);
  }

  remove(event: KnownEvent): void {
    if (!this.#events.includes(event)) return;
    this.#events = this.#events.filter((one) => one !== event);
    this.#forget(event);
  }

  #forget(event: KnownEvent): void {
    const left = this.#of.get(event.vm)?.filter((one) => one !== event) ?? [];
    if (left.length > 0) this.#of.set(event.vm, left);
    else this.#of.delete(event.vm);
  }

  /** The oldest first. */
  get all(): readonly KnownEvent[] {
    return this.#events;
  }

  /** Of several the oldest. */
  explain(vm: string, atMs: number): string | null {
    const own = this.#firstAt(vm, atMs);
    const everyones = this.#firstAt(null, atMs);
    if (own === undefined || everyones === undefined) return (own ?? everyones)?.why ?? null;
    return this.#events.find((event) => event === own || event === everyones)!.why;
  }

  #firstAt(vm: string | null, atMs: number): KnownEvent | undefined {
    return this.#of.get(vm)?.find(({ fromMs, toMs }) => fromMs <= atMs && atMs <= toMs + AFTERMATH_MS);
  }
}
