/**
 * Exponential smoothing and MSTL from `@bsull/augurs` (WebAssembly). Smoothing: the best additive state-space model by AICc
 * (Hyndman, Koehler, Ord, Snyder, "Forecasting with Exponential Smoothing", 2008), without a season: those of days are far
 * longer than such models bear. MSTL: seasons by repeated loess (Bandara, Hyndman, Bergmeir, "MSTL", 2021), the trend
 * smoothed exponentially. Fit requests in, paths out; null for a series they refuse.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { AutoETS, initSync as initEts } from '@bsull/augurs/ets';
import { initSync as initMstl, MSTL } from '@bsull/augurs/mstl';
import type { FitRequest } from '../core/forecast/fitted/fit.ts';

/** Level and trend, with additive errors, no season. */
const MODELS = 'AZN';
/** Newest steps that smoothing looks at: its memory is far shorter. */
const SMOOTHED_STEPS = 600;
const loaded = new Set<string>();

/** The bytes of a WebAssembly module of the package: read once a thread. */
export function augursModule(name: 'ets' | 'mstl' | 'prophet' | 'outlier'): { module: Uint8Array<ArrayBuffer> } {
  const script = createRequire(import.meta.url).resolve(`@bsull/augurs/${name}`);
  return { module: new Uint8Array(readFileSync(script.replace(/\.js$/, '_bg.wasm'))) };
}

function load(name: 'ets' | 'mstl'): void {
  if (loaded.has(name)) return;
  if (name === 'ets') initEts(augursModule('ets'));
  else initMstl(augursModule('mstl'));
  loaded.add(name);
}

export function fitSmoothing({ values, ahead }: FitRequest): Float64Array {
  load('ets');
  using model = new AutoETS(1, MODELS);
  const window = values.slice(-SMOOTHED_STEPS);
  model.fit(window);
  const { point } = model.predict(ahead);
  // A smoother says of the last step what it says of the next.
  return Float64Array.of(point[0]!, ...point);
}

export function fitMstl(request: FitRequest): Float64Array {
  if (request.seasons.length === 0) return fitSmoothing(request);
  load('mstl');
  using model = MSTL.ets(Uint32Array.from(request.seasons));
  model.fit(request.values);
  const { point } = model.predict(request.ahead);
  return Float64Array.of(model.predictInSample().point.at(-1)!, ...point);
}
