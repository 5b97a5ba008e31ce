/**
 * What errors looked like lately: decaying histograms of residuals (log scale) on a grid that is fine near zero and wide in
 * the tails, and their quantiles. A sketch keeps for each bin the weight of it and all above it: adding is a short run of sums, reading needs
 * none. Many small sketches share one Float32Array. Residuals in, quantiles out; pure arithmetic.
 */

/** Bins below zero are coarse: nobody allocates by how far demand stayed under. */
const BINS_BELOW = 10;
const BINS_ABOVE = 22;
export const SKETCH_BINS = BINS_BELOW + BINS_ABOVE;
/** Residuals below this are one bin: 1 % is under the noise of any demand estimate. */
const FINE = 0.01;
/** The outermost edge: e^6 = 400 ×. */
const RANGE = 6;
const STRETCH = Math.asinh(RANGE / FINE);

/** Edges of the bins, ascending, SKETCH_BINS + 1 of them. */
const EDGES = Float64Array.from({ length: SKETCH_BINS + 1 }, (_, i) =>
  i < BINS_BELOW
    ? -FINE * Math.sinh((STRETCH * (BINS_BELOW - i)) / BINS_BELOW)
    : FINE * Math.sinh((STRETCH * (i - BINS_BELOW)) / BINS_ABOVE),
);

/** Before anything is known: a Laplace distribution of this scale (10 %) with the weight of this many residuals. */
const PRIOR_SCALE = 0.1;
const PRIOR_WEIGHT = 1;
const PRIOR = Float64Array.from({ length: SKETCH_BINS }, (_, i) => PRIOR_WEIGHT * (laplace(EDGES[i + 1]!) - laplace(EDGES[i]!)));

function laplace(x: number): number {
  return x < 0 ? 0.5 * Math.exp(x / PRIOR_SCALE) : 1 - 0.5 * Math.exp(-x / PRIOR_SCALE);
}

/** Starts a sketch; `weight` is what a residual weighs at this time. */
export function fillPrior(bins: Float32Array, at: number, weight: number): void {
  let above = 0;
  for (let i = SKETCH_BINS - 1; i >= 0; i--) {
    above += weight * PRIOR[i]!;
    bins[at + i] = above;
  }
}

/** Adds a residual to the sketch at `at` with a weight; the owner lets weights grow instead of all bins fade. */
export function addResidual(bins: Float32Array, at: number, residual: number, weight: number): void {
  for (let i = at + binOf(residual); i >= at; i--) bins[i]! += weight;
}

/** The last bin whose lower edge is not above the residual. */
function binOf(residual: number): number {
  let from = 0;
  let to = SKETCH_BINS;
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (residual >= EDGES[middle]!) from = middle;
    else to = middle;
  }
  return from;
}

/** Quantiles at ascending levels of the sketch at `at`, into `out` from `outAt`; linear within a bin. */
export function sketchQuantiles(bins: Float32Array, at: number, levels: readonly number[], out: Float32Array, outAt: number): void {
  const total = bins[at]!;
  let bin = SKETCH_BINS - 1;
  // Weight of the bins above this one, and with it.
  let above = 0;
  let here = bins[at + bin]!;
  for (let j = levels.length - 1; j >= 0; j--) {
    const wanted = total - levels[j]! * total;
    while (bin > 0 && here <= wanted) {
      above = here;
      here = bins[at + --bin]!;
    }
    const mass = here - above;
    const share = mass > 0 ? Math.min(1, Math.max(0, (here - wanted) / mass)) : 0;
    out[outAt + j] = EDGES[bin]! + share * (EDGES[bin + 1]! - EDGES[bin]!);
  }
}
