/**
 * A forecaster made of experts. Every finished step, each expert's earlier opinions are held against what came; its error
 * sketch, its weight in the mixture and the regression move; the mixture's own quantiles are then corrected so that they
 * cover as often as they say (adaptive conformal inference: Gibbs and Candès, NeurIPS 2021; in its quantile-tracking form,
 * Angelopoulos, Candès, Tibshirani, 2023). Points in, quantiles of the coming steps out. Fixed memory, no refitting.
 */
import { assert } from '../../../shared/assert.ts';
import { EXPERTS, type Expert } from './experts.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { KeptState, tagOf } from './kept-state.ts';
import { Mixture } from './mixture.ts';
import { QuantileRegression } from './quantile-regression.ts';
import { addResidual, fillPrior, SKETCH_BINS, sketchQuantiles } from './residual-sketch.ts';
import { SeasonSearch } from './season-search.ts';
import { FEATURES, PHASE_END, PHASE_FROM, SeriesFeatures } from './series-features.ts';
import type { StateArray } from './state-bytes.ts';
import { StateSlab } from './state-slab.ts';
import { Stirring } from './stirring.ts';
import { WaitingOpinions } from './waiting-opinions.ts';

/**
 * Steps ahead that are learnt. A horizon between two is judged by the wider of both: errors grow with the horizon, but not
 * where a series repeats within a few steps (at lead 12 of a period of 13 they are as small as at lead 1).
 */
const LEADS = [1, 2, 4, 12] as const;
/**
 * The farthest lead is judged in one step of four, drawn by a hash of the step, so that no rhythm of a VM (a burst every ten minutes) can
 * hide from it. Its errors overlap from step to step and teach little more when all are judged; a tick is a fifth cheaper.
 */
const SELDOM_LEAD = LEADS.length - 1;
const SELDOM_BITS = 2;
/** 2^32 over the golden ratio: multiplied by it, neighbouring steps fall far apart (Knuth, The Art of Computer Programming 3, 6.4). */
const HASH = 0x9e3779b1;

function isJudged(lead: number, step: number): boolean {
  return lead !== SELDOM_LEAD || Math.imul(Math.imul(step, HASH) ^ (step >>> 3), HASH) >>> (32 - SELDOM_BITS) === 0;
}

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

/** The explanation names the heaviest experts: so many, from this weight on. */
const NAMED_MAX = 3;
const NAMED_WEIGHT_MIN = 0.1;

export interface ExpertSet {
  name: string;
  experts: readonly string[];
  regression: boolean;
  /** Look for repetitions that are not among the given seasons. */
  search: boolean;
  /** Adaptive conformal correction. */
  correct: boolean;
}

/** Experts at most, the regression included. */
const MOST = EXPERTS.length + 1;
/**
 * Scratch, not state: shared by all forecasters, none of which is half-way through when another one runs. One each would be a
 * quarter more memory for a fleet, fetched from far away every tick.
 */
const quantilesNow = new Float32Array(MOST * J);
/** A constant, then a factor for each feature that depends on the step looked at. */
const LINE = 1 + PHASE_END - PHASE_FROM;
/** Mixtures as linear functions of the features [leads × levels × LINE], and up to which level each lead's hold (-1 = none). */
const linear = { lines: new Float64Array(LEADS.length * J * LINE), tops: new Int32Array(LEADS.length) };
const mixedNow = new Float64Array(J);
const expectedNow = new Float64Array(J);
const otherNow = new Float64Array(J);
const rowNow = new Float32Array(FEATURES + 1);
/** The row with unknown features as no difference. */
const knownNow = new Float64Array(FEATURES);

/**
 * Opinions of a lead that wait for their step at a time. Of the farthest one a few of a dozen are judged: nine at most in the first
 * hundred thousand steps; the tenth of an hour would not be noted.
 */
const WAITING = LEADS.map((lead, i) => (i === SELDOM_LEAD ? 9 : lead));
const S = { originMs: 0, covered: 1, weight: 2 } as const;

export class ExpertForecaster extends KeptState implements Forecaster {
  readonly name: string;
  readonly #options: ForecasterOptions;
  readonly #set: ExpertSet;
  readonly #experts: readonly Expert[];
  /** Each expert's feature column and its weight. */
  readonly #columns: Int32Array;
  readonly #shares: Float64Array;
  readonly #features: SeriesFeatures;
  readonly #regression: QuantileRegression;
  readonly #mixture: Mixture;
  readonly #search: SeasonSearch;
  readonly #stirring: Stirring;
  readonly #bins: Float32Array;
  /** Each residual weighs this much more than the one before. */
  readonly #weightGrowth: number;
  readonly #corrections: Float32Array;
  readonly #scales: Float32Array;
  readonly #waiting: WaitingOpinions;
  readonly #awakeEver: Int32Array;
  readonly #s: Float64Array;
  readonly #count: number;
  // Scratch, not state.
  /** Residual quantiles [leads × experts × levels], and which leads' still hold: many horizons share a lead. */
  readonly #sketched: Float32Array;
  readonly #sketchedNow: Uint8Array;
  /** Weights [leads × experts × levels], and which experts were awake (a bit each; -1 = not worked out). */
  readonly #weights: Float32Array;
  readonly #weighedAwake: Int32Array;

  constructor(options: ForecasterOptions, set: ExpertSet) {
    super();
    assert(options.stepMs > 0, `step length ${options.stepMs} ms must be positive`);
    this.name = set.name;
    this.#options = options;
    this.#set = set;
    this.#experts = EXPERTS.filter((expert) => set.experts.includes(expert.name));
    this.#columns = Int32Array.from(this.#experts, ({ term }) => term[0]);
    this.#shares = Float64Array.from(this.#experts, ({ term }) => term[1]);
    this.#count = this.#experts.length + (set.regression ? 1 : 0);
    const seasons = options.seasonsMs.map((ms) => Math.round(ms / options.stepMs));
    const wanted = Math.min(HISTORY_MAX, Math.max(HISTORY_MIN, 8 * Math.max(0, ...seasons)));
    const capacity = 2 ** Math.ceil(Math.log2(wanted));
    const slab = new StateSlab(this.stateTag);
    this.#features = new SeriesFeatures(seasons, options.resolution ?? 0, capacity, slab);
    this.#regression = new QuantileRegression(set.regression ? LEADS.length : 0, LEVELS, slab);
    const cycle = this.#features.shortSeason || CYCLE_STEPS;
    this.#weightGrowth = 2 ** (1 / (SKETCH_HALF_LIFE_CYCLES * cycle));
    this.#mixture = new Mixture(LEADS.length * J, this.#count, MIXTURE_HALF_LIFE_CYCLES * cycle, slab);
    this.#search = new SeasonSearch(this.#features.history.codes.length, slab);
    this.#stirring = new Stirring(slab);
    this.#bins = slab.float32(LEADS.length * this.#experts.length * SKETCH_BINS);
    for (let i = 0; i < this.#bins.length; i += SKETCH_BINS) fillPrior(this.#bins, i, 1);
    this.#corrections = slab.float32(LEADS.length * J);
    this.#scales = slab.float32(LEADS.length).fill(0.1);
    this.#waiting = new WaitingOpinions(WAITING, ROW, slab);
    this.#awakeEver = slab.int32(LEADS.length);
    this.#s = slab.float64(3);
    this.#s[S.weight] = 1;
    this.#weights = slab.float32(LEADS.length * this.#count * J);
    this.#weighedAwake = slab.int32(LEADS.length).fill(-1);
    this.#sketched = slab.float32(LEADS.length * this.#experts.length * J);
    this.#sketchedNow = slab.uint8(LEADS.length);
  }

  protected get stateArrays(): StateArray[] {
    const { weights, squares } = this.#regression;
    const mixture = [this.#mixture.regrets, this.#mixture.squares];
    const own = [this.#bins, this.#corrections, this.#scales, ...this.#waiting.arrays, this.#awakeEver, this.#s];
    return [...this.#features.arrays, ...this.#search.arrays, ...this.#stirring.arrays, weights, squares, ...mixture, ...own];
  }

  protected get stateTag(): string {
    return tagOf(this.name, 4, this.#options);
  }

  protected override restored(): void {
    this.#features.restored();
    this.#sketchedNow.fill(0);
    this.#weighedAwake.fill(-1);
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    assert(Number.isFinite(point.timeMs), `a point needs a time, got ${point.timeMs}`);
    const features = this.#features;
    if (features.count === 0) this.#s[S.originMs] = point.timeMs;
    const step = Math.round((point.timeMs - this.#s[S.originMs]!) / this.#options.stepMs);
    if (step <= features.newest && features.count > 0) return;
    const rescaled = features.push(step, point.value, point.others ? this.#stirring.advance(point.others) : 0);
    // Opinions on the old scale cannot be held against the new one.
    if (rescaled) this.#waiting.forgetAll();
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
    const slot = this.#waiting.placeOf(lead, step);
    if (slot < 0) return;
    const at = slot * ROW;
    const row = this.#waiting.rows;
    const last = row[at + FEATURES]!;
    const y = this.#features.last;
    const awake = this.#predict(lead, row, at);
    this.#mixture.learnLevels(lead * J, LEVELS, awake, y, quantilesNow, mixedNow);
    this.#weighedAwake[lead] = -1;
    const error = Math.abs(y - mixedNow[1]!);
    this.#scales[lead]! += SCALE_RATE * (error - this.#scales[lead]!);
    if (lead === 0) this.#s[S.covered]! += SCALE_RATE * ((y <= mixedNow[MID]! + this.#corrections[MID]! ? 1 : 0) - this.#s[S.covered]!);
    if (this.#set.correct) for (let j = 0; j < J; j++) this.#correct(lead, j, y);
    const experts = this.#experts.length;
    for (let k = 0; k < experts; k++) {
      if ((awake & (1 << k)) === 0) continue;
      const base = last + this.#shares[k]! * row[at + this.#columns[k]!]!;
      addResidual(this.#bins, (lead * experts + k) * SKETCH_BINS, y - base, this.#s[S.weight]!);
    }
    this.#sketchedNow[lead] = 0;
    if (this.#set.regression) {
      for (let j = 0; j < J; j++) quantilesNow[experts * J + j]! -= last;
      this.#regression.learn(lead, row, at, y - last, quantilesNow, experts * J);
    }
  }

  #correct(lead: number, j: number, y: number): void {
    const at = lead * J + j;
    const missed = y > mixedNow[j]! + this.#corrections[at]! ? 1 : 0;
    this.#corrections[at]! += CORRECTION_RATE * this.#scales[lead]! * (missed - (1 - LEVELS[j]!));
  }

  /** Writes down what is known now for the steps ahead that will be judged. */
  #note(step: number): void {
    this.#features.fillNow(rowNow, 0);
    rowNow[FEATURES] = this.#features.last;
    for (let lead = 0; lead < LEADS.length; lead++) {
      const ahead = LEADS[lead]!;
      if (!isJudged(lead, step + ahead)) continue;
      const slot = this.#waiting.take(lead, step + ahead, step);
      if (slot < 0) continue;
      const at = slot * ROW;
      this.#features.fillAhead(rowNow, 0, ahead);
      this.#waiting.rows.set(rowNow, at);
      this.#wake(lead, at);
    }
  }

  /** An expert's first opinion starts its sketch and resets the weights of its lead: see Mixture.reset. */
  #wake(lead: number, at: number): void {
    const experts = this.#experts.length;
    if (this.#awakeEver[lead]! === (1 << experts) - 1) return;
    for (let k = 0; k < experts; k++) {
      if ((this.#awakeEver[lead]! & (1 << k)) !== 0 || Number.isNaN(this.#waiting.rows[at + this.#columns[k]!]!)) continue;
      this.#awakeEver[lead]! |= 1 << k;
      fillPrior(this.#bins, (lead * this.#experts.length + k) * SKETCH_BINS, this.#s[S.weight]!);
      this.#sketchedNow[lead] = 0;
      for (let j = 0; j < J; j++) this.#mixture.reset(lead * J + j);
      this.#weighedAwake[lead] = -1;
    }
  }

  #sketch(lead: number): void {
    if (this.#sketchedNow[lead] === 1) return;
    const experts = this.#experts.length;
    for (let k = lead * experts; k < (lead + 1) * experts; k++) sketchQuantiles(this.#bins, k * SKETCH_BINS, LEVELS, this.#sketched, k * J);
    this.#sketchedNow[lead] = 1;
  }

  /** Weights of a lead's experts awake: worked out once between what it learns, for forecasting and for being judged. */
  #weigh(lead: number, awake: number): void {
    if (this.#weighedAwake[lead] === awake) return;
    this.#mixture.levelWeights(lead * J, J, awake, this.#weights, lead * this.#count * J);
    this.#weighedAwake[lead] = awake;
    linear.tops[lead] = -1;
  }

  /** The experts with an opinion on a noted row, a bit each. */
  #awakeIn(row: Float32Array, at: number): number {
    let awake = this.#set.regression ? 1 << this.#experts.length : 0;
    for (let k = 0; k < this.#experts.length; k++) if (!Number.isNaN(row[at + this.#columns[k]!]!)) awake |= 1 << k;
    return awake;
  }

  /** Quantiles of every expert awake and of the mixture, log scale, into the scratch; the experts awake, a bit each. */
  #predict(lead: number, row: Float32Array, at: number): number {
    const last = row[at + FEATURES]!;
    const experts = this.#experts.length;
    const awake = this.#awakeIn(row, at);
    this.#sketch(lead);
    this.#weigh(lead, awake);
    if (this.#set.regression) {
      for (let i = 0; i < FEATURES; i++) knownNow[i] = Number.isNaN(row[at + i]!) ? 0 : row[at + i]!;
      this.#regression.predict(lead, knownNow, quantilesNow, experts * J);
    }
    mixedNow.fill(0);
    for (let k = 0; k < this.#count; k++) {
      if ((awake & (1 << k)) === 0) continue;
      const base = k < experts ? last + this.#shares[k]! * row[at + this.#columns[k]!]! : last;
      const own = k < experts ? this.#sketched : quantilesNow;
      const from = k < experts ? (lead * experts + k) * J : experts * J;
      const weightsFrom = (lead * this.#count + k) * J;
      for (let j = 0; j < J; j++) {
        const quantile = own[from + j]! + base;
        quantilesNow[k * J + j] = quantile;
        mixedNow[j]! += this.#weights[weightsFrom + j]! * quantile;
      }
    }
    return awake;
  }

  /**
   * One lead's mixture for the row in scratch as a linear function of its features: experts and regression are linear in them,
   * and the weights of those awake sum to one. Levels up to `top`: [levels × LINE], the first the value where the features
   * that depend on the step are zero. Many horizons share a lead, and it is worked out once.
   */
  #linear(lead: number, awake: number, top: number): void {
    if (this.#weighedAwake[lead] === awake && linear.tops[lead]! >= top) return;
    const experts = this.#experts.length;
    this.#sketch(lead);
    this.#weigh(lead, awake);
    const { lines } = linear;
    for (let j = 0; j <= top; j++) {
      const out = (lead * J + j) * LINE;
      lines.fill(0, out, out + LINE);
      let constant = rowNow[FEATURES]!;
      if (this.#set.regression) {
        const share = this.#weights[(lead * this.#count + experts) * J + j]!;
        const { weights } = this.#regression;
        const from = (lead * J + j) * FEATURES;
        let same = 0;
        for (let i = 0; i < PHASE_FROM; i++) same += weights[from + i]! * knownNow[i]!;
        for (let i = PHASE_END; i < FEATURES; i++) same += weights[from + i]! * knownNow[i]!;
        for (let i = PHASE_FROM; i < PHASE_END; i++) lines[out + 1 + i - PHASE_FROM] = share * weights[from + i]!;
        constant += share * same;
      }
      for (let k = 0; k < experts; k++) {
        const weight = this.#weights[(lead * this.#count + k) * J + j]!;
        const column = this.#columns[k]!;
        constant += weight * this.#sketched[(lead * experts + k) * J + j]!;
        // What is the same for every step ahead goes into the constant: the row in scratch is of this moment.
        if (column < PHASE_FROM || column >= PHASE_END) constant += weight * this.#shares[k]! * knownNow[column]!;
        else lines[out + 1 + column - PHASE_FROM]! += weight * this.#shares[k]!;
      }
      lines[out] = constant;
    }
    linear.tops[lead] = top;
  }

  /** Corrected quantiles of one lead for the row in scratch, levels up to `top`, into `out`. */
  #expectLead(lead: number, top: number, out: Float64Array): void {
    this.#linear(lead, this.#awakeIn(rowNow, 0), top);
    const { lines } = linear;
    for (let j = 0; j <= top; j++) {
      const at = (lead * J + j) * LINE;
      let sum = lines[at]!;
      for (let i = PHASE_FROM; i < PHASE_END; i++) sum += lines[at + 1 + i - PHASE_FROM]! * knownNow[i]!;
      out[j] = sum + this.#corrections[lead * J + j]!;
    }
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const features = this.#features;
    if (features.count === 0) return null;
    const values = new Float64Array(horizons.length * quantiles.length);
    const places = quantiles.map(placeOf);
    const top = Math.max(...places.map(({ above }) => above));
    linear.tops.fill(-1);
    // What was noted for the next step holds all that is the same for every step ahead.
    rowNow.set(this.#waiting.rows.subarray(0, ROW));
    for (let i = 0; i < horizons.length; i++) {
      features.fillAhead(rowNow, 0, horizons[i]!);
      for (let f = 0; f < FEATURES; f++) knownNow[f] = Number.isNaN(rowNow[f]!) ? 0 : rowNow[f]!;
      this.#expect(horizons[i]!, top);
      for (let j = 0; j < places.length; j++) values[i * places.length + j] = features.unscaled(valueAt(expectedNow, places[j]!));
    }
    return { quantiles, horizons, values, confidence: this.#confidence(), explanation: this.#explain(horizons[0] ?? 1) };
  }

  /** Corrected quantiles of one horizon, in order, levels up to `top`, into the scratch; the row is filled. */
  #expect(ahead: number, top: number): void {
    const lead = leadOf(ahead);
    const out = expectedNow;
    this.#expectLead(lead, top, out);
    if (lead > 0 && ahead < LEADS[lead]!) {
      this.#expectLead(lead - 1, top, otherNow);
      for (let j = 0; j <= top; j++) {
        if (LEVELS[j]! > 0.5) out[j] = Math.max(out[j]!, otherNow[j]!);
        else if (LEVELS[j]! < 0.5) out[j] = Math.min(out[j]!, otherNow[j]!);
      }
    }
    for (let j = 1; j <= top; j++) out[j] = Math.max(out[j - 1]!, out[j]!);
  }

  #confidence(): number {
    const cycle = this.#features.shortSeason || CYCLE_WITHOUT_SEASON;
    const cycles = this.#features.count / cycle;
    if (cycles < CYCLES_TO_TRUST) return (0.19 * cycles) / CYCLES_TO_TRUST;
    const calibrated = Math.min(1, Math.max(0, this.#s[S.covered]! / LEVELS[MID]!));
    return Math.min(1, 0.4 + 0.6 * Math.min(1, cycles / 7)) * (0.5 + 0.5 * calibrated);
  }

  /** In words, which experts the upper quantiles of a horizon rest on; a forecast has just been made. */
  #explain(ahead: number): string {
    const lead = leadOf(ahead);
    this.#weigh(lead, Math.max(0, this.#weighedAwake[lead]!));
    const from = lead * this.#count * J + MID;
    let text = '';
    let named = 0;
    for (let n = 0; n < NAMED_MAX; n++) {
      let best = -1;
      let most = NAMED_WEIGHT_MIN;
      for (let k = 0; k < this.#count; k++) {
        const weight = this.#weights[from + k * J]!;
        if ((named & (1 << k)) !== 0 || weight < most || (best >= 0 && weight === most)) continue;
        best = k;
        most = weight;
      }
      if (best < 0) break;
      named |= 1 << best;
      const words = this.#experts[best]?.words ?? 'a regression on recent values, past cycles and other resources';
      text += `${n > 0 ? ', ' : ''}${words} (${Math.round(most * 100)} %)`;
    }
    return `from ${this.#features.count} steps: ${text || 'all experts alike'}`;
  }
}

/** The learnt lead at or after a horizon; the last one beyond it. */
function leadOf(ahead: number): number {
  const found = LEADS.findIndex((lead) => lead >= ahead);
  return found < 0 ? LEADS.length - 1 : found;
}

/** Where a level lies between two learnt ones, on the logit scale; held beyond the ends. */
function placeOf(q: number): { above: number; share: number } {
  const logit = Math.log(q / (1 - q));
  let above = 1;
  while (above < J - 1 && LOGITS[above]! < logit) above++;
  const share = (logit - LOGITS[above - 1]!) / (LOGITS[above]! - LOGITS[above - 1]!);
  return { above, share: Math.min(1, Math.max(0, share)) };
}

function valueAt(values: Float64Array, { above, share }: { above: number; share: number }): number {
  return values[above - 1]! + share * (values[above]! - values[above - 1]!);
}
