/**
 * The highest working set of a sliding window, in few numbers: the window is cut into slots, each keeps its own maximum.
 * Times and MiB in, the peak out. The window may change (a policy's), the slots kept then stay as they are.
 */

/** A peak is forgotten at most 1/48 of the window late: half an hour of a day. */
const SLOTS_PER_WINDOW = 48;

interface OlderPeak {
  peakMiB: number | null;
  fromMs: number;
  untilMs: number;
}

export class WorkingSetPeaks {
  #windowMs: number;
  /** Oldest first. */
  #slots: { startMs: number; maxMiB: number }[] = [];
  /** The youngest slot and where it ends; null: not known, or the window was changed. */
  #newest: { startMs: number; endMs: number; maxMiB: number } | null = null;
  /** The peak of all slots but the last, and between which times it is that; null: to be looked for. */
  #older: OlderPeak | null = null;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  setWindow(windowMs: number): void {
    if (windowMs === this.#windowMs) return;
    this.#newest = null;
    this.#older = null;
    this.#windowMs = windowMs;
  }

  add(nowMs: number, workingSetMiB: number): void {
    const newest = this.#newest;
    // Nearly every row: nothing to compute, and a window of slots that need not be looked at.
    if (newest !== null && nowMs >= newest.startMs && nowMs < newest.endMs) {
      if (workingSetMiB > newest.maxMiB) newest.maxMiB = workingSetMiB;
      return;
    }
    this.#older = null;
    const slotMs = Math.max(1, this.#windowMs / SLOTS_PER_WINDOW);
    const startMs = Math.floor(nowMs / slotMs) * slotMs;
    const last = this.#slots.at(-1);
    if (last && startMs <= last.startMs) last.maxMiB = Math.max(last.maxMiB, workingSetMiB);
    else {
      this.#newest = { startMs, endMs: startMs + slotMs, maxMiB: workingSetMiB };
      this.#slots.push(this.#newest);
    }
    while (this.#slots.length > 1 && this.#slots[0]!.startMs < nowMs - this.#windowMs - slotMs) this.#slots.shift();
    // A window that has shrunk, or a clock that jumped back, must not let the list grow.
    if (this.#slots.length > 4 * SLOTS_PER_WINDOW) this.#slots.shift();
  }

  /** Null: nothing was seen within the window. */
  peak(nowMs: number): number | null {
    const older = this.#older;
    const known = older !== null && nowMs >= older.fromMs && nowMs <= older.untilMs ? older : this.#lookBack(nowMs);
    const last = this.#slots.at(-1);
    if (last === undefined || last.startMs < this.#oldestMs(nowMs)) return known.peakMiB;
    return Math.max(known.peakMiB ?? 0, last.maxMiB);
  }

  /** Asked at every plan, and the same until a slot comes or the oldest one goes. */
  #lookBack(nowMs: number): OlderPeak {
    const oldestMs = this.#oldestMs(nowMs);
    let peakMiB: number | null = null;
    let firstMs = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#slots.length - 1; i++) {
      const { startMs, maxMiB } = this.#slots[i]!;
      if (startMs < oldestMs) continue;
      peakMiB = Math.max(peakMiB ?? 0, maxMiB);
      firstMs = Math.min(firstMs, startMs);
    }
    this.#older = { peakMiB, fromMs: nowMs, untilMs: nowMs + firstMs - oldestMs };
    return this.#older;
  }

  /** Slots that began before this lie outside the window. */
  #oldestMs(nowMs: number): number {
    return nowMs - this.#windowMs - this.#windowMs / SLOTS_PER_WINDOW;
  }

  toJSON(): [number, number][] {
    return this.#slots.map(({ startMs, maxMiB }) => [startMs, maxMiB]);
  }

  /** Takes over what `toJSON` gave, before what was seen since. */
  restore(slots: readonly (readonly [number, number])[]): void {
    const firstMs = this.#slots[0]?.startMs ?? Number.POSITIVE_INFINITY;
    const older = slots.filter(([startMs]) => startMs < firstMs).map(([startMs, maxMiB]) => ({ startMs, maxMiB }));
    this.#slots = [...older, ...this.#slots];
    this.#older = null;
  }
}
