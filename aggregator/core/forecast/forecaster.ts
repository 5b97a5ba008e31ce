/**
 * The Forecaster seam: one model of one series (one VM and resource). Points are the *demand* of finished steps, in order;
 * a missing step is a gap, never zero. Deterministic, no clock, no I/O; cheap state that serialises.
 */
export interface ForecastPoint {
  /** Start of the step, UTC ms. */
  timeMs: number;
  /** Maximum demand within the step (cores, MiB, bytes/s); finite and ≥ 0. */
  value: number;
  /**
   * Demand of the VM's other resources in this step, each in its own unit, in the order of `othersOf` (heard.ts); NaN = unknown, absent =
   * none is known. A forecaster may listen to them.
   */
  others?: readonly number[];
}

export interface Forecast {
  /** Quantile levels, ascending, in (0, 1). */
  quantiles: readonly number[];
  /** Steps ahead, ascending; 1 = the step after the last one observed. */
  horizons: readonly number[];
  /** [horizons × quantiles], row-major; non-decreasing along quantiles; quantiles of the maximum demand in that one step. */
  values: Float64Array;
  /** 0..1: how much history and how well calibrated; under 0.2 the planner only grows. */
  confidence: number;
  /** For people: which experts matter, in words. */
  explanation: string;
}

export interface Forecaster {
  /** e.g. `aggregate`, `last-value`. */
  readonly name: string;
  /** Points must come in ascending time; a point at or before the last one is ignored. Non-finite values throw. */
  observe(point: ForecastPoint): void;
  /** Null until there is anything to say. */
  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null;
  /** Versioned bytes; `restore` of the same build reads them exactly, of another build refuses with STORE_CORRUPT. */
  serialise(): Uint8Array;
  readonly stateBytes: number;
}

export interface ForecasterOptions {
  stepMs: number;
  /** Known seasons (a day, a week; two minutes in the demo); others are discovered. */
  seasonsMs: readonly number[];
  /** Differences below this do not matter (headline unit), e.g. 1 % of the VM's size; absent = 1 % of its largest demand. */
  resolution?: number;
}

export type ForecasterFactory = {
  create(options: ForecasterOptions): Forecaster;
  restore(options: ForecasterOptions, bytes: Uint8Array): Forecaster;
};
