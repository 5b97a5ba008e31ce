/**
 * The online aggregate beside families that are fitted: their quantiles are mixed by what each lost lately (pinball loss,
 * mixture.ts), so that a family counts where it earns it and nowhere else, and the whole stays close to its best member, the
 * decaying histogram among them. A family that counts is fitted each cycle, one that does not is given a trial now and then.
 * Points and fits in, quantiles of the coming steps out.
 */
import { assert } from '../../../shared/assert.ts';
import { LEVELS } from './expert-forecaster.ts';
import type { FitRequest, Fitter, Fitting } from './fitted/fit.ts';
import type { Forecast, Forecaster, ForecasterOptions, ForecastPoint } from './forecaster.ts';
import { type KeptForecaster, tagOf } from './kept-state.ts';
import { Mixture } from './mixture.ts';
import { bytesOf, packState, type StateArray, unpackState } from './state-bytes.ts';

/** A quarter of an hour and an hour of five-minute steps, and the very next one. */
const LEADS = [1, 3, 12] as const;
const J = LEVELS.length;
const CELLS = LEADS.length * J;
const PENDING = LEADS.reduce<number>((sum, lead) => sum + lead, 0);
const PENDING_AT = LEADS.map((_, i) => LEADS.slice(0, i).reduce<number>((sum, lead) => sum + lead, 0));
const HALF_LIFE_CYCLES = 3.5;
const CYCLE_STEPS = 288;
/** A family with less weight than this does not earn its fits. */
const EARNS = 0.05;
/** Cycles between trials of such a family. */
const TRIAL_CYCLES = 7;
const SCALE_RATE = 0.01;
const S = { originMs: 0, newest: 1, scale: 2 } as const;

/** A member that keeps its state as bytes of a fixed length, and how the explanation names it. */
export interface Member {
  words: string;
  forecaster: KeptForecaster & Partial<Fitting>;
}

export class FamilyEnsemble implements Forecaster, Fitting {
  readonly name = 'ensemble';
  readonly #options: ForecasterOptions;
  readonly #members: readonly Member[];
  readonly #fitter: Fitter | null;
  readonly #mixture: Mixture;
  /** [slots × members × levels] opinions to be held against what comes; NaN = asleep. */
  readonly #pending: Float64Array;
  readonly #pendingSteps = new Int32Array(PENDING).fill(-1);
  /** Step of each member's last fit, -1 = none yet. */
  readonly #fitSteps: Int32Array;
  readonly #s = new Float64Array(3);
  readonly #cycle: number;
  readonly #awake: Uint8Array;
  readonly #weights: Float64Array;
  readonly #regrets: Float64Array;

  /** The first member is the online aggregate: it always speaks. With a fitter, fits are made in place. */
  constructor(options: ForecasterOptions, members: readonly Member[], fitter: Fitter | null = null) {
    this.#options = options;
    this.#members = members;
    this.#fitter = fitter;
    this.#cycle = Math.round(Math.min(CYCLE_STEPS * options.stepMs, ...options.seasonsMs) / options.stepMs);
    this.#mixture = new Mixture(CELLS, members.length, HALF_LIFE_CYCLES * this.#cycle);
    this.#pending = new Float64Array(PENDING * members.length * J);
    this.#fitSteps = new Int32Array(members.length).fill(-1);
    this.#awake = new Uint8Array(members.length);
    this.#weights = new Float64Array(members.length);
    this.#regrets = new Float64Array(members.length);
    this.#s[S.newest] = -1;
  }

  get #arrays(): StateArray[] {
    return [this.#mixture.regrets, this.#mixture.squares, this.#pending, this.#pendingSteps, this.#fitSteps, this.#s];
  }

  get #tag(): string {
    return tagOf(`ensemble of ${this.#members.map(({ forecaster }) => forecaster.name).join('+')}`, 1, this.#options);
  }

  get stateBytes(): number {
    return this.#members.reduce((sum, { forecaster }) => sum + forecaster.stateBytes, bytesOf(this.#arrays));
  }

  serialise(): Uint8Array {
    const members = this.#members.map(({ forecaster }) => new Int32Array(forecaster.serialise().buffer));
    return packState(this.#tag, [...this.#arrays, ...members]);
  }

  /** STORE_CORRUPT when the bytes are another forecaster's. */
  restoreFrom(bytes: Uint8Array): void {
    const members = this.#members.map(({ forecaster }) => new Int32Array(forecaster.serialise().length / 4));
    unpackState(this.#tag, bytes, [...this.#arrays, ...members]);
    this.#members.forEach(({ forecaster }, k) => {
      forecaster.restoreFrom(new Uint8Array(members[k]!.buffer));
    });
  }

  observe(point: ForecastPoint): void {
    assert(Number.isFinite(point.value) && point.value >= 0, `demand must be finite and not negative, got ${point.value}`);
    const s = this.#s;
    if (s[S.newest]! < 0) s[S.originMs] = point.timeMs;
    const step = Math.round((point.timeMs - s[S.originMs]!) / this.#options.stepMs);
    if (step <= s[S.newest]!) return;
    s[S.scale]! += (s[S.newest]! < 0 ? 1 : SCALE_RATE) * (point.value - s[S.scale]!);
    s[S.newest] = step;
    LEADS.forEach((_, lead) => {
      this.#judge(lead, step, point.value);
    });
    for (const { forecaster } of this.#members) forecaster.observe(point);
    this.#note(step);
    if (!this.#fitter) return;
    for (let wanted = this.fitWanted(); wanted !== null; wanted = this.fitWanted()) this.adoptFit(wanted, this.#fitter(wanted));
  }

  /** Holds the members' opinions on this step against the truth. */
  #judge(lead: number, step: number, value: number): void {
    const slot = PENDING_AT[lead]! + (step % LEADS[lead]!);
    if (this.#pendingSteps[slot] !== step) return;
    const members = this.#members.length;
    const at = slot * members * J;
    for (let k = 0; k < members; k++) this.#awake[k] = Number.isNaN(this.#pending[at + k * J]!) ? 0 : 1;
    // Losses are scaled by the demand itself, so that they mean the same at every size.
    const scale = Math.max(this.#s[S.scale]!, 1e-9);
    for (let j = 0; j < J; j++) {
      const group = lead * J + j;
      this.#mixture.weights(group, this.#awake, this.#weights);
      let mixed = 0;
      for (let k = 0; k < members; k++) if (this.#weights[k]! > 0) mixed += this.#weights[k]! * this.#pending[at + k * J + j]!;
      const gradient = (value < mixed ? 1 : 0) - LEVELS[j]!;
      for (let k = 0; k < members; k++) this.#regrets[k] = (gradient * (mixed - this.#pending[at + k * J + j]!)) / scale;
      this.#mixture.learn(group, this.#awake, this.#regrets);
    }
  }

  #note(step: number): void {
    const members = this.#members.length;
    this.#members.forEach(({ forecaster }, k) => {
      const speaks = forecaster.fitted ?? true;
      const forecast = speaks ? forecaster.forecast(LEADS, LEVELS) : null;
      LEADS.forEach((ahead, lead) => {
        const at = ((PENDING_AT[lead]! + ((step + ahead) % ahead)) * members + k) * J;
        for (let j = 0; j < J; j++) this.#pending[at + j] = forecast === null ? Number.NaN : forecast.values[lead * J + j]!;
      });
    });
    LEADS.forEach((ahead, lead) => {
      this.#pendingSteps[PENDING_AT[lead]! + ((step + ahead) % ahead)] = step + ahead;
    });
  }

  /** The mean weight of each member over all leads and levels. */
  #shares(): Float64Array {
    const shares = new Float64Array(this.#members.length);
    this.#lookAwake();
    for (let group = 0; group < CELLS; group++) {
      this.#mixture.weights(group, this.#awake, this.#weights);
      for (let k = 0; k < shares.length; k++) shares[k]! += this.#weights[k]! / CELLS;
    }
    return shares;
  }

  #lookAwake(): void {
    for (let k = 0; k < this.#members.length; k++) this.#awake[k] = (this.#members[k]!.forecaster.fitted ?? true) ? 1 : 0;
  }

  get fitted(): boolean {
    return this.#members.some(({ forecaster }) => forecaster.fitted === true);
  }

  get fitDue(): boolean {
    return this.#mostDeserving() >= 0;
  }

  fitWanted(): FitRequest | null {
    const k = this.#mostDeserving();
    return k < 0 ? null : this.#members[k]!.forecaster.fitWanted!();
  }

  /** The member to fit next, -1 = none. */
  #mostDeserving(): number {
    let best = -1;
    let shares: Float64Array | null = null;
    for (let k = 0; k < this.#members.length; k++) {
      if (this.#members[k]!.forecaster.fitDue !== true) continue;
      shares ??= this.#shares();
      const trial = this.#fitSteps[k]! < 0 || this.#s[S.newest]! - this.#fitSteps[k]! >= TRIAL_CYCLES * this.#cycle;
      if ((trial || shares[k]! >= EARNS) && (best < 0 || shares[k]! > shares[best]!)) best = k;
    }
    return best;
  }

  adoptFit(request: FitRequest, fit: Float64Array | null): void {
    const k = this.#members.findIndex(({ forecaster }) => forecaster.name === request.family);
    const member = this.#members[k]?.forecaster;
    if (!member?.adoptFit) return;
    const before = member.fitted;
    member.adoptFit(request, fit);
    this.#fitSteps[k] = this.#s[S.newest]!;
    // A newcomer does not pay for the time before it could speak.
    if (!before && member.fitted) for (let group = 0; group < CELLS; group++) this.#mixture.reset(group);
  }

  forecast(horizons: readonly number[], quantiles: readonly number[]): Forecast | null {
    const spoken = this.#members.map(({ forecaster }) => forecaster.forecast(horizons, quantiles));
    const first = spoken[0];
    if (!first) return null;
    const values = new Float64Array(horizons.length * quantiles.length);
    this.#lookAwake();
    horizons.forEach((ahead, i) => {
      const found = LEADS.findIndex((lead) => lead >= ahead);
      const lead = found < 0 ? LEADS.length - 1 : found;
      quantiles.forEach((q, j) => {
        this.#mixture.weights(lead * J + levelNear(q), this.#awake, this.#weights);
        let sum = 0;
        spoken.forEach((forecast, k) => {
          if (this.#weights[k]! > 0) sum += this.#weights[k]! * forecast!.values[i * quantiles.length + j]!;
        });
        // Weights differ by level, so mixtures may cross where members do not.
        values[i * quantiles.length + j] = j === 0 ? sum : Math.max(sum, values[i * quantiles.length + j - 1]!);
      });
    });
    return { quantiles, horizons, values, confidence: first.confidence, explanation: this.#explain(first) };
  }

  #explain(first: Forecast): string {
    const shares = this.#shares();
    const parts = [...shares.keys()]
      .filter((k) => k > 0 && shares[k]! >= EARNS)
      .sort((a, b) => shares[b]! - shares[a]!)
      .map((k) => `${this.#members[k]!.words} (${Math.round(100 * shares[k]!)} %)`);
    const own = `${first.explanation} – together ${Math.round(100 * shares[0]!)} %`;
    return parts.length === 0 ? first.explanation : `${own}, beside ${parts.join(', ')}`;
  }
}

/** The learnt level nearest to a quantile, in odds. */
function levelNear(q: number): number {
  let best = 0;
  for (let j = 1; j < J; j++) if (distance(j, q) < distance(best, q)) best = j;
  return best;
}

const distance = (j: number, q: number): number => Math.abs(Math.log(LEVELS[j]! / (1 - LEVELS[j]!)) - Math.log(q / (1 - q)));
