/**
 * Watches one VM: a detector a metric, their evidence joined and weighed over time, so that what lasts or shows in several
 * metrics counts and a single odd sample hardly does. Input: one instant of the VM; output: the weight of evidence and who
 * contributed. State: 2 KiB a metric and a few numbers.
 */
import type { Contributor } from './detector.ts';
import { EnsembleDetector } from './ensemble-detector.ts';
import type { VmMetric, VmPoint } from './incident.ts';

/** Evidence below this is noise: nine of ten quiet points lie below. */
const NOISE = 0.5;
/** Evidence halves in about six points: half an hour of five-minute samples. */
const KEPT_PER_POINT = 0.9;
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
  detector: EnsembleDetector;
  /** Evidence of this metric that still weighs. */
  weight: number;
  reason: string;
}

export class VmWatch {
  readonly #watched = new Map<VmMetric, Watched>();
  #missing = 0;
  #longestMissing = 0;

  /** Points in ascending time, one a step; a step without any value must be given too, as a point without values. */
  observe({ timeMs, values }: VmPoint): Weighed {
    const came = Object.entries(values).filter(([, value]) => Number.isFinite(value)) as [VmMetric, number][];
    for (const [metric, value] of came) this.#one(metric).detector.score({ timeMs, value });
    const silent = this.#silence(came.length === 0);
    let joined = 0;
    for (const one of this.#watched.values()) {
      const fresh = came.some(([metric]) => metric === one.metric) ? Math.max(0, one.detector.evidence - NOISE) : 0;
      one.weight = one.weight * KEPT_PER_POINT + fresh;
      if (fresh > 0) one.reason = one.detector.reasons.contributors[0]?.name ?? one.reason;
      joined += one.weight ** 2;
    }
    const weight = Math.sqrt(joined);
    return { weight, silent, contributors: weight === 0 ? [] : this.#contributors(joined) };
  }

  get stateBytes(): number {
    let bytes = 16;
    for (const { detector } of this.#watched.values()) bytes += detector.stateBytes + 8;
    return bytes;
  }

  #one(metric: VmMetric): Watched {
    let one = this.#watched.get(metric);
    if (one === undefined) {
      one = { metric, detector: new EnsembleDetector(), weight: 0, reason: 'value' };
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
    return [...this.#watched.values()]
      .sort((a, b) => b.weight - a.weight)
      .slice(0, CONTRIBUTORS_MAX)
      .filter(({ weight }) => weight ** 2 > 0.05 * joined)
      .map(({ metric, weight, reason }) => ({ name: `${metric}: ${reason}`, share: weight ** 2 / joined }));
  }
}
