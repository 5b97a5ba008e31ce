/**
 * Hosts that ask one holder for snapshots, answered by urgency: while somebody waits for the one, or it has the higher priority, the others
 * get one answer in nine, or one in a tenth of a second where that is more. Nobody goes without: a guest may wait for any answer, and a
 * host far away, slow to take its answers, does not keep the wire from others. Input: who asks, how urgent each is; output: when each
 * answer may be read and sent.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { byUrgency, type Urgency } from '../core/prefetch-urgency.ts';

/** The urgent get so many answers before one of the next. */
const SHARE = 8;
const PATIENCE_MS = 100;

interface Asker {
  /** Answers on their way to it. */
  open: number;
  waiting: (() => void)[];
  /** Answers others have had while it stood. */
  passed: number;
  timer: Timer | null;
}

export class AskersInTurn {
  readonly #clock: Clock;
  readonly #urgencyOf: (vm: string) => Urgency;
  readonly #askers = new Map<string, Asker>();

  constructor(clock: Clock, urgencyOf: (vm: string) => Urgency) {
    this.#clock = clock;
    this.#urgencyOf = urgencyOf;
  }

  /** Resolves when it is this one's turn, with what to call once the answer is on its way. */
  begin(vm: string): Promise<() => void> {
    const asker = this.#askers.get(vm) ?? { open: 0, waiting: [], passed: 0, timer: null };
    this.#askers.set(vm, asker);
    return new Promise((resolve) => {
      const ended = this.#endOf(vm, asker);
      asker.waiting.push(() => resolve(ended));
      this.#next();
    });
  }

  #endOf(vm: string, asker: Asker): () => void {
    let done = false;
    return () => {
      if (done) return;
      done = true;
      asker.open--;
      for (const other of this.#askers.values()) if (other !== asker && other.waiting.length > 0) other.passed++;
      if (asker.open === 0 && asker.waiting.length === 0) this.#askers.delete(vm);
      this.#next();
    };
  }

  /** Those of the most urgent one go; of the others those that have stood long enough. */
  #next(): void {
    const standing = [...this.#askers]
      .map(([vm, asker]) => ({ asker, urgency: this.#urgencyOf(vm) }))
      .toSorted((a, b) => byUrgency(a.urgency, b.urgency));
    const [first, ...others] = standing;
    if (first === undefined) return;
    while (first.asker.waiting.length > 0) this.#go(first.asker);
    for (const { asker } of others) {
      if (asker.waiting.length === 0) continue;
      if (asker.passed >= SHARE) this.#go(asker);
      else asker.timer ??= this.#clock.setTimeout(() => this.#patient(asker), PATIENCE_MS);
    }
  }

  #patient(asker: Asker): void {
    asker.timer = null;
    if (asker.waiting.length > 0) this.#go(asker);
    this.#next();
  }

  #go(asker: Asker): void {
    asker.timer?.cancel();
    asker.timer = null;
    asker.passed = 0;
    asker.open++;
    asker.waiting.shift()?.();
  }
}
