/**
 * Looks for a repetition nobody told of: the autocorrelation of the history at every lag, a few lags a step, so that a scan
 * costs next to nothing and ends after some days of steps. History in, a lag in steps (or 0) out.
 */
import { LEAD_MAX } from './series-features.ts';
import type { StateArray } from './state-bytes.ts';
import { StateSlab } from './state-slab.ts';
import { MISSING, type StepHistory } from './step-history.ts';

/** Pairs compared per lag: enough for a standard error of 0.03. */
const PAIRS = 1000;
/** A lag is worth believing from this correlation on, and only if it rises this far above the dip before it. */
const CORRELATION_MIN = 0.35;
const RISE_MIN = 0.15;
/** A known season explains it unless the found lag is better by this much; a longer multiple must be better too. */
const BETTER_BY = 0.05;
/** Lags per step. */
const LAGS_PER_STEP = 1;
const S = { lag: 0, dip: 1, best: 2, bestLag: 3, known: 4, found: 5 } as const;

export class SeasonSearch {
  readonly #s: Float64Array;
  readonly #lagMax: number;

  constructor(capacity: number, slab = new StateSlab()) {
    this.#s = slab.float64(6);
    this.#lagMax = Math.floor(capacity / 3);
    this.#restart();
  }

  get arrays(): StateArray[] {
    return [this.#s];
  }

  #restart(): void {
    const s = this.#s;
    s[S.lag] = 4;
    s[S.dip] = 1;
    s[S.best] = 0;
    s[S.bestLag] = 0;
    s[S.known] = 0;
  }

  /** Goes on with the scan; returns the repetition believed in now, 0 = none. */
  advance(history: StepHistory, newest: number, shortSeason: number, longSeason: number): number {
    const s = this.#s;
    for (let i = 0; i < LAGS_PER_STEP; i++) {
      const lag = s[S.lag]!;
      if (lag > this.#lagMax || lag * 3 > newest) {
        if (s[S.lag]! > LEAD_MAX * 2) s[S.found] = s[S.best]! > s[S.known]! + BETTER_BY ? s[S.bestLag]! : 0;
        this.#restart();
        return s[S.found]!;
      }
      const r = correlation(history, newest, lag | 0);
      s[S.dip] = Math.min(s[S.dip]!, r);
      if (lag === shortSeason || lag === longSeason) s[S.known] = Math.max(s[S.known]!, r);
      if (r >= CORRELATION_MIN && r >= s[S.dip]! + RISE_MIN && r > s[S.best]! + (lag > s[S.bestLag]! * 1.5 ? BETTER_BY : 0)) {
        s[S.best] = r;
        s[S.bestLag] = lag;
      }
      s[S.lag] = lag + 1;
    }
    return s[S.found]!;
  }
}

/** Autocorrelation at a lag by way of squared differences over a strided sample; 0 when too little is known. */
function correlation(history: StepHistory, newest: number, lag: number): number {
  const { codes, mask } = history;
  const from = newest | 0;
  const span = Math.min(mask, from) - lag;
  // An odd stride, so that the sample does not itself beat with the lag.
  const stride = Math.max(1, Math.floor(span / PAIRS)) | 1;
  let n = 0;
  let sum = 0;
  let squares = 0;
  let differences = 0;
  for (let back = 0; back < span; back += stride) {
    const a = codes[(from - back) & mask]!;
    const b = codes[(from - back - lag) & mask]!;
    if (a === MISSING || b === MISSING) continue;
    n++;
    sum += a;
    squares += a * a;
    differences += (a - b) * (a - b);
  }
  if (n < 50) return 0;
  const variance = squares / n - (sum / n) * (sum / n);
  return variance > 0 ? 1 - differences / n / (2 * variance) : 0;
}
