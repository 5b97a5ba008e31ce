/**
 * Simulated time: one event queue for the whole simulated world, and per node a `Clock` whose wall time can step and whose
 * monotonic time cannot. Events due at the same instant run in an order drawn from the seed, so that hidden dependencies on
 * order show. Between events all microtasks and immediates run, so that promises behave as they do live.
 */
import { assert } from '../shared/assert.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { Prng } from '../shared/prng.ts';

class SimulatedEvent implements Timer {
  readonly atMs: number;
  /** Draw from the seed: order among events of one instant. */
  readonly order: number;
  readonly sequence: number;
  run: (() => void) | null;
  /** The node whose event this is; null = the world's own. */
  readonly owner: NodeClock | null;

  constructor(atMs: number, order: number, sequence: number, run: () => void, owner: NodeClock | null) {
    this.atMs = atMs;
    this.order = order;
    this.sequence = sequence;
    this.run = run;
    this.owner = owner;
  }

  cancel(): void {
    this.run = null;
  }

  /** It was cancelled, or its node has died: then its turn never comes. */
  get isOff(): boolean {
    return this.run === null || this.owner?.isDead === true;
  }
}

function before(a: SimulatedEvent, b: SimulatedEvent): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order !== b.order ? a.order < b.order : a.sequence < b.sequence;
}

export class SimulatedTime {
  #nowMs = 0;
  #sequence = 0;
  readonly #queue: SimulatedEvent[] = [];
  readonly #random: Prng;
  readonly #startWallMs: number;
  /** Nodes that ran something since promises were last let go on. */
  readonly #ran = new Set<object | null>();
  /** Events run so far: the simulation's work. */
  eventsRun = 0;

  constructor(random: Prng, startWallMs: number) {
    this.#random = random;
    this.#startWallMs = startWallMs;
  }

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get wallMs(): number {
    return this.#startWallMs + this.#nowMs;
  }

  schedule(run: () => void, delayMs: number, owner: NodeClock | null = null): Timer {
    const event = new SimulatedEvent(this.#nowMs + Math.max(0, delayMs), this.#random.next(), this.#sequence++, run, owner);
    this.#push(event);
    return event;
  }

  /** Runs everything due up to `untilMs` and stops there. Rejects when an event throws: a broken invariant ends the run. */
  async runUntil(untilMs: number): Promise<void> {
    assert(untilMs >= this.#nowMs, `simulated time cannot run back from ${this.#nowMs} to ${untilMs}`);
    await settle();
    for (;;) {
      const next = this.#queue[0];
      const due = next !== undefined && next.atMs <= untilMs;
      if (!due && this.#ran.size === 0) break;
      if (!due || (!next.isOff && this.#mustSettleBefore(next))) {
        // Promises may schedule something before the next event, or after the last one.
        await this.#settled();
        continue;
      }
      this.#pop();
      const { run, owner } = next;
      if (run === null || next.isOff) continue;
      this.#nowMs = next.atMs;
      this.eventsRun++;
      this.#ran.add(owner);
      run();
    }
    this.#nowMs = untilMs;
  }

  /**
   * What one node does at an instant cannot depend on promises of another node at the same instant: timers of different
   * nodes run one after the other, and then everything they promised.
   */
  #mustSettleBefore({ atMs, owner }: SimulatedEvent): boolean {
    return this.#ran.size > 0 && (atMs !== this.#nowMs || owner === null || this.#ran.has(null) || this.#ran.has(owner));
  }

  async #settled(): Promise<void> {
    this.#ran.clear();
    await settle();
  }

  #push(event: SimulatedEvent): void {
    const queue = this.#queue;
    let index = queue.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(event, queue[parent]!)) break;
      queue[index] = queue[parent]!;
      index = parent;
    }
    queue[index] = event;
  }

  #pop(): void {
    const queue = this.#queue;
    const last = queue.pop()!;
    if (queue.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= queue.length) break;
      if (child + 1 < queue.length && before(queue[child + 1]!, queue[child]!)) child++;
      if (!before(queue[child]!, last)) break;
      queue[index] = queue[child]!;
      index = child;
    }
    queue[index] = last;
  }
}

/** Immediates asked for at once: Node looks for real input and output once a batch, not once an event. */
const BATCH = 32;

/** Who waits to go on once all promises have, and the immediates there are for them. */
const waiting: (() => void)[] = [];
let immediates = 0;

/** Lets every promise that can go on do so. Between two immediates all microtasks run; promise chains never need more than one. */
function settle(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (immediates > 0) return;
    immediates = BATCH;
    for (let i = 0; i < BATCH; i++) setImmediate(goOn);
  });
}

function goOn(): void {
  immediates--;
  // Who is let go on here waits again only after this.
  while (waiting.length > 0) waiting.shift()?.();
}

/** One node's view of time. */
export class NodeClock implements Clock {
  readonly #time: SimulatedTime;
  readonly #bornMs: number;
  #wallOffsetMs = 0;
  #dead = false;

  constructor(time: SimulatedTime) {
    this.#time = time;
    this.#bornMs = time.nowMs;
  }

  wallMs(): number {
    return this.#time.wallMs + this.#wallOffsetMs;
  }

  monotonicMs(): number {
    return this.#time.nowMs - this.#bornMs + 1000;
  }

  bootMs(): number {
    return this.#time.nowMs + 60_000;
  }

  setTimeout(run: () => void, delayMs: number): Timer {
    if (this.#dead) return { cancel: () => undefined };
    return this.#time.schedule(run, delayMs, this);
  }

  setInterval(run: () => void, periodMs: number): Timer {
    let current: Timer;
    const turn = (): void => {
      current = this.setTimeout(turn, periodMs);
      run();
    };
    current = this.setTimeout(turn, periodMs);
    return { cancel: () => current.cancel() };
  }

  /** The node's wall clock jumps, as after a bad NTP answer; monotonic time does not. */
  stepWall(byMs: number): void {
    this.#wallOffsetMs += byMs;
  }

  /** The node dies (kill -9): none of its timers fires any more, and what is left of it can set no new ones. */
  kill(): void {
    this.#dead = true;
  }

  get isDead(): boolean {
    return this.#dead;
  }
}
