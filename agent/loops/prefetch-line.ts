/**
 * Prefetches of one host, in line: bytes are fetched for the most urgent one, the others stand where they are between two chunks, and go
 * on when it is done, waits for its own bandwidth cap, or hangs. Input: how urgent each is; output: when each may go on.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { byUrgency, type Urgency } from '../core/prefetch-urgency.ts';

/** One that has fetched nothing for so long (its holder is away, its hypervisor hangs) is in nobody's way. */
const HANGS_MS = 5000;
/** So often whoever stands in line looks whether it is still wanted, and whether the one before it hangs. */
const LOOK_MS = 500;

export interface PrefetchPlace {
  /** More urgent ones that fetch or would; 0 = it may go on. */
  ahead(): number;
  /** Resolves when it may go on, or need not wait any more (`given up` says so). */
  turn(givenUp: () => boolean): Promise<void>;
  /** Fetches nothing for so long: others may. */
  rest(ms: number): Promise<void>;
  /** Somebody waits for it: it stands and rests no more. */
  hurry(): void;
  leave(): void;
}

interface Standing {
  urgency: Urgency;
  waiting: number;
  resting: number;
  movedMs: number;
}

export class PrefetchLine {
  readonly #clock: Clock;
  readonly #standing = new Set<Standing>();
  /** What is to be woken when somebody leaves, rests or hurries. */
  readonly #waking = new Set<() => void>();
  #turns = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param dueMs on the host's boot clock */
  enter(priority: number, dueMs: number): PrefetchPlace {
    const movedMs = this.#clock.monotonicMs();
    const urgency: Urgency = { awaited: false, priority, dueMs, turn: this.#turns++ };
    const own: Standing = { urgency, waiting: 0, resting: 0, movedMs };
    this.#standing.add(own);
    return {
      ahead: () => this.#ahead(own),
      turn: (givenUp) => this.#turn(own, givenUp),
      rest: (ms) => this.#rest(own, ms),
      hurry: () => {
        urgency.awaited = true;
        this.#wake();
      },
      leave: () => {
        this.#standing.delete(own);
        this.#wake();
      },
    };
  }

  #ahead(own: Standing): number {
    const nowMs = this.#clock.monotonicMs();
    const inTheWay = ({ waiting, resting, movedMs }: Standing): boolean => resting === 0 && (waiting > 0 || nowMs - movedMs < HANGS_MS);
    return [...this.#standing].filter((other) => byUrgency(other.urgency, own.urgency) < 0 && inTheWay(other)).length;
  }

  async #turn(own: Standing, givenUp: () => boolean): Promise<void> {
    own.waiting++;
    try {
      while (this.#standing.has(own) && !own.urgency.awaited && !givenUp() && this.#ahead(own) > 0) await this.#woken(LOOK_MS);
    } finally {
      own.waiting--;
      own.movedMs = this.#clock.monotonicMs();
    }
  }

  async #rest(own: Standing, ms: number): Promise<void> {
    const untilMs = this.#clock.monotonicMs() + ms;
    own.resting++;
    this.#wake();
    try {
      while (this.#standing.has(own) && !own.urgency.awaited) {
        const leftMs = untilMs - this.#clock.monotonicMs();
        if (leftMs <= 0) break;
        await this.#woken(leftMs);
      }
    } finally {
      own.resting--;
      own.movedMs = this.#clock.monotonicMs();
    }
  }

  #woken(msMax: number): Promise<void> {
    return new Promise((resolve) => {
      let timer: Timer | null = null;
      const wake = (): void => {
        timer?.cancel();
        this.#waking.delete(wake);
        resolve();
      };
      timer = this.#clock.setTimeout(wake, msMax);
      this.#waking.add(wake);
    });
  }

  #wake(): void {
    for (const wake of [...this.#waking]) wake();
  }
}
