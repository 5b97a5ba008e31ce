/**
 * The control: tomorrow is like just now. The last observed value in every quantile at every horizon; no spread, no
 * season, nothing learnt. What every other forecaster has to beat.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { packState, unpackState } from './state-bytes.ts';

/** It has no idea how wrong it is; above the level under which a planner only grows, so that it may act at all. */
const CONFIDENCE = 0.5;

export class LastValueForecaster implements Forecaster {
  readonly name = 'last-value';
  readonly #tag: string;
  /** Time and value of the newest point. */
  readonly #state = Float64Array.of(Number.NEGATIVE_INFINITY, Number.NaN);

  constructor(options: ForecasterOptions) {
    this.#tag = `last-value 1 step=${options.stepMs}`;
  }

  get stateBytes(): number {
    return this.#state.byteLength;
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

  serialise(): Uint8Array {
    return packState(this.#tag, [this.#state]);
  }

  /** STORE_CORRUPT when the bytes are another forecaster's. */
  restoreFrom(bytes: Uint8Array): void {
    unpackState(this.#tag, bytes, [this.#state]);
  }
}
