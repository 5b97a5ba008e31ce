/**
 * The seam to models that are fitted to a window of history, not updated step by step: what is asked of a fit, and what it
 * gives back. A fit costs tenths of a second, so it is made elsewhere (worker threads live, in place in tests and
 * benchmarks); the forecaster asks when it wants one and serves from what the last one gave. Plain data, so that it crosses
 * threads.
 */
export type FitFamily = 'exponential-smoothing' | 'mstl' | 'prophet' | 'arima';

export interface FitRequest {
  family: FitFamily;
  /** The step of `values[0]`, counted from the series' first. */
  fromStep: number;
  stepMs: number;
  /** [steps] demand on a log scale, gaps filled by straight lines. */
  values: Float64Array;
  /** Seasons in steps, ascending, each at most half the window. */
  seasons: readonly number[];
  /** Steps of path wanted beyond the window. */
  ahead: number;
}

/**
 * What a fit learnt: a path of [1 + ahead] values on the request's scale, the first being what the model says of the
 * window's last step; null when the series gives nothing to fit (constant, degenerate). Never throws for a series' sake.
 */
export type Fitter = (request: FitRequest) => Float64Array | null;

/** A model that wants fits now and then. */
export interface Fitting {
  /** Whether a fit speaks for it by now. */
  readonly fitted: boolean;
  /** Whether it is time for the next one: as cheap to ask as `fitWanted` is not. */
  readonly fitDue: boolean;
  /** Null while it wants none. Asking changes nothing. */
  fitWanted(): FitRequest | null;
  /** Takes what came of its own request, at once or many steps later. */
  adoptFit(request: FitRequest, fit: Float64Array | null): void;
}

/** Fits made elsewhere. Rejects with CANCELLED once closed. */
export interface FitService {
  fit(request: FitRequest): Promise<{ fit: Float64Array | null; cpuSeconds: number }>;
  close(): Promise<void>;
}
