/**
 * Which VMs that are gone still have models in the ledger, and since when. Input: whose models are kept, who is there, the
 * time; output: whom to forget. A VM that comes back, renamed or on another host, is known by its UUID and finds its models.
 */
import type { VmId } from '../../shared/ids.ts';

/** Short-lived VMs come and go by the thousand a day: beyond these the longest gone are forgotten before their time, */
const GONE_MAX = 5000;
/** but after a day at the earliest: after a restart all VMs are gone until their hosts have connected. */
const GONE_MS_MIN = 24 * 3_600_000;
/** A clock that jumps ahead must not empty the ledger in one go, and deleting must not hold up commands' entries. */
const FORGET_AT_ONCE_MAX = 200;

export class GoneModels {
  readonly #since = new Map<VmId, number>();
  readonly #keptMs: number;

  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  get count(): number {
    return this.#since.size;
  }

  /** What `text` gave; unreadable text is nothing known: the time begins anew. */
  load(text: string): void {
    let known: unknown;
    try {
      known = JSON.parse(text);
    } catch {
      return;
    }
    if (typeof known !== 'object' || known === null) return;
    for (const [vm, since] of Object.entries(known)) if (typeof since === 'number') this.#since.set(vm as VmId, since);
  }

  text(): string {
    return JSON.stringify(Object.fromEntries(this.#since));
  }

  /** True when anything is different now. */
  note(kept: Iterable<VmId>, isThere: (vm: VmId) => boolean, nowMs: number): boolean {
    const before = this.#since.size;
    let changes = 0;
    for (const vm of kept) {
      if (isThere(vm)) changes += Number(this.#since.delete(vm));
      else if (!this.#since.has(vm)) this.#since.set(vm, nowMs);
    }
    return changes > 0 || this.#since.size !== before;
  }

  /** The longest gone first, some at a time. */
  due(nowMs: number): VmId[] {
    const longest = [...this.#since].sort(([, a], [, b]) => a - b);
    const tooMany = longest.length - GONE_MAX;
    return longest
      .filter(([, since], i) => since <= nowMs - (i < tooMany ? Math.min(GONE_MS_MIN, this.#keptMs) : this.#keptMs))
      .slice(0, FORGET_AT_ONCE_MAX)
      .map(([vm]) => vm);
  }

  forget(vm: VmId): void {
    this.#since.delete(vm);
  }
}
