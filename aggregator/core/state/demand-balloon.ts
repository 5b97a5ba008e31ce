/**
 * Working set from balloon statistics. The balloon's size is known now, what the guest has available was told some seconds
 * ago; subtracting one from the other while the balloon moves would make demand jump by the balloon's own movement. So the
 * size is remembered and the two are joined at the moment the statistics were taken. Rows in, MiB or NaN out.
 */

/** At 1 Hz two minutes: longer than any sane statistics period. */
const REMEMBERED = 128;
/** Hypervisors report the statistics' time in whole seconds. */
const MOMENT_UNCERTAINTY_MS = 1000;
/** A balloon that moved by more than this share around that moment gives no reading: half of the 2 % promised. */
const MOVED_SHARE_MAX = 0.01;
/** Kernel memory outside MemTotal is re-learnt at this rate when it seems to grow; a lower value is believed at once. */
const OVERHEAD_RISE = 0.05;

export class BalloonHistory {
  readonly #times = new Float64Array(REMEMBERED);
  readonly #sizes = new Float64Array(REMEMBERED);
  #count = 0;
  #overheadMiB = Number.NaN;

  /** Remembers the size seen at a time; times that do not ascend are ignored. */
  add(timeMs: number, balloonMiB: number): void {
    if (!(balloonMiB > 0) || (this.#count > 0 && timeMs <= this.#times[(this.#count - 1) % REMEMBERED]!)) return;
    this.#times[this.#count % REMEMBERED] = timeMs;
    this.#sizes[this.#count % REMEMBERED] = balloonMiB;
    this.#count++;
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

  /** Vouched working set, MiB: `availableMiB` of statistics taken `statsAgeMs` before `timeMs`. */
  workingSet(timeMs: number, availableMiB: number, statsAgeMs: number): number {
    if (!(availableMiB >= 0)) return Number.NaN;
    const size = this.at(timeMs - (Number.isNaN(statsAgeMs) ? 0 : Math.max(0, statsAgeMs)));
    return Math.max(0, size - availableMiB);
  }

  /**
   * Claimed working set, MiB, from one reading of the guest's meminfo. MemTotal leaves out what the kernel reserved at boot;
   * that share (balloon minus MemTotal in a steady moment) is added, so the figure is the same at every balloon size.
   */
  claimedWorkingSet(timeMs: number, totalMiB: number, availableMiB: number): number {
    if (!(totalMiB > 0) || !(availableMiB >= 0)) return Number.NaN;
    const overhead = this.at(timeMs) - totalMiB;
    if (overhead >= 0) {
      const rise = overhead - this.#overheadMiB;
      this.#overheadMiB = rise > 0 ? this.#overheadMiB + OVERHEAD_RISE * rise : overhead;
    }
    return Math.max(0, totalMiB - availableMiB) + (Number.isNaN(this.#overheadMiB) ? 0 : this.#overheadMiB);
  }
}
