/**
 * The control: tomorrow is like just now. The last observed value in every quantile at every horizon; no spread, no
 * season, nothing learnt. What every other forecaster has to beat.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { KeptState } from './kept-state.ts';

/** It has no idea how wrong it is; above the level under which a planner only grows, so that it may act at all. */
const CONFIDENCE = 0.5;

export class LastValueForecaster extends KeptState implements Forecaster {
  readonly name = 'last-value';
  protected readonly stateTag: string;
  /** Time and value of the newest point. */
  readonly #state = Float64Array.of(Number.NEGATIVE_INFINITY, Number.NaN);

  constructor(options: ForecasterOptions) {
    super();
    this.stateTag = `last-value 1 step=${options.stepMs}`;
  }

  protected get stateArrays(): Float64Array[] {
    return [this.#state];
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    if (!(point.timeMs > this.#state[0]!)) return;
    this.#state[0] = point.timeMs;
    this.#state[1] = point.value;
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const value = this.#state[1]!;
    if (Number.isNaN(value)) return null;
    const values = new Float64Array(horizons.length * quantiles.length).fill(value);
    return { quantiles, horizons, values, confidence: CONFIDENCE, explanation: 'the last value, held: no season, no margin' };
  }
}
