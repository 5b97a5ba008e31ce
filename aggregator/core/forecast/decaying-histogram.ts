/**
 * A decaying histogram of demand, as Kubernetes' Vertical Pod Autoscaler recommends from (autoscaler repository,
 * vertical-pod-autoscaler/pkg/recommender/util/decaying_histogram.go): exponential buckets 5 % apart, weights that halve
 * every day, a quantile reported as the end of its bucket. The same forecast at every horizon. The baseline an aggregate
 * must never lose to.
 */
import { assert } from '../../../shared/assert.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { KeptState } from './kept-state.ts';
import { CODES, decode, encode } from './step-history.ts';

/** 5 % per bucket, as in the original, in codes of the logarithmic scale. */
const CODES_PER_BUCKET = 73;
const BUCKETS = Math.ceil(CODES / CODES_PER_BUCKET);
const HALF_LIFE_MS = 24 * 3600 * 1000;
/** History after which its lower and upper bounds have narrowed in the original: a day. */
const TRUSTED_MS = 24 * 3600 * 1000;

export class DecayingHistogramForecaster extends KeptState implements Forecaster {
  readonly name = 'decaying-histogram';
  protected readonly stateTag: string;
  readonly #halfLifeMs: number;
  readonly #weights = new Float64Array(BUCKETS);
  /** First and newest time. */
  readonly #times = Float64Array.of(Number.NaN, Number.NEGATIVE_INFINITY);

  constructor(options: ForecasterOptions) {
    super();
    // Where the "day" of a workload is shorter, so is its memory.
    this.#halfLifeMs = Math.min(HALF_LIFE_MS, ...options.seasonsMs);
    this.stateTag = `decaying-histogram 1 step=${options.stepMs} half-life=${this.#halfLifeMs}`;
  }

  protected get stateArrays(): Float64Array[] {
    return [this.#weights, this.#times];
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    const since = point.timeMs - this.#times[1]!;
    if (!(since > 0)) return;
    if (Number.isFinite(since)) {
      const keep = 2 ** (-since / this.#halfLifeMs);
      for (let i = 0; i < BUCKETS; i++) this.#weights[i]! *= keep;
    } else this.#times[0] = point.timeMs;
    this.#weights[Math.floor(encode(point.value) / CODES_PER_BUCKET)]! += 1;
    this.#times[1] = point.timeMs;
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const total = this.#weights.reduce((sum, weight) => sum + weight, 0);
    if (total === 0) return null;
    const values = new Float64Array(horizons.length * quantiles.length);
    let bucket = 0;
    let below = this.#weights[0]!;
    quantiles.forEach((q, j) => {
      while (bucket < BUCKETS - 1 && below < q * total) below += this.#weights[++bucket]!;
      const end = decode(Math.min(CODES, (bucket + 1) * CODES_PER_BUCKET));
      for (let i = 0; i < horizons.length; i++) values[i * quantiles.length + j] = end;
    });
    const seenMs = this.#times[1]! - this.#times[0]!;
    const confidence = 0.5 * Math.min(1, seenMs / Math.min(TRUSTED_MS, this.#halfLifeMs));
    return { quantiles, horizons, values, confidence, explanation: 'a decaying histogram of demand, the same at every time of day' };
  }
}
