/**
 * Watches one VM: a detector a metric, their evidence joined and weighed over time, so that what lasts or shows in several
 * metrics counts and a single odd sample hardly does. Input: one instant of the VM; output: the weight of evidence and who
 * contributed. State: 2 KiB a metric and a few numbers.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import { bytesOf, packState, unpackState } from '../forecast/state-bytes.ts';
import type { Contributor } from './detector.ts';
import { EnsembleDetector } from './ensemble-detector.ts';
import { VM_METRICS, type VmMetric, type VmPoint } from './incident.ts';
import { JointResidual } from './joint-residual.ts';

/** Evidence below this is noise: nine of ten quiet points lie below. */
const NOISE = 0.5;
/** Evidence halves in about six points: half an hour of five-minute samples. */
const KEPT_PER_POINT = 0.9;
/**
 * Peaks are learnt as at most so many times the mean one. Without a limit a leak or a busy loop becomes what is usual within the
 * hour: on recorded VMs 85 % of injected faults were seen without, 98 % with 8, at as many false incidents; at 4 those grow by half.
 */
const LEARNT_MAX = 8;
/** A metric that is no longer told while the others are weighs as much as an incident needs. */
const MISSING_WEIGHT = 10;
/** Below what opens an incident. */
const APART_WEIGHT = 6;
export const MISSING = 'missing points';
const CONTRIBUTORS_MAX = 3;

export interface Weighed {
  /** ≥ 0; incidents open on it. */
  weight: number;
  silent: boolean;
  /** Evidence a metric, the strongest first; shares of what weighs now. */
  contributors: readonly Contributor[];
}

interface Watched {
  metric: VmMetric;
  /** Evidence of this metric that still weighs. */
  weight: number;
  reason: string;
}

interface WatchedMetric extends Watched {
  detector: EnsembleDetector;
}

const JOINT_TAG = 'joint-residual 1';

export interface WatchState {
  metrics: { metric: VmMetric; weight: number; reason: string; bytes: Uint8Array }[];
  joint: Uint8Array;
  longestMissing: number;
}

export class VmWatch {
  readonly #watched = new Map<VmMetric, WatchedMetric>();
  readonly #joint = new JointResidual(VM_METRICS.length, LEARNT_MAX);
  readonly #instant = new Float64Array(VM_METRICS.length);
  readonly #outOfStep: Watched = { metric: 'cpu', weight: 0, reason: 'out of step with the other metrics' };
  readonly #unlikePeers: Watched = { metric: 'cpu', weight: 0, reason: 'unlike its peers' };
  #missing = 0;
  #longestMissing = 0;

  /** Points in ascending time, one a step; a step without any value must be given too, as a point without values. */
  observe({ timeMs, values }: VmPoint): Weighed {
    const came = Object.entries(values).filter(([, value]) => Number.isFinite(value)) as [VmMetric, number][];
    for (const [metric, value] of came) this.#one(metric).detector.score({ timeMs, value });
    const silent = this.#silence(came.length === 0);
    let joined = 0;
    joined += this.#together(values) ** 2;
    this.#unlikePeers.weight *= KEPT_PER_POINT;
    joined += this.#unlikePeers.weight ** 2;
    for (const one of this.#watched.values()) {
      const here = came.some(([metric]) => metric === one.metric);
      const fresh = here ? Math.max(0, one.detector.evidence - NOISE) : came.length > 0 ? this.#missed(one, timeMs) : 0;
      one.weight = one.weight * KEPT_PER_POINT + fresh;
      if (fresh > 0) one.reason = here ? (one.detector.reasons.contributors[0]?.name ?? one.reason) : MISSING;
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
    for (const one of [this.#outOfStep, this.#unlikePeers, ...this.#watched.values()]) one.weight = 0;
  }

  /** By name, so that a build with other metrics reads what it knows. */
  serialise(): WatchState {
    const metrics = [...this.#watched.values()].map(({ metric, detector, weight, reason }) => ({
      metric,
      weight,
      reason,
      bytes: detector.serialise(),
    }));
    return { metrics, joint: packState(JOINT_TAG, this.#joint.arrays), longestMissing: this.#longestMissing };
  }

  /** STORE_CORRUPT for another build's. */
  restore({ metrics, joint, longestMissing }: WatchState): void {
    for (const { metric, weight, reason, bytes } of metrics) {
      if (!VM_METRICS.includes(metric)) throw new HeadroomError('STORE_CORRUPT', `there is no metric ${String(metric)}`);
      this.#watched.set(metric, { metric, weight, reason, detector: new EnsembleDetector(LEARNT_MAX).restore(bytes) });
    }
    unpackState(JOINT_TAG, joint, this.#joint.arrays);
    this.#longestMissing = longestMissing;
  }

  get stateBytes(): number {
    let bytes = 32 + bytesOf(this.#joint.arrays);
    for (const { detector } of this.#watched.values()) bytes += detector.stateBytes + 8;
    return bytes;
  }

  /** What a point of one metric that was due and did not come weighs: nothing, until it is missed for long by its own measure. */
  #missed({ detector }: WatchedMetric, timeMs: number): number {
    return detector.score({ timeMs, value: Number.NaN }).kind === 'silence' ? MISSING_WEIGHT : 0;
  }

  /** The weight of what only shows in how the metrics go together. */
  #together(values: VmPoint['values']): number {
    for (const [i, metric] of VM_METRICS.entries()) this.#instant[i] = values[metric] ?? Number.NaN;
    const fresh = Math.max(0, this.#joint.next(this.#instant) - NOISE);
    const { strongest } = this.#joint;
    if (fresh > 0 && strongest >= 0) this.#outOfStep.metric = VM_METRICS[strongest]!;
    this.#outOfStep.weight = this.#outOfStep.weight * KEPT_PER_POINT + fresh;
    return this.#outOfStep.weight;
  }

  #one(metric: VmMetric): WatchedMetric {
    let one = this.#watched.get(metric);
    if (one === undefined) {
      one = { metric, detector: new EnsembleDetector(LEARNT_MAX), weight: 0, reason: 'value' };
      this.#watched.set(metric, one);
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
    return [this.#outOfStep, this.#unlikePeers, ...this.#watched.values()]
      .sort((a, b) => b.weight - a.weight)
      .slice(0, CONTRIBUTORS_MAX)
      .filter(({ weight }) => weight ** 2 > 0.05 * joined)
      .map(({ metric, weight, reason }) => ({ name: `${metric}: ${reason}`, share: weight ** 2 / joined }));
  }
}
