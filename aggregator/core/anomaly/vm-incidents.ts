/**
 * From one VM's evidence to incidents: opened when evidence weighs enough, closed when it has long been light (hysteresis), so
 * that one event is one incident whatever metrics it shows in. Input: one instant of the VM after the other; output: what
 * changed. Nothing is opened while the VM is still being learnt.
 */
import type { Contributor } from './detector.ts';
import { type Feedback, Tuning } from './feedback.ts';
import { type Incident, type Severity, VM_METRICS, type VmMetric, type VmPoint } from './incident.ts';
import { nameIncident } from './incident-kind.ts';
import { isMaterial } from './material.ts';
import { VmWatch, type WatchState, type Weighed } from './vm-watch.ts';
import { WatchEngine } from './watch-engine.ts';

/** Chosen on recorded VMs: at 6 false incidents double, at 12 small level shifts take three times as long. */
const OPEN_WEIGHT = 8;
const PAGE_WEIGHT = 16;
/** Lighter than this for so many points and it is over. */
const CLOSE_WEIGHT = 1;
const CLOSE_POINTS = 6;
/** What is usual is known after so many points: a day of five-minute samples. */
export const LEARNING_POINTS = 288;
/** Gain of what is usual before an incident: half a day of five-minute samples. */
const USUAL_GAIN = 1 / 72;

export interface VmIdentity {
  vm: string;
  host: string;
  sizes: Readonly<Partial<Record<VmMetric, number>>>;
}

/** How far the incident that is open has come. */
interface Course {
  points: number;
  /** Points at which memory was higher than before. */
  rises: number;
  /** Points in a row that weighed next to nothing. */
  light: number;
  /** Most evidence so far. */
  peak: number;
}

export interface IncidentsState {
  watch: WatchState;
  usual: Partial<Record<VmMetric, number>>;
  points: number;
  open: Incident | null;
  course: Course;
  tuning: ReturnType<Tuning['toJSON']>;
}

export interface IncidentChange {
  change: 'opened' | 'updated' | 'closed';
  incident: Incident;
}

/** What is known of a VM after its newest point. */
export interface Seen {
  /** 0..1, one half where an incident opens. */
  likelihood: number;
  open: Incident | null;
}

export class VmIncidents {
  identity: VmIdentity;
  readonly #learningPoints: number;
  readonly #watch: VmWatch;
  readonly #tuning = new Tuning();
  readonly #usual: Partial<Record<VmMetric, number>> = {};
  #last: VmPoint['values'] = {};
  #points = 0;
  #open: Incident | null = null;
  #likelihood = 0;
  #course: Course = { points: 0, rises: 0, light: 0, peak: 0 };

  /** @param engine of the fleet, where there are others */
  constructor(identity: VmIdentity, learningPoints = LEARNING_POINTS, engine = new WatchEngine(VM_METRICS.length)) {
    this.identity = identity;
    this.#watch = new VmWatch(engine);
    this.#learningPoints = learningPoints;
  }

  /** @param explain why an incident that begins now needs nobody's attention, or null */
  observe(point: VmPoint, explain: string | null): IncidentChange | null {
    const weighed = this.#watch.observe(point, this.identity.sizes.memory, this.#usual);
    this.#likelihood = likelihoodOf(weighed);
    this.#points += 1;
    const { memory } = point.values;
    if (memory !== undefined && memory > (this.#last.memory ?? Number.POSITIVE_INFINITY)) this.#course.rises += 1;
    const change = this.#open === null ? this.#maybeOpen(point, weighed, explain) : this.#goOn(point, weighed);

    if (this.#open === null) this.#learnUsual(point);
    this.#last = { ...this.#last, ...point.values };
    return change;
  }

  /**
   * A person's word on the incident that began at `startMs`: a false alarm needs more evidence from now on, what was expected is
   * so again at this time of day. Answers the incident's end when it was still open, else null.
   */
  judge(feedback: Feedback, { kind, startMs }: Pick<Incident, 'kind' | 'startMs'>, nowMs: number): IncidentChange | null {
    this.#tuning.learn(feedback, kind, startMs);
    const open = this.#open;
    if (open === null || open.startMs !== startMs) return null;
    this.#open = null;
    this.#watch.forgive();
    return { change: 'closed', incident: { ...open, endMs: nowMs, severity: 'info', explainedBy: `said to be ${feedback}` } };
  }

  standsApart(): void {
    this.#watch.standsApart();
  }

  /** At most 16 KiB; an incident that is open goes along. */
  serialise(): IncidentsState {
    return {
      ...{ watch: this.#watch.serialise(), usual: this.#usual, points: this.#points },
      ...{ open: this.#open, course: this.#course, tuning: this.#tuning.toJSON() },
    };
  }

  /** STORE_CORRUPT for another build's. What went on when it was written goes on. */
  restore({ watch, usual, points, open, course, tuning }: IncidentsState): void {
    this.#watch.restore(watch);
    Object.assign(this.#usual, usual);
    this.#points = points;
    this.#open = open;
    this.#course = { ...course };
    this.#tuning.restore(tuning);
  }

  get seen(): Seen {
    return { likelihood: this.#likelihood, open: this.#open };
  }

  get stateBytes(): number {
    return this.#watch.stateBytes + 160 + this.#tuning.stateBytes;
  }

  #maybeOpen(point: VmPoint, weighed: Weighed, explain: string | null): IncidentChange | null {
    const enough = weighed.weight >= OPEN_WEIGHT * this.#tuning.tolerance && this.#points >= this.#learningPoints;
    if (!weighed.silent && !(enough && this.#matters(point, weighed))) return null;
    this.#course = { points: 1, rises: 0, light: 0, peak: weighed.weight };
    const { vm, host } = this.identity;
    const named = this.#named(point, weighed);
    const explained = explain ?? this.#tuning.expects(named.kind, point.timeMs);
    this.#open = {
      vm,
      host,
      ...named,
      severity: explained === null ? severityOf(weighed) : 'info',
      startMs: point.timeMs,
      peakMs: point.timeMs,
      endMs: null,
      likelihood: likelihoodOf(weighed),
      contributors: weighed.contributors,
      vouched: vouchedBy(weighed, point),
      explainedBy: explained,
    };
    return { change: 'opened', incident: this.#open };
  }

  /** At least one of the metrics that weigh has come away from what is usual by more than a trifle. */
  #matters({ values }: VmPoint, { contributors }: Weighed): boolean {
    const metrics = contributors.map(({ name }) => name.split(': ')[0] as VmMetric);
    return metrics.some((metric) => isMaterial(metric, this.#usual, values, this.identity.sizes));
  }

  #goOn(point: VmPoint, weighed: Weighed): IncidentChange | null {
    const open = this.#open!;
    const course = this.#course;
    course.points += 1;
    course.light = weighed.weight < CLOSE_WEIGHT && !weighed.silent ? course.light + 1 : 0;
    if (course.light >= CLOSE_POINTS) {
      this.#open = null;
      return { change: 'closed', incident: { ...open, endMs: point.timeMs } };
    }
    const heard = open.kind === 'silence' && !weighed.silent;
    const named = heard ? { kind: open.kind, cause: open.cause } : this.#named(point, weighed);
    const higher = weighed.weight > course.peak;
    const sameKind = named.kind === open.kind || weighed.weight < OPEN_WEIGHT;
    if (!higher && sameKind) return null;
    course.peak = Math.max(course.peak, weighed.weight);
    this.#open = {
      ...open,
      ...named,
      ...(higher
        ? {
            peakMs: point.timeMs,
            likelihood: likelihoodOf(weighed),
            contributors: weighed.contributors,
            vouched: vouchedBy(weighed, point),
          }
        : {}),
      severity: open.explainedBy !== null ? 'info' : open.severity === 'page' ? 'page' : severityOf(weighed),
    };
    return { change: 'updated', incident: this.#open };
  }

  #named(point: VmPoint, { silent, contributors }: Weighed) {
    return nameIncident({
      silent,
      contributors,
      before: this.#usual,
      now: point.values,
      sizes: this.identity.sizes,
      memoryRose: this.#course.rises / Math.max(1, this.#course.points - 1),
      points: this.#course.points,
    });
  }

  /** What happens during an incident is not what is usual. */
  #learnUsual({ values }: VmPoint): void {
    for (const [metric, value] of Object.entries(values) as [VmMetric, number][]) {
      if (!Number.isFinite(value)) continue;
      const usual = this.#usual[metric] ?? value;
      this.#usual[metric] = usual + (value - usual) * USUAL_GAIN;
    }
  }
}

/** Most of what weighs is of metrics that the host sees itself; so is that nothing is heard of a VM it runs. */
function vouchedBy({ contributors, silent }: { contributors: readonly Contributor[]; silent: boolean }, { claimed }: VmPoint): boolean {
  if (silent || claimed === undefined || claimed.size === 0) return true;
  const onWord = contributors.filter(({ name }) => claimed.has(name.split(': ')[0] as VmMetric));
  return onWord.reduce((sum, { share }) => sum + share, 0) < 0.5;
}

function severityOf({ weight, silent }: Weighed): Severity {
  return silent || weight >= PAGE_WEIGHT ? 'page' : 'warning';
}

/** One half where an incident opens. */
const likelihoodOf = ({ weight, silent }: Weighed): number => (silent ? 1 : weight / (weight + OPEN_WEIGHT));
