/**
 * Missing telemetry: points that were due and did not come. Input: each point that came or did not; output: a judgement. Some
 * series always miss a few in a row: only a run well beyond the longest one known is silence, and it is told once.
 */
import type { StateArray } from '../forecast/state-bytes.ts';
import { type Judgement, QUIET } from './detector.ts';
import type { StateBlock } from './state-block.ts';

/** Five missing in a row are no hiccup of a collector. */
const RUN_MIN = 5;
/** So many times the longest run known. */
const BEYOND_KNOWN = 2;
const SILENT: Judgement = { score: 1, kind: 'silence', contributors: [{ name: 'missing points', share: 1 }] };

/** Places in `#state`. */
const RUN = 0;
const LONGEST = 1;
const COUNT_MAX = 65_535;

export class Silence {
  readonly #state: Uint16Array;
  readonly arrays: readonly StateArray[];

  constructor(block: StateBlock) {
    this.#state = block.uint16(2);
    this.arrays = [this.#state];
  }

  missing(): Judgement {
    const s = this.#state;
    s[RUN] = Math.min(s[RUN]! + 1, COUNT_MAX);
    return s[RUN] === Math.max(RUN_MIN, BEYOND_KNOWN * s[LONGEST]! + 1) ? SILENT : QUIET;
  }

  arrived(): void {
    const s = this.#state;
    s[LONGEST] = Math.max(s[LONGEST]!, s[RUN]!);
    s[RUN] = 0;
  }
}
