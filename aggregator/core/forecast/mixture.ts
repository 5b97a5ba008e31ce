/**
 * Online aggregation of experts under pinball loss: ML-Poly (Gaillard, Stoltz, van Erven, "A second-order bound with excess
 * losses", COLT 2014, as in the opera package), which needs no tuned rate and drops an expert whose regret is not positive.
 * Experts may sleep (no opinion yet): they neither gain nor lose. Regrets fade, so that an expert can come back.
 */

/** Regrets lose half their weight in about 1,000 steps: three and a half days of five-minute steps. */
const KEEP = 2 ** (-1 / 1000);

export class Mixture {
  /** [groups × experts] each: cumulative regret against the mixture, and its squares. */
  readonly regrets: Float32Array;
  readonly squares: Float32Array;
  readonly #experts: number;

  constructor(groups: number, experts: number) {
    this.#experts = experts;
    this.regrets = new Float32Array(groups * experts);
    this.squares = new Float32Array(groups * experts);
  }

  /** Weights of one group (a lead and quantile level) into `out`; `awake[k]` is 0 for an expert without an opinion. */
  weights(group: number, awake: Uint8Array, out: Float64Array): void {
    const n = this.#experts;
    const at = group * n;
    let total = 0;
    let awakeCount = 0;
    for (let k = 0; k < n; k++) {
      const regret = this.regrets[at + k]!;
      const weight = awake[k] && regret > 0 ? regret / (1e-4 + this.squares[at + k]!) : 0;
      out[k] = weight;
      total += weight;
      awakeCount += awake[k]!;
    }
    for (let k = 0; k < n; k++) out[k] = total > 0 ? out[k]! / total : awake[k]! / Math.max(1, awakeCount);
  }

  /** After the truth is known: `losses` of the experts (unused where asleep) and of the mixture. */
  learn(group: number, awake: Uint8Array, losses: Float64Array, mixtureLoss: number): void {
    const n = this.#experts;
    const at = group * n;
    for (let k = 0; k < n; k++) {
      if (!awake[k]) continue;
      const regret = mixtureLoss - losses[k]!;
      this.regrets[at + k] = KEEP * this.regrets[at + k]! + regret;
      this.squares[at + k] = KEEP * this.squares[at + k]! + regret * regret;
    }
  }

  /** A newcomer has its first opinion: all start anew, else it would pay for the time before it could speak. */
  reset(group: number): void {
    const at = group * this.#experts;
    this.regrets.fill(0, at, at + this.#experts);
    this.squares.fill(0, at, at + this.#experts);
  }
}
