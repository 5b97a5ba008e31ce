/**
 * From surprises to one likelihood. Input: the surprise of each signal (−log10 p); output: 0..1, and which families said
 * so. A series that often surprises must surprise more (its own quantiles of surprise count against it), and after an alarm it
 * rests: one event, one alarm.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { ALARM_SCORE } from './detector.ts';
import { FAMILIES } from './signals.ts';
import type { StateBlock } from './state-block.ts';

/** The strongest signal of a family speaks for it (a mean of cubes); families add up as squares. */
const WITHIN = 3;
/**
 * These quantiles of a series' own surprises are usual for it; so much of each is taken off. Three views averaged lean on no
 * single one: each alone does well on some files and badly on others.
 */
const USUAL = [
  { quantile: 0.99, share: 0.5 },
  { quantile: 0.995, share: 0.7 },
  { quantile: 0.998, share: 1 },
] as const;
const USUAL_GAIN_MIN = 0.003;
/** Where the likelihood is one half, in units of surprise (2.2 to 2.4 score alike); and how far from there it takes to be sure. */
const ALARM_SURPRISE = 2.3;
const SURE = 0.5;
/** Below this likelihood nothing is worth a word. */
const WORTH_A_WORD = 0.01;
/** An alarm rests for this share of what is known of the series, at least and at most so many points. */
const REST_SHARE = 0.03;
const REST_MIN = 60;
const REST_MAX = 400;
/** A suspicion below an alarm is told again within so many points only when it is stronger: 300 to 900 score alike. */
const HELD_POINTS = 600;

/** Places in `#state`. */
const POINTS = 0;
const RESTS_UNTIL = 1;
const HELD_UNTIL = 2;
const HELD = 3;

export class Likelihood {
  readonly #state: Float32Array;
  readonly #usual: Float32Array;
  readonly arrays: readonly StateArray[];
  /** Surprise of the newest point above what is usual for the series, whether an alarm rests or not; 0 and less is ordinary. */
  evidence = 0;
  /** Each family's part of the newest surprise, squared. */
  readonly parts = new Float64Array(FAMILIES.length);

  constructor(block: StateBlock) {
    this.#state = block.float32(4);
    this.#usual = block.float32(USUAL.length).fill(1);
    this.arrays = [this.#state, this.#usual];
  }

  /** @param surprises in the order of `SIGNALS` */
  next(surprises: Float64Array): number {
    const surprise = this.#combined(surprises);
    const above = this.#aboveUsual(surprise);
    this.evidence = above;
    return this.#once(1 / (1 + Math.exp((ALARM_SURPRISE - above) / SURE)));
  }

  /** Judges by what is usual, then learns. */
  #aboveUsual(surprise: number): number {
    const u = this.#usual;
    const points = ++this.#state[POINTS]!;
    const gain = Math.max(USUAL_GAIN_MIN, 1 / points) * 8;
    let taken = 0;
    for (const [i, { quantile, share }] of USUAL.entries()) {
      taken += share * u[i]!;
      u[i]! += gain * (surprise > u[i]! ? quantile : quantile - 1);
    }
    return surprise - taken / USUAL.length;
  }

  #combined(surprises: Float64Array): number {
    let at = 0;
    let sum = 0;
    for (let f = 0; f < FAMILIES.length; f++) {
      const count = FAMILIES[f]!.signals.length;
      let inside = 0;
      for (let i = 0; i < count; i++) {
        const surprise = surprises[at++]!;
        // Most are none at all, and powers are dear.
        if (surprise !== 0) inside += surprise ** WITHIN;
      }
      const part = inside === 0 ? 0 : FAMILIES[f]!.weight * (inside / count) ** (2 / WITHIN);
      this.parts[f] = part;
      sum += part;
    }
    return Math.sqrt(sum / FAMILIES.length);
  }

  /** Nothing until something is worth a word; nothing while an alarm rests; below an alarm only what is more than before. */
  #once(likelihood: number): number {
    const s = this.#state;
    const now = s[POINTS]!;
    if (likelihood < WORTH_A_WORD || now < s[RESTS_UNTIL]! || (now < s[HELD_UNTIL]! && likelihood <= s[HELD]!)) return 0;
    const rest = Math.max(REST_MIN, Math.min(REST_MAX, REST_SHARE * now));
    if (likelihood >= ALARM_SCORE) s[RESTS_UNTIL] = now + rest;
    else {
      s[HELD_UNTIL] = now + HELD_POINTS;
      s[HELD] = likelihood;
    }
    return likelihood;
  }
}
