/**
 * A forecaster made of experts. Every finished step, each expert's earlier opinions are held against what came; its error
 * sketch, its weight in the mixture and the regression move; the mixture's own quantiles are then corrected so that they
 * cover as often as they say (adaptive conformal inference: Gibbs and Candès, NeurIPS 2021; in its quantile-tracking form,
 * Angelopoulos, Candès, Tibshirani, 2023). Points in, quantiles of the coming steps out. Fixed memory, no refitting.
 */
import { assert } from '../../../shared/assert.ts';
import { EXPERTS, type Expert, opinion } from './experts.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { Mixture } from './mixture.ts';
import { QuantileRegression } from './quantile-regression.ts';
import { addResidual, fillPrior, SKETCH_BINS, sketchQuantiles } from './residual-sketch.ts';
import { SeasonSearch } from './season-search.ts';
import { FEATURES, SeriesFeatures } from './series-features.ts';
import { bytesOf, packState, type StateArray, unpackState } from './state-bytes.ts';

/**
 * Steps ahead that are learnt. A horizon between two is judged by the wider of both: errors grow with the horizon, but not
 * where a series repeats within a few steps (at lead 12 of a period of 13 they are as small as at lead 1).
 */
const LEADS = [1, 2, 4, 12] as const;
/** Quantile levels that are learnt; others are interpolated on the logit scale. */
export const LEVELS = [0.1, 0.5, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.9995] as const;
const J = LEVELS.length;
/** The 0.95 level: speaks for the upper quantiles that decide, in confidence and explanation. */
const MID = 3;
const LOGITS = LEVELS.map((q) => Math.log(q / (1 - q)));
/** Longest history, steps, two bytes each: holds a week of five-minute steps. */
const HISTORY_MAX = 2048;
const HISTORY_MIN = 512;
/** Sketches forget half in so many cycles of the shortest season: five days, whose weekend is still half remembered on Monday. */
const SKETCH_HALF_LIFE_CYCLES = 5;
/** Weights of experts lose half in so many cycles. */
const MIXTURE_HALF_LIFE_CYCLES = 3.5;
/** Without a season: a day of five-minute steps stands in for a cycle. */
const CYCLE_STEPS = 288;
/** When the weight has grown to this, all sketches are scaled back: far from the end of a Float32's precision. */
const WEIGHT_MAX = 1e4;
/** Correction moved per step, as a share of the typical error: a miss of the 0.99 quantile adds about this much. */
const CORRECTION_RATE = 0.1;
const SCALE_RATE = 0.02;
const ROW = FEATURES + 1;
/** Cycles of the shortest season after which shrinking on a forecast is sensible. */
const CYCLES_TO_TRUST = 1.5;
/** With no season given: this many steps stand in for a cycle. */
const CYCLE_WITHOUT_SEASON = 24;

export interface ExpertSet {
  name: string;
  experts: readonly string[];
  regression: boolean;
  /** Look for repetitions that are not among the given seasons. */
  search: boolean;
  /** Adaptive conformal correction. */
  correct: boolean;
}

const PENDING = LEADS.reduce<number>((sum, lead) => sum + lead, 0);
const PENDING_AT = LEADS.map((_, i) => LEADS.slice(0, i).reduce<number>((sum, lead) => sum + lead, 0));
const S = { originMs: 0, covered: 1, weight: 2 } as const;

export class ExpertForecaster implements Forecaster {
  readonly name: string;
  readonly #options: ForecasterOptions;
  readonly #set: ExpertSet;
  readonly #experts: readonly Expert[];
  readonly #features: SeriesFeatures;
  readonly #regression: QuantileRegression;
  readonly #mixture: Mixture;
  readonly #search: SeasonSearch;
  readonly #bins: Float32Array;
  /** Each residual weighs this much more than the one before. */
  readonly #weightGrowth: number;
  readonly #corrections = new Float32Array(LEADS.length * J);
  readonly #scales = new Float32Array(LEADS.length).fill(0.1);
  readonly #pending = new Float32Array(PENDING * ROW);
  readonly #pendingSteps = new Int32Array(PENDING).fill(-1);
  readonly #awakeEver: Int32Array;
  readonly #s = new Float64Array(3);
  readonly #count: number;
  // Scratch, not state.
  readonly #quantiles: Float32Array;
  readonly #awake: Uint8Array;
  /** Residual quantiles [leads × experts × levels], and which leads' still hold: many horizons share a lead. */
  readonly #sketched: Float32Array;
  readonly #sketchedNow = new Uint8Array(LEADS.length);
  readonly #weights: Float64Array;
  readonly #regrets: Float64Array;
  readonly #mixed = new Float64Array(J);
  readonly #expected = new Float64Array(J);
  readonly #row = new Float32Array(ROW);

  constructor(options: ForecasterOptions, set: ExpertSet) {
    assert(options.stepMs > 0, `step length ${options.stepMs} ms must be positive`);
    this.name = set.name;
    this.#options = options;
    this.#set = set;
    this.#experts = EXPERTS.filter((expert) => set.experts.includes(expert.name));
    this.#count = this.#experts.length + (set.regression ? 1 : 0);
    const seasons = options.seasonsMs.map((ms) => Math.round(ms / options.stepMs));
    const wanted = Math.min(HISTORY_MAX, Math.max(HISTORY_MIN, 8 * Math.max(0, ...seasons)));
    const capacity = 2 ** Math.ceil(Math.log2(wanted));
    this.#features = new SeriesFeatures(seasons, options.resolution ?? 0, capacity);
    this.#regression = new QuantileRegression(set.regression ? LEADS.length : 0, LEVELS);
    const cycle = this.#features.shortSeason || CYCLE_STEPS;
    this.#weightGrowth = 2 ** (1 / (SKETCH_HALF_LIFE_CYCLES * cycle));
    this.#mixture = new Mixture(LEADS.length * J, this.#count, MIXTURE_HALF_LIFE_CYCLES * cycle);
    this.#search = new SeasonSearch(this.#features.history.codes.length);
    this.#bins = new Float32Array(LEADS.length * this.#experts.length * SKETCH_BINS);
    for (let i = 0; i < this.#bins.length; i += SKETCH_BINS) fillPrior(this.#bins, i, 1);
    this.#s[S.weight] = 1;
    this.#awakeEver = new Int32Array(LEADS.length);
    this.#quantiles = new Float32Array(this.#count * J);
    this.#awake = new Uint8Array(this.#count);
    this.#sketched = new Float32Array(LEADS.length * this.#experts.length * J);
    this.#weights = new Float64Array(this.#count);
    this.#regrets = new Float64Array(this.#count);
  }

  get #arrays(): StateArray[] {
    const { weights, squares } = this.#regression;
    const mixture = [this.#mixture.regrets, this.#mixture.squares];
    const own = [this.#bins, this.#corrections, this.#scales, this.#pending, this.#pendingSteps, this.#awakeEver, this.#s];
    return [...this.#features.arrays, ...this.#search.arrays, weights, squares, ...mixture, ...own];
  }

  get #tag(): string {
    return `${this.name} 1 step=${this.#options.stepMs} seasons=${this.#options.seasonsMs.join(',')} resolution=${this.#options.resolution ?? ''}`;
  }

  get stateBytes(): number {
    return bytesOf(this.#arrays);
  }

  serialise(): Uint8Array {
    return packState(this.#tag, this.#arrays);
  }

  /** Takes over what `serialise` gave; STORE_CORRUPT when it is another build's, or another series' step and seasons. */
  restoreFrom(bytes: Uint8Array): void {
    unpackState(this.#tag, bytes, this.#arrays);
    this.#features.restored();
    this.#sketchedNow.fill(0);
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    assert(Number.isFinite(point.timeMs), `a point needs a time, got ${point.timeMs}`);
    const features = this.#features;
    if (features.count === 0) this.#s[S.originMs] = point.timeMs;
    const step = Math.round((point.timeMs - this.#s[S.originMs]!) / this.#options.stepMs);
    if (step <= features.newest && features.count > 0) return;
    const rescaled = features.push(step, point.value);
    // Opinions on the old scale cannot be held against the new one.
    if (rescaled) this.#pendingSteps.fill(-1);
    for (let lead = 0; lead < LEADS.length; lead++) this.#judge(lead, step);
    if (this.#set.search) features.setFoundSeason(this.#search.advance(features.history, step, features.shortSeason, features.longSeason));
    this.#age();
    this.#note(step);
  }

  #age(): void {
    this.#s[S.weight]! *= this.#weightGrowth;
    if (this.#s[S.weight]! < WEIGHT_MAX) return;
    for (let i = 0; i < this.#bins.length; i++) this.#bins[i]! /= WEIGHT_MAX;
    this.#s[S.weight]! /= WEIGHT_MAX;
  }

  /** Holds the opinion given for this step LEADS[lead] steps ago against the truth, and learns. */
  #judge(lead: number, step: number): void {
    const slot = PENDING_AT[lead]! + (step % LEADS[lead]!);
    if (this.#pendingSteps[slot] !== step) return;
    const at = slot * ROW;
    const row = this.#pending;
    const last = row[at + FEATURES]!;
    const y = this.#features.last;
    this.#predict(lead, row, at);
    for (let j = 0; j < J; j++) this.#learnLevel(lead, j, y);
    const error = Math.abs(y - this.#mixed[1]!);
    this.#scales[lead]! += SCALE_RATE * (error - this.#scales[lead]!);
    if (lead === 0) this.#s[S.covered]! += SCALE_RATE * ((y <= this.#mixed[MID]! + this.#corrections[MID]! ? 1 : 0) - this.#s[S.covered]!);
    for (let j = 0; j < J; j++) this.#correct(lead, j, y);
    for (let k = 0; k < this.#experts.length; k++) {
      const base = last + opinion(this.#experts[k]!, row, at);
      if (!Number.isNaN(base)) addResidual(this.#bins, (lead * this.#experts.length + k) * SKETCH_BINS, y - base, this.#s[S.weight]!);
    }
    this.#sketchedNow[lead] = 0;
    if (this.#set.regression) {
      const k = this.#experts.length;
      for (let j = 0; j < J; j++) this.#quantiles[k * J + j]! -= last;
      this.#regression.learn(lead, row, at, y - last, this.#quantiles, k * J);
    }
  }

  #learnLevel(lead: number, j: number, y: number): void {
    const q = LEVELS[j]!;
    const group = lead * J + j;
    const gradient = (y < this.#mixed[j]! ? 1 : 0) - q;
    for (let k = 0; k < this.#count; k++) this.#regrets[k] = gradient * (this.#mixed[j]! - this.#quantiles[k * J + j]!);
    this.#mixture.learn(group, this.#awake, this.#regrets);
  }

  #correct(lead: number, j: number, y: number): void {
    if (!this.#set.correct) return;
    const at = lead * J + j;
    const missed = y > this.#mixed[j]! + this.#corrections[at]! ? 1 : 0;
    this.#corrections[at]! += CORRECTION_RATE * this.#scales[lead]! * (missed - (1 - LEVELS[j]!));
  }

  /** Writes down what is known now for the steps ahead that will be judged. */
  #note(step: number): void {
    for (let lead = 0; lead < LEADS.length; lead++) {
      const ahead = LEADS[lead]!;
      const slot = PENDING_AT[lead]! + ((step + ahead) % ahead);
      const at = slot * ROW;
      this.#features.fillNow(this.#pending, at);
      this.#features.fillAhead(this.#pending, at, ahead);
      this.#pending[at + FEATURES] = this.#features.last;
      this.#pendingSteps[slot] = step + ahead;
      this.#wake(lead, at);
    }
  }

  /** An expert's first opinion starts its sketch and resets the weights of its lead: see Mixture.reset. */
  #wake(lead: number, at: number): void {
    for (let k = 0; k < this.#experts.length; k++) {
      if (this.#awakeEver[lead]! & (1 << k) || Number.isNaN(opinion(this.#experts[k]!, this.#pending, at))) continue;
      this.#awakeEver[lead]! |= 1 << k;
      fillPrior(this.#bins, (lead * this.#experts.length + k) * SKETCH_BINS, this.#s[S.weight]!);
      this.#sketchedNow[lead] = 0;
      for (let j = 0; j < J; j++) this.#mixture.reset(lead * J + j);
    }
  }

  #sketch(lead: number): void {
    if (this.#sketchedNow[lead] === 1) return;
    const experts = this.#experts.length;
    for (let k = lead * experts; k < (lead + 1) * experts; k++) sketchQuantiles(this.#bins, k * SKETCH_BINS, LEVELS, this.#sketched, k * J);
    this.#sketchedNow[lead] = 1;
  }

  /** Every expert's quantiles and the mixture's, log scale, into the scratch arrays. */
  #predict(lead: number, row: Float32Array, at: number): void {
    const last = row[at + FEATURES]!;
    const experts = this.#experts.length;
    this.#sketch(lead);
    for (let k = 0; k < experts; k++) {
      const base = last + opinion(this.#experts[k]!, row, at);
      this.#awake[k] = Number.isNaN(base) ? 0 : 1;
      if (Number.isNaN(base)) continue;
      const from = (lead * experts + k) * J;
      for (let j = 0; j < J; j++) this.#quantiles[k * J + j] = this.#sketched[from + j]! + base;
    }
    if (this.#set.regression) {
      this.#awake[experts] = 1;
      this.#regression.predict(lead, row, at, this.#quantiles, experts * J);
      for (let j = 0; j < J; j++) this.#quantiles[experts * J + j]! += last;
    }
    for (let j = 0; j < J; j++) {
      this.#mixture.weights(lead * J + j, this.#awake, this.#weights);
      let sum = 0;
      for (let k = 0; k < this.#count; k++) if (this.#weights[k]! > 0) sum += this.#weights[k]! * this.#quantiles[k * J + j]!;
      this.#mixed[j] = sum;
    }
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const features = this.#features;
    if (features.count === 0) return null;
    const values = new Float64Array(horizons.length * quantiles.length);
    features.fillNow(this.#row, 0);
    this.#row[FEATURES] = features.last;
    horizons.forEach((ahead, i) => {
      features.fillAhead(this.#row, 0, ahead);
      this.#expect(ahead);
      quantiles.forEach((q, j) => {
        values[i * quantiles.length + j] = features.unscaled(interpolate(this.#expected, q));
      });
    });
    return { quantiles, horizons, values, confidence: this.#confidence(), explanation: this.#explain(horizons[0] ?? 1) };
  }

  /** Corrected quantiles of one horizon, in order, into `#expected`; the row is filled. */
  #expect(ahead: number): void {
    const lead = leadOf(ahead);
    const out = this.#expected;
    this.#predict(lead, this.#row, 0);
    for (let j = 0; j < J; j++) out[j] = this.#mixed[j]! + this.#corrections[lead * J + j]!;
    if (lead > 0 && ahead < LEADS[lead]!) {
      this.#predict(lead - 1, this.#row, 0);
      for (let j = 0; j < J; j++) {
        const other = this.#mixed[j]! + this.#corrections[(lead - 1) * J + j]!;
        if (LEVELS[j]! > 0.5) out[j] = Math.max(out[j]!, other);
        else if (LEVELS[j]! < 0.5) out[j] = Math.min(out[j]!, other);
      }
    }
    for (let j = 1; j < J; j++) out[j] = Math.max(out[j - 1]!, out[j]!);
  }

  #confidence(): number {
    const cycle = this.#features.shortSeason || CYCLE_WITHOUT_SEASON;
    const cycles = this.#features.count / cycle;
    if (cycles < CYCLES_TO_TRUST) return (0.19 * cycles) / CYCLES_TO_TRUST;
    const calibrated = Math.min(1, Math.max(0, this.#s[S.covered]! / LEVELS[MID]!));
    return Math.min(1, 0.4 + 0.6 * Math.min(1, cycles / 7)) * (0.5 + 0.5 * calibrated);
  }

  #explain(ahead: number): string {
    const lead = leadOf(ahead);
    const words = [...this.#experts.map((expert) => expert.words), 'a regression on recent values and past cycles'];
    this.#mixture.weights(lead * J + MID, this.#awake, this.#weights);
    const ranked = [...this.#weights.keys()].filter((k) => this.#weights[k]! >= 0.1).sort((a, b) => this.#weights[b]! - this.#weights[a]!);
    const parts = ranked.slice(0, 3).map((k) => `${words[k]} (${Math.round(this.#weights[k]! * 100)} %)`);
    return `from ${this.#features.count} steps: ${parts.length > 0 ? parts.join(', ') : 'all experts alike'}`;
  }
}

/** The learnt lead at or after a horizon; the last one beyond it. */
function leadOf(ahead: number): number {
  const found = LEADS.findIndex((lead) => lead >= ahead);
  return found < 0 ? LEADS.length - 1 : found;
}

/** Value at level q between the learnt levels, linear on the logit scale, held beyond the ends. */
function interpolate(values: Float64Array, q: number): number {
  const logit = Math.log(q / (1 - q));
  let j = 1;
  while (j < J - 1 && LOGITS[j]! < logit) j++;
  const share = Math.min(1, Math.max(0, (logit - LOGITS[j - 1]!) / (LOGITS[j]! - LOGITS[j - 1]!)));
  return values[j - 1]! + share * (values[j]! - values[j - 1]!);
}
