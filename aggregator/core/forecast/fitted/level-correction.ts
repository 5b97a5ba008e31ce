/**
 * Keeps a fitted path close to what has come since: the path's newest error and its smoothed error tell of the error some
 * steps ahead, by a regression on these two that is updated at each step (recursive least squares with forgetting; the
 * errors are treated as an ARMA(1, 1), as in Cochrane and Orcutt, JASA 44, 1949). Errors in, a correction out; pure arithmetic.
 */

/** Forgets half in this many steps: three days of five minutes. */
const KEEP = 2 ** (-1 / 864);
const SMOOTH_RATE = 0.2;
/** Before anything is known, as if this much had been seen (squared log units): errors mostly last. */
const PRIOR = 0.05;
const PRIOR_LASTS = 0.8;
/** Sums a lead: ee, es, ss, ef, sf. */
const SUMS = 5;

export class LevelCorrection {
  readonly sums: Float64Array;
  /** Newest error of the path, and its smoothed error. */
  readonly errors = new Float64Array(2);

  constructor(leads: number) {
    this.sums = new Float64Array(leads * SUMS);
    for (let lead = 0; lead < leads; lead++) this.sums.set([PRIOR, 0, PRIOR, PRIOR_LASTS * PRIOR, 0], lead * SUMS);
  }

  /** A new path: its errors begin with this one. */
  restart(error: number): void {
    this.errors.fill(error);
  }

  /** The path's error at the step that just came. */
  came(error: number): void {
    this.errors[0] = error;
    this.errors[1]! += SMOOTH_RATE * (error - this.errors[1]!);
  }

  /** `then` and `smooth` are the errors known `lead` ago, `error` what came of it. */
  learn(lead: number, then: number, smooth: number, error: number): void {
    const at = lead * SUMS;
    const { sums } = this;
    sums[at] = KEEP * sums[at]! + then * then;
    sums[at + 1] = KEEP * sums[at + 1]! + then * smooth;
    sums[at + 2] = KEEP * sums[at + 2]! + smooth * smooth;
    sums[at + 3] = KEEP * sums[at + 3]! + then * error;
    sums[at + 4] = KEEP * sums[at + 4]! + smooth * error;
  }

  /** What to add to the path `lead` ahead. */
  correction(lead: number): number {
    const at = lead * SUMS;
    const { sums } = this;
    // A thousandth of ridge: the two errors are nearly the same thing on a smooth series.
    const ee = sums[at]! * 1.001 + 1e-6;
    const ss = sums[at + 2]! * 1.001 + 1e-6;
    const es = sums[at + 1]!;
    const determinant = ee * ss - es * es;
    const a = (sums[at + 3]! * ss - sums[at + 4]! * es) / determinant;
    const b = (sums[at + 4]! * ee - sums[at + 3]! * es) / determinant;
    // Where the two were nearly the same, a and b are large and of opposite signs: a sudden error would be multiplied. Errors fade, they do not grow.
    const [error, smooth] = this.errors as unknown as [number, number];
    const most = Math.max(Math.abs(error), Math.abs(smooth));
    return Math.min(most, Math.max(-most, a * error + b * smooth));
  }
}
