/**
 * What a guest has at a moment, to hold what it says is available against. The balloon's size is read by the host, what is
 * available was told by the guest some seconds ago; subtracting one from the other while the balloon moves would make demand
 * jump by the balloon's own movement. A guest that tells its MemTotal with it says what it had at that very moment; else the
 * balloon's size is remembered and looked up. Rows in, MiB or NaN out.
 */

/** At 1 Hz two minutes: longer than any sane statistics period. */
const REMEMBERED = 128;
/** Hypervisors report the statistics' time in whole seconds. */
const MOMENT_UNCERTAINTY_MS = 1000;
/** A balloon that moved by more than this share around that moment gives no reading: half of the 2 % promised. */
const MOVED_SHARE_MAX = 0.01;
/** Size and MemTotal must rest for so long before their difference is believed: a driver tells its size some seconds late. */
const REST_MS = 3000;

export class BalloonHistory {
  readonly #times = new Float64Array(REMEMBERED);
  readonly #sizes = new Float64Array(REMEMBERED);
  #count = 0;

  /** Remembers the size seen at a time; times that do not ascend are ignored. */
  add(timeMs: number, balloonMiB: number): void {
    if (!(balloonMiB > 0) || (this.#count > 0 && timeMs <= this.#times[(this.#count - 1) % REMEMBERED]!)) return;
    this.#times[this.#count % REMEMBERED] = timeMs;
    this.#sizes[this.#count % REMEMBERED] = balloonMiB;
    this.#count++;
  }

  /** NaN = none was seen yet. */
  get newestMiB(): number {
    return this.#count === 0 ? Number.NaN : this.#sizes[(this.#count - 1) % REMEMBERED]!;
  }

  /** Balloon size at a moment (MiB), NaN when it is not remembered or was moving then. */
  at(momentMs: number): number {
    const oldest = Math.max(0, this.#count - REMEMBERED);
    let low = Number.NaN;
    let high = Number.NaN;
    let size = Number.NaN;
    for (let i = this.#count - 1; i >= oldest; i--) {
      const time = this.#times[i % REMEMBERED]!;
      const value = this.#sizes[i % REMEMBERED]!;
      // Sizes just outside the uncertain span count too: the change lies somewhere between two rows.
      if (time > momentMs + MOMENT_UNCERTAINTY_MS) {
        low = high = value;
        continue;
      }
      low = Number.isNaN(low) ? value : Math.min(low, value);
      high = Number.isNaN(high) ? value : Math.max(high, value);
      if (time <= momentMs && Number.isNaN(size)) size = value;
      if (time < momentMs - MOMENT_UNCERTAINTY_MS) return high - low > MOVED_SHARE_MAX * high ? Number.NaN : size;
    }
    // History begins within the uncertain span: whether it moved before is not known, the first row is taken as steady.
    return high - low > MOVED_SHARE_MAX * high ? Number.NaN : size;
  }
}

/**
 * Turns MemTotal into balloon size: adds what the kernel reserved at boot, learnt while both rest, so that the figure is the
 * same at every size and never late.
 */
export class GuestSize {
  readonly #balloon: BalloonHistory;
  #reservedMiB = Number.NaN;
  #sizeMiB = Number.NaN;
  #totalMiB = Number.NaN;
  #restsSinceMs = Number.NaN;

  constructor(balloon: BalloonHistory) {
    this.#balloon = balloon;
  }

  /** The balloon's size as read at `timeMs` beside the newest MemTotal known then. */
  learn(timeMs: number, balloonMiB: number, totalMiB: number): void {
    if (!(balloonMiB > 0) || !(totalMiB > 0)) return;
    if (moved(this.#sizeMiB, balloonMiB) || moved(this.#totalMiB, totalMiB) || !(timeMs >= this.#restsSinceMs)) {
      this.#restsSinceMs = timeMs;
      this.#sizeMiB = balloonMiB;
      this.#totalMiB = totalMiB;
    } else if (timeMs - this.#restsSinceMs >= REST_MS && balloonMiB >= totalMiB) {
      this.#reservedMiB = balloonMiB - totalMiB;
    }
  }

  /** What the guest had at `momentMs` (MiB) when it told `totalMiB`, NaN = it told none; NaN = unknown. */
  at(momentMs: number, totalMiB: number): number {
    if (!(totalMiB > 0) || Number.isNaN(this.#reservedMiB)) return this.#balloon.at(momentMs);
    return totalMiB + this.#reservedMiB;
  }
}

const moved = (before: number, now: number): boolean => !(Math.abs(now - before) <= MOVED_SHARE_MAX * now);
