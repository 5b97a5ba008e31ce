/**
 * From surprises to one likelihood. Input: the surprise of each signal (−log10 p); output: 0..1, and which families said
 * so. A series that often surprises must surprise more (its own quantile of surprise counts against it), and after an alarm it
 * rests: one event, one alarm.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { ALARM_SCORE } from './detector.ts';
import { FAMILIES } from './signals.ts';

/** The strongest signal of a family speaks for it (a mean of cubes); families add up as squares. */
const WITHIN = 3;
/** This quantile of a series' own surprises is usual for it; so much of it is taken off. */
const USUAL_QUANTILE = 0.995;
const USUAL_SHARE = 0.7;
const USUAL_GAIN_MIN = 0.003;
/** Where the likelihood is one half, in units of surprise; and how far from there it takes to be sure. */
const ALARM_SURPRISE = 2;
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
const USUAL = 0;
const POINTS = 1;
const RESTS_UNTIL = 2;
const HELD_UNTIL = 3;
const HELD = 4;

export class Likelihood {
  readonly #state = Float64Array.of(1, 0, 0, 0, 0);
  readonly arrays: readonly StateArray[] = [this.#state];
  /** Surprise of the newest point above what is usual for the series, whether an alarm rests or not; 0 and less is ordinary. */
  evidence = 0;
  /** Each family's part of the newest surprise, squared. */
  readonly parts = new Float64Array(FAMILIES.length);

  /** @param surprises in the order of `SIGNALS` */
  next(surprises: Float64Array): number {
    const s = this.#state;
    const surprise = this.#combined(surprises);
    const above = surprise - USUAL_SHARE * s[USUAL]!;
    this.evidence = above;
    s[POINTS]! += 1;
    const gain = Math.max(USUAL_GAIN_MIN, 1 / s[POINTS]!) * 8;
    s[USUAL]! += gain * (surprise > s[USUAL]! ? USUAL_QUANTILE : USUAL_QUANTILE - 1);
    return this.#once(1 / (1 + Math.exp((ALARM_SURPRISE - above) / SURE)));
  }

  #combined(surprises: Float64Array): number {
    let at = 0;
    let sum = 0;
    for (let f = 0; f < FAMILIES.length; f++) {
      const count = FAMILIES[f]!.signals.length;
      let inside = 0;
      for (let i = 0; i < count; i++) inside += surprises[at++]! ** WITHIN;
      const part = (inside / count) ** (2 / WITHIN);
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
