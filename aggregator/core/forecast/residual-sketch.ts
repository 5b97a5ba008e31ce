/**
 * What errors looked like lately: decaying histograms of residuals (log scale) on a grid that is fine near zero and wide in
 * the tails, and their quantiles. Many small sketches share one Float32Array. Residuals in, quantiles out; pure arithmetic.
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
  for (let i = 0; i < SKETCH_BINS; i++) bins[at + i] = weight * PRIOR[i]!;
}

/** Adds a residual to the sketch at `at` with a weight; the owner lets weights grow instead of all bins fade. */
export function addResidual(bins: Float32Array, at: number, residual: number, weight: number): void {
  bins[at + binOf(residual)]! += weight;
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

/** Scratch: weight of the bins up to and including each. */
const sums = new Float64Array(SKETCH_BINS);

/** Quantiles at ascending levels of the sketch at `at`, into `out` from `outAt`; linear within a bin. */
export function sketchQuantiles(bins: Float32Array, at: number, levels: readonly number[], out: Float32Array, outAt: number): void {
  let total = 0;
  for (let i = 0; i < SKETCH_BINS; i++) {
    total += bins[at + i]!;
    sums[i] = total;
  }
  let bin = 0;
  for (let j = 0; j < levels.length; j++) {
    const wanted = levels[j]! * total;
    while (bin < SKETCH_BINS - 1 && sums[bin]! < wanted) bin++;
    const mass = bins[at + bin]!;
    const below = bin > 0 ? sums[bin - 1]! : 0;
    const share = mass > 0 ? Math.min(1, Math.max(0, (wanted - below) / mass)) : 0;
    out[outAt + j] = EDGES[bin]! + share * (EDGES[bin + 1]! - EDGES[bin]!);
  }
}
