/**
 * What is known of one series at a moment, as numbers a model can use: recent values, maxima, levels, and what the same
 * phase of each season brought before. All on a logarithmic scale (relative errors matter) with a resolution below which
 * nothing is told apart. Values of finished steps in, feature rows out; no look-ahead: every feature of step t + h is built
 * from steps ≤ t.
 */

import type { StateArray } from './state-bytes.ts';
import { decode, encode, MISSING, StepHistory } from './step-history.ts';

/** Farthest step ahead that is modelled natively: an hour of five-minute steps. */
export const LEAD_MAX = 12;

/** Column of each feature in a row; every feature is a difference from the last value, NaN = not known yet. */
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
  foundSeason: 11,
  volatility: 12,
  peakSeason: 13,
} as const;
export const FEATURES = 14;
/** The first feature that depends on how far ahead one looks, and the end of those. */
const PHASE_FROM = FEATURE.seasonLast;
const PHASE_COUNT = 5;

/** Half-lives in steps: half an hour and a day of five-minute steps; both only have to be "short" and "long". */
const SMOOTH_RATE = 1 - 2 ** (-1 / 6);
const SLOW_RATE = 1 - 2 ** (-1 / 144);
const VOLATILITY_RATE = 1 - 2 ** (-1 / 48);
/** Cycles of the short season that are looked at: a week of days. */
const CYCLES_MAX = 7;
/** Steps of jitter allowed around a phase. */
const PHASE_RADIUS = 1;
/** Without a known resolution: this share of the largest value lately. */
const RESOLUTION_SHARE = 0.01;
/** The largest value is forgotten with this half-life. */
const PEAK_KEEP = 2 ** (-1 / 2048);
/** Phase rows are kept for the steps ahead: a power of two above LEAD_MAX. */
const AHEAD = 16;

export class SeriesFeatures {
  readonly history: StepHistory;
  /** Short and long season in steps, 0 = none; a third is found by the owner. */
  readonly shortSeason: number;
  readonly longSeason: number;
  readonly #phase = new Float32Array(AHEAD * PHASE_COUNT);
  readonly #s = new Float64Array(12);
  readonly #resolution: number;
  readonly #wide: number;

  constructor(seasons: readonly number[], resolution: number, capacity: number) {
    const usable = [...new Set(seasons)].filter((p) => p >= 2 && p + LEAD_MAX + PHASE_RADIUS < capacity).sort((a, b) => a - b);
    this.shortSeason = usable[0] ?? 0;
    this.longSeason = usable.length > 1 ? usable.at(-1)! : 0;
    this.history = new StepHistory(capacity);
    this.#resolution = resolution;
    this.#wide = Math.min(capacity, this.shortSeason > 72 ? this.shortSeason : 72);
    this.#s[S.newest] = -1;
    this.#s[S.epsilon] = resolution > 0 ? resolution : 0;
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

  /** Takes the value of a step after the newest. True when the scale itself moved. */
  push(step: number, value: number): boolean {
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
    this.#fillPhases(gap ? step + 1 : step + LEAD_MAX);
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
  }

  /** The features that depend on the step looked at, `ahead` steps after the newest. */
  fillAhead(row: Float32Array, at: number, ahead: number): void {
    const last = this.#s[S.last]!;
    if (ahead <= LEAD_MAX) {
      const from = ((this.newest + ahead) % AHEAD) * PHASE_COUNT;
      for (let i = 0; i < PHASE_COUNT; i++) row[at + PHASE_FROM + i] = this.#phase[from + i]! - last;
      return;
    }
    const far = new Float32Array(PHASE_COUNT);
    this.#phaseOf(this.newest + ahead, far, 0);
    for (let i = 0; i < PHASE_COUNT; i++) row[at + PHASE_FROM + i] = far[i]! - last;
  }

  #fillPhases(from: number): void {
    for (let step = from; step <= this.newest + LEAD_MAX; step++) this.#phaseOf(step, this.#phase, (step % AHEAD) * PHASE_COUNT);
  }

  #phaseOf(step: number, out: Float32Array, at: number): void {
    this.#shortPhase(step, out, at);
    out[at + FEATURE.longSeason - PHASE_FROM] = this.#y(this.#samePhase(step, this.longSeason));
    out[at + FEATURE.foundSeason - PHASE_FROM] = this.#y(this.#samePhase(step, this.#s[S.found]!));
  }

  /** Last cycle's peak around the phase, the peak of all remembered cycles, and their mean at the phase itself. */
  #shortPhase(step: number, out: Float32Array, at: number): void {
    const season = this.shortSeason;
    let latest = MISSING;
    let peak = MISSING;
    let sum = 0;
    let known = 0;
    if (season > 0) {
      const first = Math.ceil(LEAD_MAX / season) * season;
      for (let cycle = 0; cycle < CYCLES_MAX; cycle++) {
        const then = step - first - cycle * season;
        if (then < 0) break;
        const near = this.history.peakNear(then, PHASE_RADIUS);
        if (latest === MISSING) latest = near;
        if (near > peak) peak = near;
        const code = this.history.at(then);
        if (code !== MISSING) {
          sum += code;
          known++;
        }
      }
    }
    out[at + FEATURE.seasonLast - PHASE_FROM] = this.#y(latest);
    out[at + FEATURE.seasonPeak - PHASE_FROM] = this.#y(peak);
    out[at + FEATURE.seasonMean - PHASE_FROM] = known > 0 ? this.#y(Math.round(sum / known)) : Number.NaN;
  }

  /** Peak around the same phase one season back (or as many as it takes for it to be known). */
  #samePhase(step: number, season: number): number {
    if (season === 0) return MISSING;
    return this.history.peakNear(step - Math.ceil(LEAD_MAX / season) * season, PHASE_RADIUS);
  }

  #y(code: number): number {
    return code === MISSING ? Number.NaN : this.scaled(decode(code));
  }

  /** Largest value of the last `steps` steps, log scale. */
  #peak(steps: number): number {
    const { codes } = this.history;
    const newest = this.newest;
    let peak: number = MISSING;
    const oldest = Math.max(0, newest - steps + 1);
    for (let step = newest; step >= oldest; step--) {
      const code = codes[step % codes.length]!;
      if (code > peak) peak = code;
    }
    return this.scaled(decode(peak));
  }

  /** The resolution follows the largest value in powers of two, so that it rarely moves; averages move with it. */
  #setEpsilon(): boolean {
    if (this.#resolution > 0) return false;
    const s = this.#s;
    const wanted = s[S.peak]! > 0 ? 2 ** Math.round(Math.log2(s[S.peak]! * RESOLUTION_SHARE)) : 1e-6;
    const old = s[S.epsilon]!;
    if (wanted === old || (wanted < old && wanted * 2 >= old)) return false;
    s[S.epsilon] = wanted;
    if (s[S.count] === 0) return true;
    for (const i of [S.last, S.previous, S.smooth, S.slow]) s[i] = Math.log(Math.max(0, Math.exp(s[i]!) - old) + wanted);
    this.#fillPhases(this.newest + 1);
    return true;
  }
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
} as const;
