/**
 * From one VM's evidence to incidents: opened when evidence weighs enough, closed when it has long been light (hysteresis), so
 * that one event is one incident whatever metrics it shows in. Input: one instant of the VM after the other; output: what
 * changed. Nothing is opened while the VM is still being learnt.
 */
import type { Contributor } from './detector.ts';
import { type Feedback, Tuning } from './feedback.ts';
import { type Incident, type IncidentKind, type Severity, VM_METRICS, type VmMetric, type VmPoint } from './incident.ts';
import { type CourseState, IncidentCourse } from './incident-course.ts';
import { nameIncident } from './incident-kind.ts';
import { gravity, isMaterial } from './material.ts';
import { MISSING, RISING, VmWatch, type WatchState, type Weighed } from './vm-watch.ts';
import { WatchEngine } from './watch-engine.ts';

/** Chosen on recorded VMs: at 6 false incidents double, at 12 small level shifts take three times as long. */
const OPEN_WEIGHT = 8;
const PAGE_WEIGHT = 16;
/** Lighter than this for so many points and it is over. */
const CLOSE_WEIGHT = 1;
const CLOSE_POINTS = 6;
/** What is usual is known after so many points: a day of five-minute samples. */
export const LEARNING_POINTS = 288;
/** Named in an incident. */
const CONTRIBUTORS_MAX = 3;
/** What was taken from a VM, or was announced, is felt for a while in any metric; these come of something else if they come later. */
const NOT_OUR_DOING: ReadonlySet<IncidentKind> = new Set(['leak', 'runaway process']);
/** Gain of what is usual before an incident: half a day of five-minute samples. */
const USUAL_GAIN = 1 / 72;

export interface VmIdentity {
  vm: string;
  host: string;
  sizes: Readonly<Partial<Record<VmMetric, number>>>;
}

export interface IncidentsState {
  watch: WatchState;
  usual: Partial<Record<VmMetric, number>>;
  points: number;
  open: Incident | null;
  course: Partial<CourseState>;
  tuning: ReturnType<Tuning['toJSON']>;
}

export interface IncidentChange {
  change: 'opened' | 'updated' | 'closed';
  incident: Incident;
  /** What people are to be told of an update: another name than the one they know, or that it has become one to wake somebody for. */
  news?: string;
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
  /** The newest value of each metric, however old. */
  #newest: Partial<Record<VmMetric, number>> = {};
  #points = 0;
  #open: Incident | null = null;
  #likelihood = 0;
  #course = new IncidentCourse();

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
    this.#course.memory(this.#newest.memory ?? Number.NaN, point.values.memory ?? Number.NaN);
    for (const [metric, value] of Object.entries(point.values) as [VmMetric, number][])
      if (Number.isFinite(value)) this.#newest[metric] = value;
    const change = this.#open === null ? this.#maybeOpen(point, weighed, explain) : this.#goOn(point, weighed, explain);

    if (this.#open === null) this.#learnUsual(point);
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
      ...{ open: this.#open, course: this.#course.toJSON(), tuning: this.#tuning.toJSON() },
    };
  }

  /** STORE_CORRUPT for another build's. What went on when it was written goes on. */
  restore({ watch, usual, points, open, course, tuning }: IncidentsState): void {
    this.#watch.restore(watch);
    Object.assign(this.#usual, usual);
    this.#points = points;
    this.#open = open;
    this.#course = new IncidentCourse(course);
    this.#tuning.restore(tuning);
  }

  get seen(): Seen {
    return { likelihood: this.#likelihood, open: this.#open };
  }

  get stateBytes(): number {
    return this.#watch.stateBytes + 512 + this.#tuning.stateBytes;
  }

  #maybeOpen(point: VmPoint, weighed: Weighed, explain: string | null): IncidentChange | null {
    const enough = weighed.weight >= OPEN_WEIGHT * this.#tuning.tolerance && this.#points >= this.#learningPoints;
    if (!weighed.silent && !(enough && this.#matters(weighed))) return null;
    this.#course = new IncidentCourse();
    const { vm, host } = this.identity;
    const called = this.#called(weighed);
    this.#course.opened(called, weighed.weight);
    const explained = explain ?? this.#tuning.expects(called.kind, point.timeMs);
    this.#open = {
      vm,
      host,
      ...called,
      severity: explained === null ? severityOf(weighed) : 'info',
      startMs: point.timeMs,
      peakMs: point.timeMs,
      endMs: null,
      likelihood: likelihoodOf(weighed),
      vouched: vouchedBy(weighed, point),
      explainedBy: explained,
    };
    return { change: 'opened', incident: this.#open };
  }

  /** At least one of the metrics that weigh has come away from what is usual by more than a trifle. */
  #matters({ contributors }: Weighed): boolean {
    const { sizes } = this.identity;
    return contributors.some((one) => saysAll(one) || isMaterial(metricOf(one), this.#usual, this.#newest, sizes));
  }

  #goOn(point: VmPoint, weighed: Weighed, explain: string | null): IncidentChange | null {
    const open = this.#open!;
    const course = this.#course;
    course.next(weighed.weight < CLOSE_WEIGHT && !weighed.silent);
    if (course.light >= CLOSE_POINTS) {
      this.#open = null;
      return { change: 'closed', incident: { ...open, endMs: point.timeMs } };
    }
    const higher = course.weighs(weighed.weight);
    // What would open no incident gives it no other name either.
    if (weighed.weight < OPEN_WEIGHT && !weighed.silent) return null;
    const called = this.#called(weighed);
    const name = course.name(open, called);
    const reworded = name === 'another' || (name === 'same' && (higher || course.dueWords()));
    if (!higher && !reworded) return null;
    if (reworded) course.worded();
    const explainedBy = name === 'another' && NOT_OUR_DOING.has(called.kind) ? this.#why(called.kind, open, explain) : open.explainedBy;
    const severity = explainedBy !== null ? 'info' : open.severity === 'page' ? 'page' : severityOf(weighed);
    this.#open = {
      ...open,
      ...(reworded ? { ...called, vouched: vouchedBy(weighed, point) } : {}),
      ...(higher ? { peakMs: point.timeMs, likelihood: likelihoodOf(weighed) } : {}),
      severity,
      explainedBy,
    };
    const formerly = name === 'another' ? course.formerly(this.#open) : null;
    const news = [
      formerly === null ? [] : `told before as ${formerly}`,
      severity !== 'page' || open.severity === 'page' ? [] : 'worse than it began',
    ].flat();
    return { change: 'updated', incident: this.#open, ...(news.length > 0 ? { news: news.join(', ') } : {}) };
  }

  /** What explained its beginning explains no fault that shows when that is over. */
  #why(kind: IncidentKind, { explainedBy, startMs }: Incident, explain: string | null): string | null {
    return explainedBy === null ? null : (explain ?? this.#tuning.expects(kind, startMs));
  }

  /** Kind, words and contributors by the evidence as it is now, what matters most first. */
  #called({ silent, contributors }: Weighed): Pick<Incident, 'kind' | 'cause' | 'contributors'> {
    const { sizes } = this.identity;
    const gravityOf = (one: Contributor): number => (saysAll(one) ? 1 : gravity(metricOf(one), this.#usual, this.#newest, sizes));
    const rank = (one: Contributor): number => Math.sqrt(one.share) * gravityOf(one);
    const ranked = contributors.toSorted((a, b) => rank(b) - rank(a)).slice(0, CONTRIBUTORS_MAX);
    const { memoryRose, points } = this.#course;
    const named = nameIncident({ silent, contributors: ranked, before: this.#usual, now: this.#newest, sizes, memoryRose, points });
    return { ...named, contributors: ranked };
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

/** Not the value tells that it matters. */
const saysAll = ({ name }: Contributor): boolean => name.endsWith(MISSING) || name.endsWith(RISING);
const metricOf = ({ name }: Contributor): VmMetric => name.split(': ')[0] as VmMetric;

/** Most of what weighs is of metrics that the host sees itself; so is that nothing is heard of a VM it runs. */
function vouchedBy({ contributors, silent }: { contributors: readonly Contributor[]; silent: boolean }, { claimed }: VmPoint): boolean {
  if (silent || claimed === undefined || claimed.size === 0) return true;
  const onWord = contributors.filter((one) => claimed.has(metricOf(one)));
  return onWord.reduce((sum, { share }) => sum + share, 0) < 0.5;
}

function severityOf({ weight, silent }: Weighed): Severity {
  return silent || weight >= PAGE_WEIGHT ? 'page' : 'warning';
}

/** One half where an incident opens. */
const likelihoodOf = ({ weight, silent }: Weighed): number => (silent ? 1 : weight / (weight + OPEN_WEIGHT));
