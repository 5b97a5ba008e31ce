/**
 * Watches the live fleet for anomalies: at the end of each step every running VM's metrics go through its detectors, and
 * what begins, changes and ends is told. Input: snapshots, our own changes, what people know and say; output: incidents, the
 * latest remembered, and rows for the series. It sees and tells; what is done about it is the desk's.
 */
import type { VmId } from '../../shared/ids.ts';
import { RESOURCES, type Resource } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { anomalyBlock } from '../core/anomaly/anomaly-rows.ts';
import type { Feedback } from '../core/anomaly/feedback.ts';
import { type FleetChange, FleetIncidents } from '../core/anomaly/fleet-incidents.ts';
import type { Incident, VmMetric, VmPoint } from '../core/anomaly/incident.ts';
import type { KnownEvent } from '../core/anomaly/known-events.ts';
import type { VmIdentity, VmIncidents } from '../core/anomaly/vm-incidents.ts';
import { type FleetSnapshot, headline, type PlanStep, type VmSnapshot } from '../core/plan/plan.ts';
import { MEMORY_HOLD_MS } from '../core/state/demand.ts';
import type { IncidentView } from '../http/service.ts';
import type { AnomalyMemory } from './kept-incidents.ts';

/** Incidents remembered, open ones included: a storm over a thousand VMs fits. */
const REMEMBERED_MAX = 1000;
/** Of one incident: what was done, and each other reason why not. */
const ACTIONS_MAX = 20;
/** A VM that was not seen for so long after a restart is gone, and its incident with it. */
const RETURN_MS = 3_600_000;
/** What is known of a VM may come from the ledger after its first look. */
const LOOKS_TO_SETTLE = 2;
/** Samples older than so many steps are none; of memory, what still counts as its demand is one: statistics come seldomer than short steps. */
const STALE_STEPS = 2;

/** Looked at without giving way: some 50 ms. */
const VMS_PER_TURN = 500;

export class AnomalyWatch {
  readonly #fleet: FleetIncidents;
  /** By VM and start, in the order of their beginning. */
  readonly #incidents = new Map<string, IncidentView>();
  /** Open when an earlier run ended, by VM: they go on or are over as soon as the VM is looked at. */
  readonly #recalled = new Map<string, { id: string; looks: number }>();
  #recalledUntilMs = Number.POSITIVE_INFINITY;
  /** There is more to keep than was taken last; our own resizes aside, which are known for minutes only. */
  changed = false;
  readonly #stepMs: number;
  /** Sent and not answered yet: each ends with an outcome. */
  readonly #shrinking = new Map<PlanStep, KnownEvent>();
  /** Gone since the step under way began. */
  readonly #removed = new Set<VmId>();
  readonly #tell: (change: FleetChange, incident: IncidentView) => void;

  /** @param learningSteps steps of a VM before anything of it is judged; absent = as built in */
  constructor(stepMs: number, tell: (change: FleetChange, incident: IncidentView) => void, learningSteps?: number) {
    this.#fleet = new FleetIncidents(learningSteps);
    this.#stepMs = stepMs;
    this.#tell = tell;
  }

  /** Once a step, after it has ended. Answers what was seen, as rows of the VMs' series. `giveWay` lets others have their turn. */
  async step({ nowMs, vms, hosts }: FleetSnapshot, giveWay: () => Promise<void>): Promise<TelemetryBlock[]> {
    const blocks: TelemetryBlock[] = [];
    const connected = new Set(hosts.filter((host) => host.connected).map(({ id }) => id));
    this.#removed.clear();
    for (const [i, vm] of vms.entries()) {
      if (i % VMS_PER_TURN === VMS_PER_TURN - 1) await giveWay();
      if (this.#removed.has(vm.id)) continue;
      // A host that is gone says nothing about its VMs, and a VM that does not run has nothing to say.
      if (vm.state !== 'ready' || !connected.has(vm.host)) continue;
      const change = this.#fleet.observe(identityOf(vm), this.#pointOf(vm, nowMs));
      if (change !== null) this.#remember(change, vm.name);
      this.#settle(vm.id, nowMs);
      const block = anomalyBlock(vm.id, nowMs, this.#fleet.seen(vm.id), change);
      if (block !== null) blocks.push(block);
    }
    if (nowMs > this.#recalledUntilMs) for (const vm of [...this.#recalled.keys()]) this.#end(vm, nowMs);
    return blocks;
  }

  /**
   * Taking something from a VM shows in its metrics, from the moment it is asked for: a balloon takes seconds. That is no anomaly.
   * Growth is no excuse: it follows a leak.
   */
  noteSent(step: PlanStep, atMs: number): void {
    const { vm, resource, direction, from, to } = step;
    if (this.#shrinking.has(step)) return;
    const [before, after] = [headline(from, Number.POSITIVE_INFINITY), headline(to, Number.POSITIVE_INFINITY)];
    // Weights alone take nothing from a VM.
    if (direction !== 'shrink' || before === after) return;
    const amounts = [before, after]
      .map((amount) => (Number.isFinite(amount) ? String(Math.round(amount * 100) / 100) : 'no limit'))
      .join(' to ');
    const event = { vm, fromMs: atMs, toMs: atMs, why: `our own resize of ${resource} from ${amounts}` };
    this.#shrinking.set(step, event);
    this.#fleet.addKnownEvent(event);
  }

  /** What was not carried out excuses nothing; what was is felt from now on. `done` null: nobody answered, so it may have been. */
  noteOutcome(step: PlanStep, done: boolean | null, atMs: number): void {
    const event = this.#shrinking.get(step);
    if (event === undefined) return;
    this.#shrinking.delete(step);
    if (done === null) return;
    this.#fleet.removeKnownEvent(event);
    if (done) this.#fleet.addKnownEvent({ ...event, toMs: atMs });
  }

  addKnownEvent(event: KnownEvent): void {
    this.changed = true;
    this.#fleet.addKnownEvent(event);
  }

  /** So many VMs at once that none of them is the cause. */
  storms(nowMs: number): boolean {
    return this.#fleet.storms(nowMs);
  }

  /** What is going on with a VM that nothing explains, or null. */
  open(vm: VmId): Incident | null {
    return this.#fleet.open.find((incident) => incident.vm === vm && incident.explainedBy === null) ?? null;
  }

  /** What is known of a VM, to be kept with its models. */
  memoryOf(vm: VmSnapshot): VmIncidents {
    return this.#fleet.of(identityOf(vm));
  }

  /** Null: it is not remembered. */
  incident(id: string): IncidentView | null {
    return this.#incidents.get(id) ?? null;
  }

  /** A person's word on one of the incidents remembered. */
  judge(incident: IncidentView, feedback: Feedback, nowMs: number): IncidentView {
    const change = this.#fleet.judge(feedback, incident, nowMs);
    const judged = { ...incident, ...(change?.incident ?? {}), feedback };
    this.#put(judged);
    if (change !== null) this.#tell(change, judged);
    return judged;
  }

  /** What was done about it, or why not. */
  noteAction(id: string, taken: IncidentView['actions'][number]): void {
    const incident = this.#incidents.get(id);
    if (incident) this.#put({ ...incident, actions: [...incident.actions, taken].slice(-ACTIONS_MAX) });
  }

  /** A VM that is gone has nothing wrong with it any more. */
  remove(vm: VmId, nowMs: number): void {
    this.#removed.add(vm);
    this.#fleet.remove(vm);
    this.#end(vm, nowMs);
  }

  /** What an earlier run knew. Told to nobody again. */
  recall({ incidents, known }: AnomalyMemory, nowMs: number): void {
    for (const incident of incidents.toReversed()) {
      this.#incidents.set(incident.id, incident);
      if (incident.endMs === null) this.#recalled.set(incident.vm, { id: incident.id, looks: 0 });
    }
    for (const event of known) this.#fleet.addKnownEvent(event);
    this.#recalledUntilMs = nowMs + RETURN_MS;
  }

  /** All that is to be kept: from now on it counts as kept. */
  takeMemory(): AnomalyMemory {
    this.changed = false;
    return { incidents: this.incidents(), known: this.#fleet.knownEvents };
  }

  /** Newest first. */
  incidents(): IncidentView[] {
    return [...this.#incidents.values()].reverse();
  }

  #pointOf(vm: VmSnapshot, timeMs: number): VmPoint {
    const values: Partial<Record<VmMetric, number>> = {};
    const staleMs = STALE_STEPS * this.#stepMs;
    const isFresh = (resource: Resource): boolean =>
      vm.demand[resource].ageMs <= (resource === 'memory' ? Math.max(staleMs, MEMORY_HOLD_MS) : staleMs);
    for (const resource of RESOURCES) {
      const { usage } = vm.demand[resource];
      if (usage !== null && isFresh(resource)) values[resource] = usage;
    }
    const claimed = new Set<VmMetric>(RESOURCES.filter((each) => !vm.demand[each].vouched));
    // A mean over the last minutes, which goes on after the samples it rests on have stopped.
    const { steal, pressure, stealClaimed } = (isFresh('cpu') && vm.strain) || {};
    if (steal !== undefined) values.steal = steal;
    if (pressure !== undefined) values.pressure = pressure;
    if (stealClaimed) claimed.add('steal');
    return { timeMs, values, claimed };
  }

  #remember(change: FleetChange, vmName: string): void {
    const { incident } = change;
    const id = idOf(incident);
    const { actions = [], feedback = null } = this.#incidents.get(id) ?? {};
    const view: IncidentView = { id, vmName, ...incident, actions, feedback };
    this.#put(view);
    this.#tell(change, view);
  }

  #put(view: IncidentView): void {
    this.#incidents.set(view.id, view);
    this.changed = true;
    const oldest = this.#incidents.keys().next().value;
    if (this.#incidents.size > REMEMBERED_MAX && oldest !== undefined) this.#incidents.delete(oldest);
  }

  /** Its VM is looked at again: what was open when the earlier run ended goes on under the same name, or was over since. */
  #settle(vm: VmId, nowMs: number): void {
    const recalled = this.#recalled.get(vm);
    if (recalled === undefined) return;
    const open = this.#fleet.seen(vm)?.open;
    if (open && idOf(open) === recalled.id) this.#recalled.delete(vm);
    else if (++recalled.looks >= LOOKS_TO_SETTLE) this.#end(vm, nowMs, recalled.id);
  }

  /** Of what is open of a VM, or of one incident of it. */
  #end(vm: string, nowMs: number, id?: string): void {
    this.#recalled.delete(vm);
    for (const view of this.#incidents.values()) {
      if (view.vm !== vm || view.endMs !== null || (id !== undefined && view.id !== id)) continue;
      const over = { ...view, endMs: nowMs };
      this.#put(over);
      this.#tell({ change: 'closed', incident: over, alert: over.explainedBy === null, together: [vm] }, over);
    }
  }
}

const idOf = ({ vm, startMs }: Incident): string => `${vm}-${startMs}`;

function identityOf(vm: VmSnapshot): VmIdentity {
  return { vm: vm.id, host: vm.host, sizes: sizesOf(vm) };
}

function sizesOf(vm: VmSnapshot): Partial<Record<VmMetric, number>> {
  return { cpu: vm.vcpus, memory: vm.bootMemoryMiB };
}
