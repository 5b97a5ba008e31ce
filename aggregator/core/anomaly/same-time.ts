/**
 * What a series usually is at this time of day and week, and what it was at this time yesterday. Input: each value, in a
 * unit that keeps it within half precision, and its time; output: how far it is from each. Bins are means of what fell into
 * them; their number is fixed whatever the step.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { scaleAll } from './half-precision.ts';
import type { StateBlock } from './state-block.ts';

const DAY_MS = 86_400_000;
/** Half hours of the day, two hours of the week: finer bins learn slower and did not score better. */
const DAY_BINS = 48;
const WEEK_BINS = 84;
/** A bin goes this share of the way to each new value, and half of the way to its first. */
const GAIN = 0.08;
const FIRST_GAIN = 0.5;
/** A bin without history is taken to be what the series lately was. */
const LATELY_GAIN = 0.02;

/** Places in `#now`: the recent mean by gain, the open bin of yesterday's profile. */
const LATELY_DAY = 0;
const LATELY_WEEK = 1;
const BIN_SUM = 2;
const BIN_COUNT = 3;
const BIN = 4;
const NOTHING_YET = [Number.NaN, Number.NaN, 0, 0, -1];

export class SameTime {
  readonly #day: Float16Array;
  readonly #week: Float16Array;
  readonly #yesterday: Float16Array;
  readonly #now: Float32Array;
  readonly arrays: readonly StateArray[];
  /** The newest value less the usual one. */
  fromDay = 0;
  fromWeek = 0;
  /** Less the nearest of three neighbouring bins of yesterday; NaN without a yesterday. */
  fromYesterday = Number.NaN;

  constructor(block: StateBlock) {
    const [day, week, yesterday] = [block.float16(DAY_BINS), block.float16(WEEK_BINS), block.float16(DAY_BINS)];
    this.#day = day.halves.fill(Number.NaN);
    this.#week = week.halves.fill(Number.NaN);
    this.#yesterday = yesterday.halves.fill(Number.NaN);
    this.#now = block.float32(NOTHING_YET.length);
    this.#now.set(NOTHING_YET);
    this.arrays = [day.bits, week.bits, yesterday.bits, this.#now];
  }

  next(value: number, timeMs: number): void {
    const ofDay = timeMs / DAY_MS - Math.floor(timeMs / DAY_MS);
    const ofWeek = timeMs / (7 * DAY_MS) - Math.floor(timeMs / (7 * DAY_MS));
    this.fromDay = this.#fromUsual(this.#day, Math.floor(ofDay * DAY_BINS), LATELY_DAY, value);
    this.fromWeek = this.#fromUsual(this.#week, Math.floor(ofWeek * WEEK_BINS), LATELY_WEEK, value);
    this.#yesterdayNext(value, Math.floor(ofDay * DAY_BINS));
  }

  /** The unit of values became larger: what is kept shrinks by `factor`. */
  rescale(factor: number): void {
    for (const bins of [this.#day, this.#week, this.#yesterday]) scaleAll(bins, factor);
    for (const at of [LATELY_DAY, LATELY_WEEK, BIN_SUM]) this.#now[at]! *= factor;
  }

  #fromUsual(bins: Float16Array, bin: number, lately: number, value: number): number {
    const known = bins[bin]!;
    const isNew = Number.isNaN(known);
    const recent = this.#now[lately]!;
    const usual = isNew ? (Number.isNaN(recent) ? value : recent) : known;
    this.#now[lately] = Number.isNaN(recent) ? value : recent + (value - recent) * LATELY_GAIN;
    bins[bin] = usual + (value - usual) * (isNew ? FIRST_GAIN : GAIN);
    return value - usual;
  }

  #yesterdayNext(value: number, bin: number): void {
    const now = this.#now;
    if (bin !== now[BIN]) {
      if (now[BIN]! >= 0) this.#yesterday[now[BIN]!] = now[BIN_SUM]! / now[BIN_COUNT]!;
      now[BIN] = bin;
      now[BIN_SUM] = 0;
      now[BIN_COUNT] = 0;
    }
    now[BIN_SUM]! += value;
    now[BIN_COUNT]! += 1;
    let nearest = Number.NaN;
    for (let k = -1; k <= 1; k++) {
      const away = value - this.#yesterday[(bin + k + DAY_BINS) % DAY_BINS]!;
      if (!(Math.abs(away) >= Math.abs(nearest)) && !Number.isNaN(away)) nearest = away;
    }
    this.fromYesterday = nearest;
  }
}
