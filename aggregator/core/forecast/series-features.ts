/**
 * What is known of one series at a moment, as numbers a model can use: recent values, maxima, levels, and what the same
 * phase of each season brought before. All on a logarithmic scale (relative errors matter) with a resolution below which
 * nothing is told apart. Values of finished steps in, feature rows out; no look-ahead: every feature of step t + h is built
 * from steps ≤ t.
 */

import type { StateArray } from './state-bytes.ts';
import { StateSlab } from './state-slab.ts';
import { decode, encode, MISSING, StepHistory } from './step-history.ts';

/** Farthest step ahead that is modelled natively: an hour of five-minute steps. */
export const LEAD_MAX = 12;

/** Column of each feature in a row; every feature but the first and `stirring` is a difference from the last value, NaN = not known yet. */
export const FEATURE = {
  one: 0,
  previous: 1,
  peak3: 2,
  peak12: 3,
  smooth: 4,
  peak72: 5,
  slow: 6,
  seasonLast: 7,
  seasonPeak: 8,
  seasonMean: 9,
  longSeason: 10,
  foundLast: 11,
  foundPeak: 12,
  foundMean: 13,
  volatility: 14,
  peakSeason: 15,
  stirring: 16,
} as const;
export const FEATURES = 17;
/** The first feature that depends on how far ahead one looks, and the end of those. */
export const PHASE_FROM = FEATURE.seasonLast;
const PHASE_COUNT = 7;
export const PHASE_END = PHASE_FROM + PHASE_COUNT;

/** Half-lives in steps: half an hour and a day of five-minute steps; both only have to be "short" and "long". */
const SMOOTH_RATE = 1 - 2 ** (-1 / 6);
const SLOW_RATE = 1 - 2 ** (-1 / 144);
const VOLATILITY_RATE = 1 - 2 ** (-1 / 48);
/** Cycles of the short season that are looked at: a week of days. */
const CYCLES_MAX = 7;
/** Cycles of a found season: it may drift, so fewer (of 1 to 7, four were best on Azure's public traces). */
const FOUND_CYCLES_MAX = 4;
/** Steps of jitter allowed around a phase. */
const PHASE_RADIUS = 1;
/** Without a known resolution: this share of the largest value lately. */
const RESOLUTION_SHARE = 0.01;
/** Below this the history tells nothing apart; without a least one, a series of all but nothing would have none. */
const RESOLUTION_MIN = 2 ** -20;
/** The largest value is forgotten with this half-life. */
const PEAK_KEEP = 2 ** (-1 / 2048);
/** Phase rows are kept for the steps ahead: a power of two above LEAD_MAX. */
const AHEAD = 16;

export class SeriesFeatures {
  readonly history: StepHistory;
  /** Short and long season in steps, 0 = none; a third is found by the owner. */
  readonly shortSeason: number;
  readonly longSeason: number;
  readonly #phase: Float32Array;
  readonly #s: Float64Array;
  readonly #resolution: number;
  readonly #wide: number;

  constructor(seasons: readonly number[], resolution: number, capacity: number, slab = new StateSlab()) {
    const usable = [...new Set(seasons)].filter((p) => p >= 2 && p + LEAD_MAX + PHASE_RADIUS < capacity).sort((a, b) => a - b);
    this.shortSeason = usable[0] ?? 0;
    this.longSeason = usable.length > 1 ? usable.at(-1)! : 0;
    this.history = new StepHistory(capacity, slab);
    this.#phase = slab.float32(AHEAD * PHASE_COUNT);
    this.#s = slab.float64(12);
    this.#resolution = resolution;
    this.#wide = Math.min(capacity, Math.max(72, this.shortSeason));
    this.#s[S.newest] = -1;
    this.#s[S.epsilon] = Math.max(0, resolution);
  }

  get arrays(): StateArray[] {
    return [this.history.codes, this.#phase, this.#s];
  }

  /** After the arrays were filled from bytes. */
  restored(): void {
    this.history.seek(this.#s[S.newest]!);
  }

  get newest(): number {
    return this.#s[S.newest]!;
  }
  /** Steps observed, gaps not counted. */
  get count(): number {
    return this.#s[S.count]!;
  }
  /** Last value, log scale. */
  get last(): number {
    return this.#s[S.last]!;
  }
  get lastValue(): number {
    return this.#s[S.lastValue]!;
  }
  get foundSeason(): number {
    return this.#s[S.found]!;
  }
  setFoundSeason(steps: number): void {
    if (steps === this.#s[S.found]) return;
    this.#s[S.found] = steps;
    this.#fillPhases(this.newest + 1);
  }

  /** A value (headline unit) on the log scale, and back. */
  scaled(value: number): number {
    return Math.log(value + this.#s[S.epsilon]!);
  }
  unscaled(y: number): number {
    return Math.max(0, Math.exp(y) - this.#s[S.epsilon]!);
  }

  /** Takes the value of a step after the newest, and how much other resources rose in it. True when the scale itself moved. */
  push(step: number, value: number, stirring = 0): boolean {
    const s = this.#s;
    const gap = step - s[S.newest]! > 1;
    s[S.peak] = Math.max(value, s[S.peak]! * PEAK_KEEP);
    const rescaled = this.#setEpsilon();
    this.history.push(step, encode(value));
    s[S.newest] = step;
    s[S.count]!++;
    const y = this.scaled(value);
    if (s[S.count] === 1) {
      s[S.smooth] = s[S.slow] = s[S.last] = y;
    }
    // Early on the averages are plain means, so that the first value does not linger.
    const learn = 1 / s[S.count]!;
    s[S.volatility]! += Math.max(VOLATILITY_RATE, learn) * (Math.abs(y - s[S.last]!) - s[S.volatility]!);
    s[S.smooth]! += Math.max(SMOOTH_RATE, learn) * (y - s[S.smooth]!);
    s[S.slow]! += Math.max(SLOW_RATE, learn) * (y - s[S.slow]!);
    s[S.previous] = s[S.last]!;
    s[S.last] = y;
    s[S.lastValue] = value;
    s[S.stirring] = stirring;
    // After the first value all coming phases are filled: an unfilled one would read as a demand of one, not as unknown.
    this.#fillPhases(gap || s[S.count] === 1 ? step + 1 : step + LEAD_MAX);
    return rescaled;
  }

  /** The features that are the same for every step ahead, into `row` at `at`. */
  fillNow(row: Float32Array, at: number): void {
    const s = this.#s;
    const last = s[S.last]!;
    row[at + FEATURE.one] = 1;
    row[at + FEATURE.previous] = s[S.previous]! - last;
    row[at + FEATURE.peak3] = this.#peak(3) - last;
    row[at + FEATURE.peak12] = this.#peak(12) - last;
    row[at + FEATURE.smooth] = s[S.smooth]! - last;
    row[at + FEATURE.peak72] = this.#peak(72) - last;
    row[at + FEATURE.slow] = s[S.slow]! - last;
    row[at + FEATURE.volatility] = s[S.volatility]!;
    row[at + FEATURE.peakSeason] = this.#peak(this.#wide) - last;
    row[at + FEATURE.stirring] = s[S.stirring]!;
  }

  /** The features that depend on the step looked at, `ahead` steps after the newest. */
  fillAhead(row: Float32Array, at: number, ahead: number): void {
    const last = this.#s[S.last]!;
    if (ahead <= LEAD_MAX) {
      const from = ((this.newest + ahead) & (AHEAD - 1)) * PHASE_COUNT;
      for (let i = 0; i < PHASE_COUNT; i++) row[at + PHASE_FROM + i] = this.#phase[from + i]! - last;
      return;
    }
    const far = new Float32Array(PHASE_COUNT);
    this.#phaseOf(this.newest + ahead, far, 0);
    for (let i = 0; i < PHASE_COUNT; i++) row[at + PHASE_FROM + i] = far[i]! - last;
  }

  #fillPhases(from: number): void {
    for (let step = from; step <= this.newest + LEAD_MAX; step++) this.#phaseOf(step, this.#phase, (step & (AHEAD - 1)) * PHASE_COUNT);
  }

  #phaseOf(step: number, out: Float32Array, at: number): void {
    this.#cycles(step, this.shortSeason, CYCLES_MAX, out, at + FEATURE.seasonLast - PHASE_FROM);
    this.#cycles(step, this.#s[S.found]!, FOUND_CYCLES_MAX, out, at + FEATURE.foundLast - PHASE_FROM);
    const season = this.longSeason;
    out[at + FEATURE.longSeason - PHASE_FROM] =
      season > 0 ? this.#y(this.history.peakNear(step - known(season), PHASE_RADIUS)) : Number.NaN;
  }

  /** Three numbers from `at` on: the last cycle's peak around the phase, that of all cycles, and their mean at the phase itself. */
  #cycles(step: number, season: number, cycles: number, out: Float32Array, at: number): void {
    let latest = MISSING;
    let peak = MISSING;
    let sum = 0;
    let seen = 0;
    for (let cycle = 0; season > 0 && cycle < cycles; cycle++) {
      const then = step - known(season) - cycle * season;
      if (then < 0) break;
      const near = this.history.peakNear(then, PHASE_RADIUS);
      if (latest === MISSING) latest = near;
      peak = Math.max(peak, near);
      const code = this.history.at(then);
      if (code !== MISSING) {
        sum += code;
        seen++;
      }
    }
    out[at] = this.#y(latest);
    out[at + 1] = this.#y(peak);
    out[at + 2] = seen > 0 ? this.#y(Math.round(sum / seen)) : Number.NaN;
  }

  #y(code: number): number {
    return code === MISSING ? Number.NaN : this.scaled(decode(code));
  }

  /** Largest value of the last `steps` steps, log scale. */
  #peak(steps: number): number {
    return this.scaled(decode(this.history.peakOf(steps)));
  }

  /** The resolution follows the largest value in powers of two, so that it rarely moves; averages move with it. */
  #setEpsilon(): boolean {
    if (this.#resolution > 0) return false;
    const s = this.#s;
    const wanted = 2 ** Math.round(Math.log2(Math.max(RESOLUTION_MIN, s[S.peak]! * RESOLUTION_SHARE)));
    const old = s[S.epsilon]!;
    if (wanted === old || (wanted < old && wanted * 2 >= old)) return false;
    s[S.epsilon] = wanted;
    if (s[S.count] === 0) return true;
    for (const i of [S.last, S.previous, S.smooth, S.slow]) s[i] = Math.log(Math.max(0, Math.exp(s[i]!) - old) + wanted);
    this.#fillPhases(this.newest + 1);
    return true;
  }
}

/** As many whole seasons back as it takes for every step ahead to look at the known. */
function known(season: number): number {
  return Math.ceil(LEAD_MAX / season) * season;
}

/** Places of the scalars. */
const S = {
  newest: 0,
  count: 1,
  last: 2,
  previous: 3,
  smooth: 4,
  slow: 5,
  volatility: 6,
  epsilon: 7,
  peak: 8,
  found: 9,
  lastValue: 10,
  stirring: 11,
} as const;
