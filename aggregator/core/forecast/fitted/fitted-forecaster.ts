/**
 * A forecaster whose model is fitted now and then to a window of history. Between fits it serves from the path the last fit
 * gave, corrected by the errors seen since; its quantiles are those of its own past errors at each lead. Points and fits in,
 * quantiles of the coming steps out; a step costs microseconds. Before its first fit it holds the last value.
 */
import { assert } from '../../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from '../forecaster.ts';
import { KeptState, tagOf } from '../kept-state.ts';
import { addResidual, fillPrior, SKETCH_BINS, sketchQuantiles } from '../residual-sketch.ts';
import { SeasonSearch } from '../season-search.ts';
import { SeriesFeatures } from '../series-features.ts';
import type { StateArray } from '../state-bytes.ts';
import { decode } from '../step-history.ts';
import type { FitFamily, FitRequest, Fitter, Fitting } from './fit.ts';
import { fitWindow } from './fit-window.ts';
import { LevelCorrection } from './level-correction.ts';

/** Steps ahead whose errors are learnt; a horizon between two is judged by the later. */
const LEADS = [1, 2, 3, 4, 12] as const;
const HISTORY_STEPS = 2048;
const HISTORY_STEPS_MIN = 512;
/** Window of a fit, in short seasons. */
const WINDOW_CYCLES = 7;
/** Without a season: a day of five-minute steps stands in for one. */
const CYCLE_STEPS = 288;
/** Cycles seen before the first fit: seasons cannot be told from less than two. */
const CYCLES_MIN = 2;
/** Longest path kept, steps; beyond its end the last cycle repeats. */
const PATH_STEPS = 640;
const SKETCH_HALF_LIFE_CYCLES = 5;
const WEIGHT_MAX = 1e4;
const PENDING = LEADS.reduce<number>((sum, lead) => sum + lead, 0);
const PENDING_AT = LEADS.map((_, i) => LEADS.slice(0, i).reduce<number>((sum, lead) => sum + lead, 0));
/** What is written down of an opinion: the path's value, both errors of the path, the opinion itself. */
const NOTE = 4;
const S = { originMs: 0, weight: 1, pathStep: 2, pathSteps: 3, askedStep: 4, fits: 5 } as const;

export interface FittedFamily {
  name: FitFamily;
  /** How the explanation names it. */
  words: string;
}

/** References: each model's own adapter tells how it is fitted. */
export const PATH_FAMILIES: readonly FittedFamily[] = [
  { name: 'exponential-smoothing', words: 'exponential smoothing' },
  { name: 'mstl', words: 'a decomposition into trend and seasons' },
  { name: 'prophet', words: 'a curve of trend and daily shape' },
  { name: 'arima', words: 'an autoregressive moving average' },
];

export class FittedForecaster extends KeptState implements Forecaster, Fitting {
  readonly name: FitFamily;
  readonly #words: string;
  readonly #options: ForecasterOptions;
  readonly #fitter: Fitter | null;
  readonly #features: SeriesFeatures;
  readonly #search: SeasonSearch;
  readonly #correction = new LevelCorrection(LEADS.length);
  readonly #bins = new Float32Array(LEADS.length * SKETCH_BINS);
  readonly #path = new Float32Array(PATH_STEPS + 1);
  readonly #pending = new Float64Array(PENDING * NOTE);
  readonly #pendingSteps = new Int32Array(PENDING).fill(-1);
  readonly #s = new Float64Array(6);
  readonly #cycle: number;
  readonly #weightGrowth: number;

  /** With a fitter it is fitted in place, else whoever owns it looks at `fitWanted`. */
  constructor(options: ForecasterOptions, family: FittedFamily, fitter: Fitter | null = null) {
    super();
    assert(options.stepMs > 0, `step length ${options.stepMs} ms must be positive`);
    this.name = family.name;
    this.#words = family.words;
    this.#options = options;
    this.#fitter = fitter;
    const seasons = options.seasonsMs.map((ms) => Math.round(ms / options.stepMs));
    const wanted = Math.min(HISTORY_STEPS, Math.max(HISTORY_STEPS_MIN, 8 * Math.max(0, ...seasons)));
    this.#features = new SeriesFeatures(seasons, options.resolution ?? 0, 2 ** Math.ceil(Math.log2(wanted)));
    this.#search = new SeasonSearch(this.#features.history.codes.length);
    this.#cycle = this.#features.shortSeason || CYCLE_STEPS;
    this.#weightGrowth = 2 ** (1 / (SKETCH_HALF_LIFE_CYCLES * this.#cycle));
    for (let lead = 0; lead < LEADS.length; lead++) fillPrior(this.#bins, lead * SKETCH_BINS, 1);
    this.#s[S.weight] = 1;
    this.#s[S.askedStep] = -1;
  }

  protected get stateArrays(): StateArray[] {
    const own = [this.#bins, this.#path, this.#pending, this.#pendingSteps, this.#s];
    return [...this.#features.arrays, ...this.#search.arrays, this.#correction.sums, this.#correction.errors, ...own];
  }

  protected get stateTag(): string {
    return tagOf(this.name, 2, this.#options);
  }

  protected override restored(): void {
    this.#features.restored();
  }

  get fitted(): boolean {
    return this.#s[S.fits]! > 0;
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    const features = this.#features;
    if (features.count === 0) this.#s[S.originMs] = point.timeMs;
    const step = Math.round((point.timeMs - this.#s[S.originMs]!) / this.#options.stepMs);
    if (step <= features.newest && features.count > 0) return;
    // Opinions on an old scale cannot be held against the new one.
    if (features.push(step, point.value)) this.#pendingSteps.fill(-1);
    LEADS.forEach((_, lead) => {
      this.#judge(lead, step);
    });
    const { shortSeason, longSeason } = features;
    features.setFoundSeason(this.#search.advance(features.history, step, shortSeason, longSeason));
    this.#age();
    if (this.#s[S.pathSteps]! > 0) this.#correction.came(features.last - this.#pathAt(step));
    LEADS.forEach((_, lead) => {
      this.#note(lead, step);
    });
    const wanted = this.#fitter && this.fitWanted();
    if (this.#fitter && wanted) this.adoptFit(wanted, this.#fitter(wanted));
  }

  #age(): void {
    this.#s[S.weight]! *= this.#weightGrowth;
    if (this.#s[S.weight]! < WEIGHT_MAX) return;
    for (let i = 0; i < this.#bins.length; i++) this.#bins[i]! /= WEIGHT_MAX;
    this.#s[S.weight]! /= WEIGHT_MAX;
  }

  #judge(lead: number, step: number): void {
    const slot = PENDING_AT[lead]! + (step % LEADS[lead]!);
    if (this.#pendingSteps[slot] !== step) return;
    const [path, error, smooth, opinion] = this.#pending.subarray(slot * NOTE, (slot + 1) * NOTE) as unknown as number[];
    const y = this.#features.last;
    addResidual(this.#bins, lead * SKETCH_BINS, y - opinion!, this.#s[S.weight]!);
    if (!Number.isNaN(path!)) this.#correction.learn(lead, error!, smooth!, y - path!);
  }

  #note(lead: number, step: number): void {
    const ahead = LEADS[lead]!;
    const slot = PENDING_AT[lead]! + ((step + ahead) % ahead);
    this.#pendingSteps[slot] = step + ahead;
    const path = this.#s[S.pathSteps]! > 0 ? this.#pathAt(step + ahead) : Number.NaN;
    this.#pending.set([path, this.#correction.errors[0]!, this.#correction.errors[1]!, this.#opinion(ahead, lead)], slot * NOTE);
  }

  /** Where demand is believed to lie `ahead` steps after the newest, log scale. */
  #opinion(ahead: number, lead: number): number {
    if (this.#s[S.pathSteps] === 0) return this.#features.last;
    return this.#pathAt(this.#features.newest + ahead) + this.#correction.correction(lead);
  }

  /** The path at a step, log scale. */
  #pathAt(step: number): number {
    const end = this.#s[S.pathSteps]! - 1;
    let i = step - this.#s[S.pathStep]!;
    if (i > end) i -= Math.ceil((i - end) / this.#cycle) * this.#cycle;
    return this.#features.scaled(this.#path[Math.max(0, Math.min(i, end))]!);
  }

  get fitDue(): boolean {
    const asked = this.#s[S.askedStep]!;
    return this.#features.count >= CYCLES_MIN * this.#cycle && (asked < 0 || this.#features.newest - asked >= this.#cycle);
  }

  fitWanted(): FitRequest | null {
    if (!this.fitDue) return null;
    const features = this.#features;
    const { fromStep, values } = fitWindow(features, Math.min(features.history.codes.length, WINDOW_CYCLES * this.#cycle));
    const seasons = [features.foundSeason, features.shortSeason].filter((season) => season > 1 && 2 * season <= values.length);
    const ahead = Math.min(PATH_STEPS, 2 * this.#cycle + LEADS.at(-1)!);
    seasons.sort((a, b) => a - b);
    return { family: this.name, fromStep, stepMs: this.#options.stepMs, values, seasons, ahead };
  }

  adoptFit({ fromStep, values }: FitRequest, fit: Float64Array | null): void {
    const features = this.#features;
    const last = fromStep + values.length - 1;
    // Steps of a series that began anew since, or a fit overtaken by a newer one.
    if (last > features.newest || last < this.#s[S.askedStep]!) return;
    this.#s[S.askedStep] = last;
    if (fit === null || fit.length === 0 || !fit.every(Number.isFinite)) return;
    const [least, most] = bounds(values);
    const kept = Math.min(fit.length, this.#path.length);
    for (let i = 0; i < kept; i++) this.#path[i] = features.unscaled(Math.min(most, Math.max(least, fit[i]!)));
    this.#s[S.pathStep] = last;
    this.#s[S.pathSteps] = kept;
    this.#s[S.fits]!++;
    this.#correction.restart(values.at(-1)! - this.#pathAt(last));
    for (let step = last + 1; step <= features.newest; step++) {
      const value = decode(features.history.at(step));
      if (!Number.isNaN(value)) this.#correction.came(features.scaled(value) - this.#pathAt(step));
    }
    LEADS.forEach((_, lead) => {
      this.#note(lead, features.newest);
    });
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const features = this.#features;
    if (features.count === 0) return null;
    const values = new Float64Array(horizons.length * quantiles.length);
    const residuals = new Float32Array(quantiles.length);
    horizons.forEach((ahead, i) => {
      const found = LEADS.findIndex((lead) => lead >= ahead);
      const lead = found < 0 ? LEADS.length - 1 : found;
      const base = this.#opinion(ahead, lead);
      sketchQuantiles(this.#bins, lead * SKETCH_BINS, quantiles, residuals, 0);
      for (let j = 0; j < quantiles.length; j++) values[i * quantiles.length + j] = features.unscaled(base + residuals[j]!);
    });
    return { quantiles, horizons, values, confidence: this.#confidence(), explanation: this.#explain() };
  }

  #confidence(): number {
    const cycles = this.#features.count / this.#cycle;
    return this.#s[S.fits] === 0 ? Math.min(0.19, 0.1 * cycles) : Math.min(0.9, 0.3 + 0.1 * cycles);
  }

  #explain(): string {
    if (this.#s[S.fits] === 0) return `${this.#words}, not fitted yet: the last value, held`;
    return `${this.#words}, fitted ${this.#features.newest - this.#s[S.pathStep]!} steps ago, corrected by its errors since`;
  }
}

/** A fit that leaves the window's range by more than half of it has run away. */
function bounds(values: Float64Array): [number, number] {
  const least = values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const most = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const slack = (most - least) / 2;
  return [least - slack, most + slack];
}
