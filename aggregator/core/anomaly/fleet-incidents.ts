/**
 * Incidents of a whole fleet: one watch a VM, known events explained away, incidents of one host at one time held together,
 * and a storm over the fleet recognised for what it is (a bad collector, a clock step): then nobody is woken for each VM. Input:
 * instants of VMs in the order they arrive; output: what changed, and who is to be told.
 */
import type { Feedback } from './feedback.ts';
import { type Incident, VM_METRICS, type VmPoint } from './incident.ts';
import { type KnownEvent, KnownEvents } from './known-events.ts';
import { type IncidentChange, type Seen, type VmIdentity, VmIncidents } from './vm-incidents.ts';
import { WatchEngine } from './watch-engine.ts';

/** Incidents that begin within this time of each other may have one cause. */
const TOGETHER_MS = 15 * 60_000;
/** A storm: this share of at least so many VMs, on more than one host unless there is only one. */
const STORM_SHARE = 0.2;
const STORM_VMS_MIN = 5;

export interface FleetChange extends IncidentChange {
  /** False: explained, part of a storm, or one more VM of an incident already told for its host. */
  alert: boolean;
  /** VMs of the same host whose incidents began within a quarter of an hour, this one included. */
  together: readonly string[];
}

export class FleetIncidents {
  readonly #learningPoints: number | undefined;
  readonly #engine = new WatchEngine(VM_METRICS.length);
  readonly #vms = new Map<string, VmIncidents>();
  /** Few beside the fleet: looked through at every point. */
  readonly #open = new Map<string, Incident>();
  readonly #known = new KnownEvents();
  /** As looked for last, until one opens, changes or ends: every VM of a step asks for the same instant. */
  #recentOnes: { atMs: number; incidents: Incident[] } | null = null;
  /** Until when a storm is assumed to go on, ms. */
  #stormUntilMs = Number.NEGATIVE_INFINITY;

  /** @param learningPoints points of a VM before anything of it is judged; absent = as built in */
  constructor(learningPoints?: number) {
    this.#learningPoints = learningPoints;
  }

  /** Our own resizes go here too, before their effect can be seen. */
  addKnownEvent(event: KnownEvent): void {
    this.#known.add(event);
  }

  removeKnownEvent(event: KnownEvent): void {
    this.#known.remove(event);
  }

  /** What was announced and is not forgotten yet. */
  get knownEvents(): readonly KnownEvent[] {
    return this.#known.all;
  }

  /** Forgets a VM that is gone. */
  remove(vm: string): void {
    this.#vms.delete(vm);
    this.#close(vm);
  }

  #close(vm: string): void {
    if (this.#open.delete(vm)) this.#recentOnes = null;
  }

  /** Every open incident, the oldest first. */
  get open(): Incident[] {
    return [...this.#open.values()].sort((a, b) => a.startMs - b.startMs);
  }

  /** Null: never observed. */
  seen(vm: string): Seen | null {
    return this.#vms.get(vm)?.seen ?? null;
  }

  /** What is known of a VM, made anew where nothing is. */
  of(identity: VmIdentity): VmIncidents {
    let incidents = this.#vms.get(identity.vm);
    if (incidents === undefined) {
      incidents = new VmIncidents(identity, this.#learningPoints, this.#engine);
      this.#vms.set(identity.vm, incidents);
    }
    return incidents;
  }

  /** Nobody is told and nothing is done for single VMs while this holds. */
  storms(atMs: number): boolean {
    return this.#storms(atMs);
  }

  judge(feedback: Feedback, incident: Incident, nowMs: number): FleetChange | null {
    const change = this.#vms.get(incident.vm)?.judge(feedback, incident, nowMs) ?? null;
    if (change === null) return null;
    this.#close(incident.vm);
    return { ...change, alert: false, together: [incident.vm] };
  }

  observe(identity: VmIdentity, point: VmPoint): FleetChange | null {
    const incidents = this.of(identity);
    // It may have moved or been resized since.
    incidents.identity = identity;
    const change = incidents.observe(point, this.#explain(identity.vm, point.timeMs)) ?? this.#takenUp(identity.vm, incidents);
    if (change === null) return null;
    if (change.change === 'closed') this.#close(identity.vm);
    else this.#open.set(identity.vm, change.incident);
    this.#recentOnes = null;
    const together = this.#recent(point.timeMs).filter(({ host }) => host === identity.host);
    const first = together.every(({ vm, startMs }) => vm === identity.vm || startMs > change.incident.startMs);
    const told = change.incident.explainedBy !== null || this.#storms(point.timeMs);
    return { ...change, alert: !told && (first || change.change === 'closed'), together: together.map(({ vm }) => vm) };
  }

  /** An incident that went on in an earlier run goes on here, and counts from its VM's first instant. */
  #takenUp(vm: string, { seen: { open } }: VmIncidents): IncidentChange | null {
    return open === null || this.#open.has(vm) ? null : { change: 'updated', incident: open };
  }

  #explain(vm: string, atMs: number): string | null {
    if (this.#storms(atMs)) return 'a storm over the fleet: so many VMs at once point to a collector, a clock or the network';
    return this.#known.explain(vm, atMs);
  }

  #recent(atMs: number): Incident[] {
    if (this.#recentOnes?.atMs === atMs) return this.#recentOnes.incidents;
    const incidents = [...this.#open.values()].filter(({ startMs, explainedBy }) => atMs - startMs <= TOGETHER_MS && explainedBy === null);
    this.#recentOnes = { atMs, incidents };
    return incidents;
  }

  #storms(atMs: number): boolean {
    if (atMs <= this.#stormUntilMs) return true;
    // Asked for each VM at each step: what is dear is looked at last.
    const least = Math.max(STORM_VMS_MIN, STORM_SHARE * this.#vms.size);
    if (this.#open.size < least) return false;
    const recent = this.#recent(atMs);
    if (recent.length < least) return false;
    const struck = new Set(recent.map(({ host }) => host)).size;
    if (struck < 2 && new Set([...this.#vms.values()].map(({ identity }) => identity.host)).size > 1) return false;
    this.#stormUntilMs = atMs + TOGETHER_MS;
    return true;
  }
}
