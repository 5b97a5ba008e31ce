/**
 * The fitted families in one place: a request in, its path out. Libraries refuse series that give nothing to fit (constant,
 * too short for the orders asked); that is no path, not an error of ours.
 */
import type { FitFamily, FitRequest, Fitter } from '../core/forecast/fitted/fit.ts';
import { fitArima } from './arima.ts';
import { fitProphet } from './prophet.ts';
import { fitMstl, fitSmoothing } from './smoothing.ts';

const FITTERS: Readonly<Record<FitFamily, (request: FitRequest) => Float64Array>> = {
  'exponential-smoothing': fitSmoothing,
  mstl: fitMstl,
  prophet: fitProphet,
  arima: fitArima,
};

/** Spread of a window (log scale) below which there is nothing to fit: a tenth of a percent. */
const SPREAD_MIN = 1e-3;

export const fitInPlace: Fitter = (request) => {
  const [least, most] = request.values.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)] as const, [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ] as readonly [number, number]);
  if (most - least < SPREAD_MIN) return null;
  try {
    return FITTERS[request.family](request);
  } catch {
    return null;
  }
};
