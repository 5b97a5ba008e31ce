/**
 * Watches one VM: a detector a metric, their evidence joined and weighed over time, so that what lasts or shows in several
 * metrics counts and a single odd sample hardly does. Input: one instant of the VM; output: the weight of evidence and who
 * contributed. State: 2 KiB a metric and a few numbers, in one piece.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { Contributor } from './detector.ts';
import { VM_METRICS, type VmMetric, type VmPoint } from './incident.ts';
import { SlowRise, type SlowRiseState } from './slow-rise.ts';
import type { SeriesLook, WatchEngine } from './watch-engine.ts';

/** Evidence below this is noise: nine of ten quiet points lie below. */
const NOISE = 0.5;
/** Evidence halves in about six points: half an hour of five-minute samples. */
const KEPT_PER_POINT = 0.9;
/**
 * A metric that comes at every third point keeps what it weighed until it comes again: each is weighed over its own points. Its usual
 * gap is a mean of some eight; twice that, and at most so many points, it is held.
 */
const GAP_GAIN = 1 / 8;
const HELD_POINTS_MAX = 12;
/** A metric that is no longer told while the others are weighs as much as an incident needs. */
const MISSING_WEIGHT = 10;
/** Strain: less of it than usual is good news. */
const STRAINS: ReadonlySet<VmMetric> = new Set(['steal', 'pressure']);
/** Below what opens an incident. */
const APART_WEIGHT = 6;
export const MISSING = 'missing points';
/** Memory that has risen for hours to where it never was is an incident by itself. */
const RISING_WEIGHT = 10;
export const RISING = 'rises and does not come back';
/** Of all evidence: what has less is not worth a word. */
const WORTH_A_WORD = 0.05;

export interface Weighed {
  /** ≥ 0; incidents open on it. */
  weight: number;
  silent: boolean;
  /** Evidence a metric, the strongest first; shares of what weighs now; whatever has a twentieth of it. */
  contributors: readonly Contributor[];
}

interface Watched {
  metric: VmMetric;
  /** Evidence of this metric that still weighs. */
  weight: number;
  reason: string;
}

interface WatchedMetric extends Watched {
  /** Its place in the VM's bytes. */
  at: number;
  /** Points since its newest value at which others came, and how many that usually are. */
  absent: number;
  usualAbsent: number;
}

export interface WatchState {
  metrics: (Omit<WatchedMetric, 'at'> & { bytes: Uint8Array })[];
  joint: Uint8Array;
  longestMissing: number;
  memoryRise: SlowRiseState;
}

const isRelief = (metric: VmMetric, now: VmPoint['values'], usual: VmPoint['values']): boolean =>
  STRAINS.has(metric) && now[metric]! < usual[metric]!;

export class VmWatch {
  readonly #watched = new Map<VmMetric, WatchedMetric>();
  readonly #engine: WatchEngine;
  /** As the engine lays them out; replaced when a metric comes for the first time. */
  #bytes: Uint8Array;
  readonly #outOfStep: Watched = { metric: 'cpu', weight: 0, reason: 'out of step with the other metrics' };
  readonly #unlikePeers: Watched = { metric: 'cpu', weight: 0, reason: 'unlike its peers' };
  readonly #rising: Watched = { metric: 'memory', weight: 0, reason: RISING };
  readonly #memoryRise = new SlowRise();
  #missing = 0;
  #longestMissing = 0;

  /** @param engine may serve any number of watches, one after the other */
  constructor(engine: WatchEngine) {
    this.#engine = engine;
    this.#bytes = engine.newBytes(0);
  }

  /**
   * Points in ascending time, one a step; a step without any value must be given too, as a point without values.
   * @param memorySize of the VM; unknown = nothing is said of memory that slowly rises
   * @param usual of each metric, as far as it is known
   */
  observe({ timeMs, values }: VmPoint, memorySize = Number.POSITIVE_INFINITY, usual: VmPoint['values'] = {}): Weighed {
    const came = Object.entries(values).filter(([, value]) => Number.isFinite(value)) as [VmMetric, number][];
    const looks = new Map(came.map(([metric, value]) => [metric, this.#look(this.#one(metric), timeMs, value)]));
    const silent = this.#silence(came.length === 0);
    let joined = 0;
    joined += this.#together(values, usual) ** 2;
    this.#unlikePeers.weight *= KEPT_PER_POINT;
    joined += this.#unlikePeers.weight ** 2;
    const rises = values.memory !== undefined && this.#memoryRise.next(values.memory, memorySize);
    this.#rising.weight = rises ? RISING_WEIGHT : this.#rising.weight * KEPT_PER_POINT;
    joined += this.#rising.weight ** 2;
    for (const one of this.#watched.values()) {
      const look = looks.get(one.metric);
      if (look === undefined && came.length > 0) this.#missed(one, timeMs);
      else this.#told(one, look, isRelief(one.metric, values, usual));
      joined += one.weight ** 2;
    }
    const weight = Math.sqrt(joined);
    return { weight, silent, contributors: weight === 0 ? [] : this.#contributors(joined) };
  }

  /** It has come to stand apart from others of its class: adds to what else is seen, and is no incident alone. */
  standsApart(): void {
    this.#unlikePeers.weight = Math.min(APART_WEIGHT, this.#unlikePeers.weight + APART_WEIGHT);
  }

  /** What weighs now was no fault: it is forgotten. */
  forgive(): void {
    for (const one of [this.#outOfStep, this.#unlikePeers, this.#rising, ...this.#watched.values()]) one.weight = 0;
  }

  /** By name, so that a build with other metrics reads what it knows. */
  serialise(): WatchState {
    const metrics = [...this.#watched.values()].map(({ at, ...one }) => ({
      ...one,
      bytes: this.#engine.packSeries(this.#engine.seriesOf(this.#bytes, at)),
    }));
    return {
      metrics,
      joint: this.#engine.packJoint(this.#bytes),
      longestMissing: this.#longestMissing,
      memoryRise: this.#memoryRise.serialise(),
    };
  }

  /** STORE_CORRUPT for another build's. */
  restore({ metrics, joint, longestMissing, memoryRise }: WatchState): void {
    // An earlier build's has no gaps in it.
    for (const { metric, weight, reason, bytes, absent = 0, usualAbsent = 0 } of metrics) {
      if (!VM_METRICS.includes(metric)) throw new HeadroomError('STORE_CORRUPT', `there is no metric ${String(metric)}`);
      const one = this.#one(metric);
      this.#engine.unpackSeries(bytes, this.#engine.seriesOf(this.#bytes, one.at));
      Object.assign(one, { weight, reason, absent, usualAbsent });
    }
    this.#engine.unpackJoint(joint, this.#bytes);
    this.#longestMissing = longestMissing;
    this.#memoryRise.restore(memoryRise);
  }

  get stateBytes(): number {
    return this.#bytes.length + 16 * this.#watched.size + this.#memoryRise.stateBytes + 32;
  }

  #look({ at }: WatchedMetric, timeMs: number, value: number): SeriesLook {
    return this.#engine.look(this.#engine.seriesOf(this.#bytes, at), timeMs, value);
  }

  /** @param look undefined = no metric came at this point */
  #told(one: WatchedMetric, look: SeriesLook | undefined, isRelief: boolean): void {
    const fresh = look && !isRelief ? Math.max(0, look.evidence - NOISE) : 0;
    one.weight = one.weight * KEPT_PER_POINT + fresh;
    if (fresh > 0) one.reason = look?.reason ?? one.reason;
    if (look === undefined) return;
    one.usualAbsent += (one.absent - one.usualAbsent) * GAP_GAIN;
    one.absent = 0;
  }

  /** A point of one metric that was due and did not come says nothing, until it is missed for long by its own measure. */
  #missed(one: WatchedMetric, timeMs: number): void {
    one.absent += 1;
    const { silent } = this.#look(one, timeMs, Number.NaN);
    const held = one.absent <= Math.min(HELD_POINTS_MAX, Math.ceil(2 * one.usualAbsent));
    if (!held) one.weight *= KEPT_PER_POINT;
    if (!silent) return;
    one.weight += MISSING_WEIGHT;
    one.reason = MISSING;
  }

  /** The weight of what only shows in how the metrics go together. */
  #together(values: VmPoint['values'], usual: VmPoint['values']): number {
    const instant = Float64Array.from(VM_METRICS, (metric) => values[metric] ?? Number.NaN);
    const { evidence, strongest } = this.#engine.together(this.#bytes, instant);
    const metric = VM_METRICS[strongest] ?? this.#outOfStep.metric;
    const fresh = isRelief(metric, values, usual) ? 0 : Math.max(0, evidence - NOISE);
    if (fresh > 0) this.#outOfStep.metric = metric;
    this.#outOfStep.weight = this.#outOfStep.weight * KEPT_PER_POINT + fresh;
    return this.#outOfStep.weight;
  }

  #one(metric: VmMetric): WatchedMetric {
    let one = this.#watched.get(metric);
    if (one === undefined) {
      one = { metric, at: this.#watched.size, weight: 0, reason: 'value', absent: 0, usualAbsent: 0 };
      this.#watched.set(metric, one);
      this.#bytes = this.#engine.withOneMore(this.#bytes);
    }
    return one;
  }

  /** True from the third missing instant on, later for a VM that is known to miss more. */
  #silence(missing: boolean): boolean {
    if (!missing) {
      this.#longestMissing = Math.max(this.#longestMissing, this.#missing);
      this.#missing = 0;
      return false;
    }
    this.#missing += 1;
    return this.#watched.size > 0 && this.#missing >= Math.max(3, Math.min(12, 2 * this.#longestMissing + 1));
  }

  #contributors(joined: number): Contributor[] {
    return [this.#outOfStep, this.#unlikePeers, this.#rising, ...this.#watched.values()]
      .sort((a, b) => b.weight - a.weight)
      .filter(({ weight }) => weight ** 2 > WORTH_A_WORD * joined)
      .map(({ metric, weight, reason }) => ({ name: `${metric}: ${reason}`, share: weight ** 2 / joined }));
  }
}
