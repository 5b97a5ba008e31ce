/**
 * The detector that runs live and in `headroom detect`: many plain signals of one series, how surprising each is, one
 * likelihood. No parameters per series, no look ahead. Input: points; output: judgements. About 2 KiB of state.
 */
import { packState, type StateArray, unpackState } from '../forecast/state-bytes.ts';
import {
  ALARM_SCORE,
  type AnomalyPoint,
  type Contributor,
  type Detector,
  type DetectorFactory,
  type Judgement,
  QUIET,
} from './detector.ts';
import { Likelihood } from './likelihood.ts';
import { SignalReader } from './read-signals.ts';
import { FAMILIES, SIGNALS } from './signals.ts';
import { Silence } from './silence.ts';
import { StateBlock } from './state-block.ts';
import { Tails } from './tails.ts';

const TAG = 'ensemble-detector 3';
const CONTRIBUTORS_MAX = 3;

export class EnsembleDetector implements Detector {
  readonly name = 'ensemble';
  readonly #reader: SignalReader;
  readonly #tails: Tails;
  readonly #likelihood: Likelihood;
  readonly #silence: Silence;
  readonly #surprises = new Float64Array(SIGNALS.length);
  readonly #arrays: readonly StateArray[];
  /** All it has learnt. To serve another series: a copy of these is put aside, and that series' are put here. */
  readonly bytes: Uint8Array;

  /** @param learntMax see `Tails`: one who weighs evidence over time needs it to last, one who tells each alarm once does not */
  constructor(learntMax = Number.POSITIVE_INFINITY) {
    const block = new StateBlock();
    const bothSides = SIGNALS.map((signal) => signal.bothSides);
    this.#reader = new SignalReader(block);
    this.#tails = new Tails(block, bothSides, learntMax);
    this.#likelihood = new Likelihood(block);
    this.#silence = new Silence(block);
    this.bytes = block.bytes();
    this.#arrays = [...this.#reader.arrays, ...this.#tails.arrays, ...this.#likelihood.arrays, ...this.#silence.arrays];
  }

  score(point: AnomalyPoint): Judgement {
    if (!Number.isFinite(point.value)) return this.#silence.missing();
    this.#silence.arrived();
    this.#reader.read(point.value, point.timeMs);
    const { out, finest } = this.#reader;
    for (let i = 0; i < out.length; i++) this.#surprises[i] = Number.isNaN(out[i]!) ? 0 : this.#tails.next(i, out[i]!, finest);
    const score = this.#likelihood.next(this.#surprises);
    return score === 0 ? QUIET : this.#judgement(score);
  }

  /** How far the newest point lies above what is usual, also while an alarm rests: for those who weigh points together. */
  get evidence(): number {
    return this.#likelihood.evidence;
  }

  /** What spoke loudest for `evidence`; null = nothing. */
  get loudest(): string | null {
    const { parts } = this.#likelihood;
    let family = 0;
    for (let f = 1; f < parts.length; f++) if (parts[f]! > parts[family]!) family = f;
    return parts[family]! > 0 ? SIGNALS[this.#strongest(family)]!.name : null;
  }

  serialise(): Uint8Array {
    return packState(TAG, this.#arrays);
  }

  restore(bytes: Uint8Array): this {
    unpackState(TAG, bytes, this.#arrays);
    return this;
  }

  get stateBytes(): number {
    return this.bytes.length;
  }

  #judgement(score: number): Judgement {
    const { parts } = this.#likelihood;
    const whole = parts.reduce((sum, part) => sum + part, 0);
    const order = [...parts.keys()].sort((a, b) => parts[b]! - parts[a]!).slice(0, CONTRIBUTORS_MAX);
    const contributors: Contributor[] = order
      .filter((family) => parts[family]! > 0)
      .map((family) => ({ name: SIGNALS[this.#strongest(family)]!.name, share: parts[family]! / whole }));
    return { score, kind: score >= ALARM_SCORE ? FAMILIES[order[0]!]!.kind : 'none', contributors };
  }

  #strongest(family: number): number {
    let first = 0;
    for (let f = 0; f < family; f++) first += FAMILIES[f]!.signals.length;
    let best = first;
    for (let i = 1; i < FAMILIES[family]!.signals.length; i++) if (this.#surprises[first + i]! > this.#surprises[best]!) best = first + i;
    return best;
  }
}

export const ENSEMBLE: DetectorFactory = {
  create: () => new EnsembleDetector(),
  restore: (bytes) => new EnsembleDetector().restore(bytes),
};
