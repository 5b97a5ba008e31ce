/**
 * How well an agreement was kept for one VM: steps seen, and those in which what was granted covered what was wanted, over a
 * sliding window in few numbers. A step whose demand or allocation is unknown counts neither way. Steps in, counts out.
 */

/** What is too old leaves at most 1/96 of the window late: under two hours of a week. */
const SLOTS_PER_WINDOW = 96;

export interface Kept {
  steps: number;
  met: number;
  /** Start of the oldest step counted, null = none. */
  sinceMs: number | null;
}

type Slot = [startMs: number, steps: number, met: number];

export class Attainment {
  #windowMs: number;
  /** Oldest first. */
  #slots: Slot[] = [];

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  setWindow(windowMs: number): void {
    this.#windowMs = windowMs;
  }

  add(stepStartMs: number, met: boolean): void {
    const slotMs = Math.max(1, this.#windowMs / SLOTS_PER_WINDOW);
    const last = this.#slots.at(-1);
    if (last && stepStartMs < last[0] + slotMs) {
      last[1]++;
      if (met) last[2]++;
    } else this.#slots.push([stepStartMs, 1, met ? 1 : 0]);
    const oldestMs = stepStartMs - this.#windowMs - slotMs;
    while (this.#slots.length > 1 && (this.#slots[0]![0] < oldestMs || this.#slots.length > 2 * SLOTS_PER_WINDOW)) this.#slots.shift();
  }

  kept(nowMs: number): Kept {
    const inside = this.#slots.filter(([startMs]) => startMs >= nowMs - this.#windowMs);
    const sum = (at: 1 | 2): number => inside.reduce((total, slot) => total + slot[at], 0);
    return { steps: sum(1), met: sum(2), sinceMs: inside[0]?.[0] ?? null };
  }

  toJSON(): Slot[] {
    return this.#slots;
  }

  /** Takes over what `toJSON` gave, before what was seen since. */
  restore(slots: readonly Slot[]): void {
    const firstMs = this.#slots[0]?.[0] ?? Number.POSITIVE_INFINITY;
    this.#slots = [...slots.filter(([startMs]) => startMs < firstMs), ...this.#slots];
  }
}
