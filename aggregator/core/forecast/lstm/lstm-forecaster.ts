/**
 * The global network as a forecaster of one series: weights trained across VMs, shared by all; of its own it keeps the
 * features and the network's state. It speaks from the first hour of a VM on, since what it learnt is of others. Points in,
 * quantiles of the coming steps out.
 */
import { assert } from '../../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from '../forecaster.ts';
import { KeptState, tagOf } from '../kept-state.ts';
import { quantileBetween } from '../quantile-between.ts';
import { SeasonSearch } from '../season-search.ts';
import { SeriesFeatures } from '../series-features.ts';
import type { StateArray } from '../state-bytes.ts';
import { fillInputs } from './lstm-inputs.ts';
import { INPUTS, LSTM_LEADS, LSTM_LEVELS, type LstmStep, newStep, OUTPUTS, readLstm, stepLstm, WEIGHTS } from './lstm-network.ts';

const HISTORY_STEPS = 2048;
const LEVELS = LSTM_LEVELS.length;
/** Steps until the state has forgotten that it began at zero. */
const STEPS_TO_TRUST = 48;

export class LstmForecaster extends KeptState implements Forecaster {
  readonly name = 'lstm';
  readonly #weights: Float32Array;
  protected readonly stateTag: string;
  readonly #stepMs: number;
  readonly #features: SeriesFeatures;
  readonly #search = new SeasonSearch(HISTORY_STEPS);
  readonly #input = new Float32Array(INPUTS);
  #state: LstmStep = newStep();
  #next: LstmStep = newStep();
  /** Time of the first point. */
  readonly #origin = new Float64Array(1);
  readonly #out = new Float64Array(OUTPUTS);
  readonly #levels = new Float64Array(LEVELS);

  /** `weights` as trainLstm gave them. */
  constructor(options: ForecasterOptions, weights: Float32Array) {
    super();
    const { stepMs, seasonsMs, resolution = 0 } = options;
    assert(stepMs > 0, `step length ${stepMs} ms must be positive`);
    assert(weights.length === WEIGHTS, `the network has ${WEIGHTS} weights, not ${weights.length}`);
    this.#weights = weights;
    this.#stepMs = stepMs;
    this.stateTag = tagOf(this.name, 1, options);
    this.#features = new SeriesFeatures(
      seasonsMs.map((ms) => Math.round(ms / stepMs)),
      resolution,
      HISTORY_STEPS,
    );
  }

  protected get stateArrays(): StateArray[] {
    const { cell, output } = this.#state;
    return [...this.#features.arrays, ...this.#search.arrays, this.#input, cell, output, this.#origin];
  }

  protected override restored(): void {
    this.#features.restored();
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    const features = this.#features;
    if (features.count === 0) this.#origin[0] = point.timeMs;
    const step = Math.round((point.timeMs - this.#origin[0]!) / this.#stepMs);
    if (step <= features.newest && features.count > 0) return;
    features.push(step, point.value);
    const { shortSeason, longSeason } = features;
    features.setFoundSeason(this.#search.advance(features.history, step, shortSeason, longSeason));
    fillInputs(features, this.#input, 0);
    stepLstm(this.#weights, this.#input, 0, this.#state, this.#next);
    [this.#state, this.#next] = [this.#next, this.#state];
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const features = this.#features;
    if (features.count === 0) return null;
    readLstm(this.#weights, this.#input, 0, this.#state.output, this.#out);
    const values = new Float64Array(horizons.length * quantiles.length);
    horizons.forEach((ahead, i) => {
      const found = LSTM_LEADS.findIndex((lead) => lead >= ahead);
      const lead = found < 0 ? LSTM_LEADS.length - 1 : found;
      // The head's rows are learnt apart and may cross: in order they are no worse (Chernozhukov et al., Econometrica 78, 2010).
      this.#levels.set(this.#out.subarray(lead * LEVELS, (lead + 1) * LEVELS));
      this.#levels.sort();
      quantiles.forEach((q, j) => {
        values[i * quantiles.length + j] = features.unscaled(features.last + quantileBetween(LSTM_LEVELS, this.#levels, q));
      });
    });
    const confidence = Math.min(0.5, (0.5 * features.count) / STEPS_TO_TRUST);
    return { quantiles, horizons, values, confidence, explanation: 'a network trained on many VMs, and the last hours of this one' };
  }
}
