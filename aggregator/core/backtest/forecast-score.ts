/**
 * How good forecasts were, apart from what was decided on them. Input: a forecast made at each sample, then the samples;
 * output: pinball loss as a share of mean demand, and how often each quantile covered what came.
 */
import type { Forecast } from '../forecast/forecaster.ts';

export const SCORED_QUANTILES = [0.5, 0.9, 0.99] as const;
/** Minutes ahead. */
export const SCORED_MINUTES = [15, 60] as const;

export interface ForecastScore {
  minutesAhead: number;
  quantile: number;
  /** Mean pinball loss ÷ mean demand. */
  pinballLoss: number;
  coverage: number;
}

export class ForecastScorer {
  readonly #steps: readonly number[];
  readonly #stepMs: number;
  /** Forecasts by the sample they are about: start of it, ms → [horizon index, values]. */
  readonly #waiting = new Map<number, { horizon: number; values: Float64Array }[]>();
  readonly #loss: Float64Array;
  readonly #covered: Float64Array;
  readonly #seen: Float64Array;
  readonly #demand: Float64Array;

  constructor(stepMs: number) {
    this.#stepMs = stepMs;
    this.#steps = SCORED_MINUTES.map((minutes) => Math.max(1, Math.round((minutes * 60_000) / stepMs)));
    const cells = SCORED_MINUTES.length * SCORED_QUANTILES.length;
    this.#loss = new Float64Array(cells);
    this.#covered = new Float64Array(cells);
    this.#seen = new Float64Array(cells);
    this.#demand = new Float64Array(cells);
  }

  /** To ask the forecaster for, with SCORED_QUANTILES. */
  get horizons(): readonly number[] {
    return this.#steps;
  }

  /** A forecast made when the sample labelled `timeMs` was the newest. */
  expect(timeMs: number, forecast: Forecast): void {
    this.#steps.forEach((ahead, horizon) => {
      const at = timeMs + ahead * this.#stepMs;
      const values = forecast.values.slice(horizon * SCORED_QUANTILES.length, (horizon + 1) * SCORED_QUANTILES.length);
      const list = this.#waiting.get(at) ?? [];
      list.push({ horizon, values });
      this.#waiting.set(at, list);
    });
  }

  /** What came. `scored` false: forecasts about it are only dropped. */
  came(timeMs: number, value: number, scored: boolean): void {
    for (const { horizon, values } of this.#waiting.get(timeMs) ?? []) {
      if (!scored || Number.isNaN(value)) continue;
      SCORED_QUANTILES.forEach((q, j) => {
        const cell = horizon * SCORED_QUANTILES.length + j;
        const miss = value - values[j]!;
        this.#loss[cell]! += Math.max(q * miss, (q - 1) * miss);
        this.#covered[cell]! += miss <= 0 ? 1 : 0;
        this.#seen[cell]!++;
        this.#demand[cell]! += value;
      });
    }
    this.#waiting.delete(timeMs);
  }

  /** Mean demand of the samples scored at a horizon (its place in `horizons`). */
  meanDemand(horizon: number): number {
    const cell = horizon * SCORED_QUANTILES.length;
    return this.#demand[cell]! / this.#seen[cell]!;
  }

  /** Null where nothing was scored. */
  scores(): ForecastScore[] | null {
    if (this.#seen[0] === 0) return null;
    return SCORED_MINUTES.flatMap((minutesAhead, horizon) =>
      SCORED_QUANTILES.map((quantile, j) => {
        const cell = horizon * SCORED_QUANTILES.length + j;
        const demand = this.#demand[cell]!;
        return {
          minutesAhead,
          quantile,
          pinballLoss: demand > 0 ? this.#loss[cell]! / demand : 0,
          coverage: this.#covered[cell]! / this.#seen[cell]!,
        };
      }),
    );
  }
}
