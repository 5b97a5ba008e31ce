/**
 * Turns a series into the signals of `signals.ts`. Input: each value with its time; output: one number a signal, in the
 * value's unit (the shapes' and spread's own), NaN where a signal has nothing to say yet. Moving means, a short ring, bins by
 * time and a sample of windows: all that is kept of the past.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { NearWindows } from './near-windows.ts';
import { SameTime } from './same-time.ts';
import { SIGNALS } from './signals.ts';
import type { StateBlock } from './state-block.ts';

const RING = 36;
const SHAPE = 6;
/** Spans of the moving means, in points. */
const LEVELS = [3, 8, 24, 48, 72, 144, 432] as const;
const MOVEMENTS = [8, 24, 72] as const;
const SPREAD_SPAN = 12;
/** Beyond so many equal values a series is as stuck as it can be: one that is always constant must not set records forever. */
const SAME_AGAIN_MAX = 24;
/** 16-bit floats end at 65,504: beyond this multiple of the unit a larger unit is taken. */
const UNITS_MAX = 2 ** 13;
/** Squares of signals are kept in 32-bit floats, which end at 3.4e38; no metric of a machine comes near. */
const VALUE_MAX = 1e17;

/** Places in `#means`: the levels, the movements, then these. */
const SPREAD_MEAN = LEVELS.length + MOVEMENTS.length;
const SPREAD_SQUARE = SPREAD_MEAN + 1;
const DAY_8 = SPREAD_MEAN + 2;
const DAY_36 = SPREAD_MEAN + 3;
const WEEK_8 = SPREAD_MEAN + 4;
const YESTERDAY_12 = SPREAD_MEAN + 5;
const SAME_AGAIN = SPREAD_MEAN + 6;
const MEANS = SPREAD_MEAN + 7;

/** Places in `#scalars`. */
const POINTS = 0;
const ORIGIN = 1;
const UNIT = 2;

const gainOf = (span: number): number => 2 / (span + 1);

export class SignalReader {
  /** The newest signals, in the order of `SIGNALS`. */
  readonly out = new Float64Array(SIGNALS.length);
  readonly #scalars: Float64Array;
  readonly #means: Float32Array;
  readonly #ring: Float32Array;
  readonly #sameTime: SameTime;
  readonly #short: NearWindows;
  readonly #long: NearWindows;
  readonly #window = new Float64Array(SHAPE);
  readonly arrays: readonly StateArray[];

  constructor(block: StateBlock) {
    this.#scalars = block.float64(3);
    this.#means = block.float32(MEANS);
    this.#ring = block.float32(RING);
    this.#sameTime = new SameTime(block);
    this.#short = new NearWindows(SHAPE, SHAPE, block);
    this.#long = new NearWindows(SHAPE, RING, block);
    const parts = [this.#sameTime, this.#short, this.#long].flatMap(({ arrays }) => arrays);
    this.arrays = [this.#scalars, this.#means, this.#ring, ...parts];
  }

  /** Differences below this are rounding: a millionth of where the series began. */
  get finest(): number {
    return Math.abs(this.#scalars[ORIGIN]!) * 1e-6 + 1e-12;
  }

  read(value: number, timeMs: number): void {
    const s = this.#scalars;
    const first = s[POINTS] === 0;
    const within = Math.min(VALUE_MAX, Math.max(-VALUE_MAX, value));
    if (first) s[ORIGIN] = within;
    const x = within - s[ORIGIN]!;
    const before = first ? x : this.#ring[(s[POINTS]! - 1) % RING]!;
    this.#fitUnit(x);
    this.#ring[s[POINTS]! % RING] = x;
    s[POINTS]! += 1;
    this.#levels(x, Math.abs(x - before));
    this.#times(x, timeMs);
    this.#windows();
    this.#means[SAME_AGAIN] = !first && Math.fround(x) === before ? this.#means[SAME_AGAIN]! + 1 : 0;
    this.out[25] = Math.log1p(Math.min(this.#means[SAME_AGAIN]!, SAME_AGAIN_MAX));
  }

  #levels(x: number, moved: number): void {
    const { out } = this;
    const m = this.#means;
    out[0] = x;
    out[1] = moved;
    out[2] = x - m[2]!;
    out[3] = x - m[4]!;
    // The change of a span is its mean less that of six spans, both before this point.
    for (let i = 0; i < LEVELS.length; i++) m[i]! += (x - m[i]!) * gainOf(LEVELS[i]!);
    out[4] = m[0]!;
    out[5] = m[2]!;
    out[6] = m[4]!;
    out[7] = m[1]! - m[3]!;
    out[8] = m[2]! - m[5]!;
    out[9] = m[4]! - m[6]!;
    for (let i = 0; i < MOVEMENTS.length; i++) {
      const at = LEVELS.length + i;
      m[at]! += (moved - m[at]!) * gainOf(MOVEMENTS[i]!);
      out[10 + i] = m[at]!;
    }
    const away = x - m[SPREAD_MEAN]!;
    m[SPREAD_MEAN]! += away * gainOf(SPREAD_SPAN);
    m[SPREAD_SQUARE]! += (away * away - m[SPREAD_SQUARE]!) * gainOf(SPREAD_SPAN);
    out[13] = Math.log(m[SPREAD_SQUARE]! + this.finest ** 2);
  }

  #times(x: number, timeMs: number): void {
    const { out } = this;
    const m = this.#means;
    const unit = this.#scalars[UNIT]! || 1;
    this.#sameTime.next(x / unit, timeMs);
    const day = this.#sameTime.fromDay * unit;
    const week = this.#sameTime.fromWeek * unit;
    const yesterday = this.#sameTime.fromYesterday * unit;
    m[DAY_8]! += (day - m[DAY_8]!) * gainOf(8);
    m[DAY_36]! += (day - m[DAY_36]!) * gainOf(36);
    m[WEEK_8]! += (week - m[WEEK_8]!) * gainOf(8);
    out[14] = day;
    out[15] = m[DAY_8]!;
    out[16] = m[DAY_36]!;
    out[17] = week;
    out[18] = m[WEEK_8]!;
    out[19] = yesterday;
    if (!Number.isNaN(yesterday)) m[YESTERDAY_12]! += (yesterday - m[YESTERDAY_12]!) * gainOf(12);
    out[20] = Number.isNaN(yesterday) ? Number.NaN : m[YESTERDAY_12]!;
  }

  #windows(): void {
    const points = this.#scalars[POINTS]!;
    this.out[21] = points < 6 ? Number.NaN : this.#lowest(6);
    this.out[22] = points < 24 ? Number.NaN : this.#lowest(24);
    this.out[23] = points < SHAPE ? Number.NaN : this.#short.next(this.#stretch(1));
    this.out[24] = points < RING ? Number.NaN : this.#long.next(this.#stretch(RING / SHAPE));
  }

  #lowest(span: number): number {
    const points = this.#scalars[POINTS]!;
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 1; i <= span; i++) lowest = Math.min(lowest, this.#ring[(points - i) % RING]!);
    return lowest;
  }

  /** The last `SHAPE` × `span` points as `SHAPE` means, oldest first, in the unit. */
  #stretch(span: number): Float64Array {
    const points = this.#scalars[POINTS]!;
    const unit = this.#scalars[UNIT]! || 1;
    for (let i = 0; i < SHAPE; i++) {
      let sum = 0;
      for (let j = 0; j < span; j++) sum += this.#ring[(points - (SHAPE - i) * span + j) % RING]!;
      this.#window[i] = sum / (span * unit);
    }
    return this.#window;
  }

  /** A power of two, so that a change of unit loses nothing but the smallest. */
  #fitUnit(x: number): void {
    const size = Math.abs(x);
    const unit = this.#scalars[UNIT]!;
    if (size === 0 || size <= unit * UNITS_MAX) return;
    const next = 2 ** Math.ceil(Math.log2(size) - (unit === 0 ? 3 : 10));
    this.#scalars[UNIT] = next;
    if (unit === 0) return;
    this.#sameTime.rescale(unit / next);
    this.#short.rescale(unit / next);
    this.#long.rescale(unit / next);
  }
}
