/**
 * What is known of one VM: inventory, settings in force and under way, demand, models, verdicts. Inventory, rows, events
 * and results in; a VmSnapshot and series rows out. Ages by our monotonic clock; what was not told is unknown.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { VmInventory } from '../../../shared/protocol/frames.ts';
import { comparePairs, type Pair, RESOURCES, type Resource, type Setting } from '../../../shared/resources.ts';
import { sameValue } from '../../../shared/same-value.ts';
import { type TelemetryBlock, tellsDemand } from '../../../shared/telemetry.ts';
import type { PeerProfiles } from '../classify/peer-profiles.ts';
import type { Classification } from '../classify/workload-class.ts';
import { othersHeard } from '../forecast/heard.ts';
import type { BootProfiles } from '../lifecycle/boot-profiles.ts';
import { VmBoots } from '../lifecycle/vm-boots.ts';
import type { DemandView, ForecastView, Hold, VmIncident, VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import type { EvidenceStep } from '../verdict/judge.ts';
import { Agreements } from './agreements.ts';
import { packCheckpoint, unpackCheckpoint } from './checkpoint.ts';
import { type Contention, ContentionScore } from './contention-score.ts';
import { DemandAccumulator, type DemandOptions, type DemandStep } from './demand.ts';
import { factsOf, settingsMap } from './demand-facts.ts';
import { atMost, DemandModels, type ModelOptions } from './demand-models.ts';
import { fieldPlan } from './field-plan.ts';
import { type GpuUse, GpuWatch } from './gpu-use.ts';
import { GuestSignals } from './guest-signals.ts';
import { Hints } from './hints.ts';
import { KeptWatch } from './kept-watch.ts';
import { LastTold } from './last-told.ts';
import { LearningGate } from './learning-gate.ts';
import { perResource } from './per-resource.ts';
import { stepBlock } from './series-rows.ts';
import { VcpuWatch } from './vcpu-watch.ts';
import { type VerdictOptions, Verdicts } from './verdicts.ts';
import { WorkingSetPeaks } from './working-set-peaks.ts';
import { Workload, type WorkloadFacts } from './workload.ts';

export interface VmRecordOptions extends ModelOptions {
  demand: DemandOptions;
  verdicts: VerdictOptions;
  /** How long after a VM became ready, or was first seen, its steps teach nothing. */
  settleMs: number;
  /** What VMs of a kind need: shared by all. */
  peers: PeerProfiles;
  /** What VMs' boots take: shared by all. */
  boots: BootProfiles;
}

interface HeldUntil {
  resource: Resource;
  reason: string;
  /** By our monotonic clock, null = until lifted. */
  untilMonoMs: number | null;
}

/** Smallest difference in demand that matters, as a share of the VM's size. */
const RESOLUTION_SHARE = 0.01;
/** The newest finished step speaks for the present for this many steps. */
const PRESENT_STEPS = 3;

const tellsDemandOf = fieldPlan((fields) => tellsDemand({ fields }));

export class VmRecord {
  readonly id: VmId;
  host: HostId;
  inventory: VmInventory;
  current: Partial<Record<Resource, Setting>> = {};
  pending: Partial<Record<Resource, Setting>> = {};
  readonly pairs: Partial<Record<Resource, Pair>> = {};
  readonly lastChange: VmSnapshot['lastChange'] = {};
  readonly verdicts: Verdicts;
  readonly vcpus: VcpuWatch;
  readonly models: DemandModels;
  readonly #options: VmRecordOptions;
  readonly #demand: DemandAccumulator;
  readonly #learning: LearningGate;
  readonly #peaks: WorkingSetPeaks;
  readonly #contention = new ContentionScore();
  /** Null: it never told of a GPU. */
  #gpu: GpuWatch | null = null;
  readonly #workload: Workload;
  readonly hints = new Hints();
  readonly guestSignals = new GuestSignals();
  /** What is wrong with it now, as the anomaly watch says; null = nothing. */
  incident: VmIncident | null = null;
  /** What its anomaly watch knows, to be kept with its models. */
  readonly watch = new KeptWatch();
  readonly #boots: VmBoots;
  /** What the host told of its last start or end; empty = nothing. */
  lastLifecycle = '';
  /** Its host said that it went on to another: whichever reports it next has it. */
  hasLeft = false;
  readonly agreements = new Agreements();
  readonly #told = new LastTold();
  readonly #forecasts: Partial<Record<Resource, ForecastView>> = {};
  #holds: HeldUntil[] = [];
  #point: DemandStep | null = null;
  /** Labels as the policy remembers them: the same object for as long as they are equal. */
  #labels: Readonly<Record<string, string>> = {};

  constructor(host: HostId, inventory: VmInventory, options: VmRecordOptions) {
    this.id = inventory.vm as VmId;
    this.host = host;
    this.inventory = inventory;
    this.#options = options;
    this.#demand = new DemandAccumulator(options.demand, factsOf(inventory, null, this.current));
    this.#learning = new LearningGate(options.settleMs);
    this.#peaks = new WorkingSetPeaks(1);
    this.verdicts = new Verdicts(options.verdicts);
    this.vcpus = new VcpuWatch(options.verdicts);
    this.#workload = new Workload(options.peers);
    this.#boots = new VmBoots(options.boots);
    const resolution = {
      cpu: RESOLUTION_SHARE * Math.max(1, inventory.vcpus),
      memory: Math.max(1, RESOLUTION_SHARE * inventory.bootMemoryMiB),
    };
    this.models = new DemandModels(options, resolution);
  }

  applyInventory(host: HostId, inventory: VmInventory, nowMonoMs: number): void {
    this.host = host;
    this.inventory = inventory;
    this.hasLeft = false;
    this.#boots.applyInventory(inventory);
    if (!sameValue(this.#labels, inventory.labels)) this.#labels = { ...inventory.labels };
    this.current = settingsMap(inventory.current);
    for (const { resource, pair } of inventory.pairs) this.raisePair(resource, pair);
    this.vcpus.note(inventory.vcpusOnline ?? null, nowMonoMs);
    this.#holds = inventory.holds.map(({ resource, reason, forMs }) => ({
      resource,
      reason,
      untilMonoMs: forMs === null ? null : nowMonoMs + forMs,
    }));
  }

  get labels(): Readonly<Record<string, string>> {
    return this.#labels;
  }

  /** It runs, or may run: what is off has nothing in force, whatever late word of it comes. */
  get mayHold(): boolean {
    return this.inventory.state !== 'stopped' && this.inventory.state !== 'error';
  }

  /** What the policy's rules look at. */
  get matched(): Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'> {
    return { id: this.id, name: this.inventory.name, host: this.host, labels: this.#labels };
  }

  applyPolicy(policy: FleetPolicy): void {
    this.#demand.setFacts(
      factsOf(
        this.inventory,
        perResource((resource) => policy.resolve(this.matched, resource)),
        this.current,
      ),
    );
    this.#peaks.setWindow(policy.resolve(this.matched, 'memory').workingSetWindowMs);
  }

  raisePair(resource: Resource, pair: Pair): void {
    const known = this.pairs[resource];
    if (known === undefined || comparePairs(pair, known) > 0) this.pairs[resource] = pair;
  }

  hold(resource: Resource, reason: string, untilMonoMs: number | null): void {
    this.#holds = [...this.#holds.filter((hold) => hold.resource !== resource), { resource, reason, untilMonoMs }];
  }

  /** Rows of this VM, times already ours. */
  addBlock(block: TelemetryBlock, nowMs: number, nowMonoMs: number): void {
    if (block.source === 'guest' && GpuWatch.tells(block)) {
      this.#gpu ??= new GpuWatch();
      this.#gpu.add(block);
    }
    if (!tellsDemandOf(block.fields)) {
      this.#workload.addBlock(block);
      return;
    }
    this.#demand.add(block);
    this.#boots.addBlock(block);
    this.#contention.add(block);
    this.#told.add(block, nowMonoMs);
    if (block.source === 'guest') {
      this.guestSignals.add(block);
      return;
    }
    const workingSetMiB = this.#demand.workingSetNowMiB(nowMs);
    if (!Number.isNaN(workingSetMiB)) this.#peaks.add(nowMs, workingSetMiB);
  }

  /** Closes finished steps, teaches the models, forecasts. Series rows of the closed steps come back. */
  closeSteps(nowMs: number, policy: FleetPolicy): TelemetryBlock[] {
    const blocks: TelemetryBlock[] = [];
    for (const step of this.#demand.closeUntil(nowMs)) {
      this.#point = step;
      const demand: Partial<Record<Resource, number>> = {};
      const levels: Partial<Record<Resource, number>> = {};
      const foretold = { ...this.#forecasts };
      const teaches = this.#learning.teaches(step.startMs, this.#options.demand.stepMs, this.inventory.state, this.incident);
      const facts = this.#workloadFacts();
      if (teaches) this.#workload.closeStep(step.points, facts);
      for (const resource of RESOURCES) {
        const { value, suppressed } = step.points[resource];
        const wishes = policy.resolve(this.matched, resource);
        if (wishes.mode === 'auto' || wishes.mode === 'recommend')
          this.#witness(resource, { startMs: step.startMs, demand: value, suppressed });
        levels[resource] = 1 - wishes.violationBudget;
        if (value === null || wishes.mode === 'off') continue;
        demand[resource] = value;
        if (!teaches) continue;
        const others = othersHeard(resource, (other) => step.points[other].value);
        this.models.observe(resource, wishes.forecaster, { startMs: step.startMs, value, others });
        const forecast = this.models.forecast(resource, wishes);
        if (!forecast) continue;
        const mends = resource === 'cpu' || resource === 'memory';
        this.#foresee(resource, mends ? this.#workload.mend(resource, forecast, value, facts) : forecast);
      }
      this.agreements.closeStep(policy, this.matched, step.startMs, step.points, this.current);
      const { id, current } = this;
      const block = stepBlock({ vm: id, startMs: step.startMs, demand, current, forecasts: this.#forecasts, foretold, levels });
      if (block) blocks.push(block);
    }
    return blocks;
  }

  /** Only what may be changed is judged. */
  #witness(resource: Resource, step: EvidenceStep): void {
    this.verdicts.step(resource, step);
    if (resource === 'cpu') this.vcpus.step(step);
  }

  /** Models know the past only; that nobody computes on more than all vCPUs is known here. */
  #foresee(resource: Resource, forecast: ForecastView | null): void {
    if (forecast) this.#forecasts[resource] = resource === 'cpu' ? atMost(forecast, this.inventory.vcpus) : forecast;
  }

  #workloadFacts(): WorkloadFacts {
    const { name, vcpus, bootMemoryMiB } = this.inventory;
    return { id: this.id, name, labels: this.#labels, vcpus, bootMemoryMiB };
  }

  /** Which kind of work it does, and how sure that is. */
  get workload(): Classification {
    return this.#workload.classification(this.#workloadFacts());
  }

  /** Null: nothing is known of its GPUs. The highest of its use starts anew: asked once a step. */
  takeGpuUse(nowMs: number): GpuUse | null {
    return this.#gpu?.take(nowMs) ?? null;
  }

  /** Null: nothing is known of late. */
  contention(nowMs: number): Contention | null {
    return this.#contention.view(nowMs);
  }

  /** Memory the guest holds as its balloon was last seen, null = unknown. */
  get heldMiB(): number | null {
    return this.#told.balloonMiB;
  }

  get latestStep(): DemandStep | null {
    return this.#point;
  }

  /** The guest is short of memory as the host sees it, now. */
  memoryPressure(nowMs: number, nowMonoMs: number, staleAfterMs: number): boolean {
    return this.#told.isVouched('memory', nowMonoMs, staleAfterMs) && this.#demand.shortNow(nowMs);
  }

  rowsDropped(): number {
    return this.#demand.rowsLate + this.#demand.rowsOutOfRange;
  }

  checkpoint(): Uint8Array {
    return packCheckpoint({
      models: this.models.serialise(),
      peaks: this.#peaks.toJSON(),
      attainment: this.agreements.toJSON(),
      shape: this.#workload.shape.toJSON(),
      watch: this.watch.text(),
      boots: this.#boots.seen(),
    });
  }

  /** Answers how many models were taken over; STORE_CORRUPT when the bytes are no checkpoint. */
  restore(bytes: Uint8Array, policy: FleetPolicy): number {
    const { models, peaks, attainment = {}, shape = [], watch = null, boots = [] } = unpackCheckpoint(bytes);
    this.#boots.restore(boots);
    this.watch.restore(watch);
    this.#peaks.restore(peaks);
    this.#workload.shape.restore(shape);
    this.agreements.restore(attainment, policy);
    let restored = 0;
    for (const { resource, name, lastMs, bytes: state } of models) {
      if (!this.models.restore(resource, name, lastMs, state)) continue;
      restored++;
      this.#foresee(resource, this.models.forecast(resource, policy.resolve(this.matched, resource)));
    }
    if (restored > 0) this.#learning.open();
    return restored;
  }

  /** Estimated demand of earlier steps, oldest first, as another aggregator wrote it down. Answers how many steps were new to the models. */
  relearn(history: Partial<Record<Resource, readonly { startMs: number; value: number }[]>>, policy: FleetPolicy): number {
    let learnt = 0;
    const at = perResource((resource) => new Map(history[resource]?.map(({ startMs, value }) => [startMs, value])));
    for (const [resource, steps] of Object.entries(history) as [Resource, { startMs: number; value: number }[]][]) {
      const wishes = policy.resolve(this.matched, resource);
      if (wishes.mode === 'off') continue;
      const together = steps.map((step) => ({ ...step, others: othersHeard(resource, (other) => at[other].get(step.startMs)) }));
      learnt += this.models.relearn(resource, wishes.forecaster, together);
      this.#foresee(resource, this.models.forecast(resource, wishes));
    }
    if (learnt > 0) this.#learning.open();
    return learnt;
  }

  snapshot(policy: FleetPolicy, nowMs: number, nowMonoMs: number): VmSnapshot {
    const { inventory } = this;
    const hints = this.hints.live(nowMs);
    const boot = this.#boots.expected();
    const { infeasible } = this.verdicts;
    const snapshot: VmSnapshot = {
      id: this.id,
      name: inventory.name,
      host: this.host,
      state: inventory.state,
      labels: this.#labels,
      vcpus: inventory.vcpus,
      bootMemoryMiB: inventory.bootMemoryMiB,
      overheadMiB: inventory.overheadMiB,
      numaNode: inventory.numaNode ?? null,
      osFamily: inventory.osFamily,
      eligibility: inventory.eligibility,
      baseline: settingsMap(inventory.baseline),
      current: { ...this.current },
      pending: { ...this.pending },
      pairs: { ...this.pairs },
      holds: this.#liveHolds(nowMonoMs),
      jobActive: inventory.jobActive,
      demand: perResource((resource) => this.#demandView(resource, policy, nowMs, nowMonoMs)),
      memory: this.#memoryView(policy, nowMs, nowMonoMs),
      lastChange: { ...this.lastChange },
      coolUntilMs: { ...this.verdicts.coolUntilMs },
      rollback: { ...this.verdicts.rollback },
    };
    const vcpus = this.vcpus.view(nowMs, nowMonoMs);
    if (vcpus !== null) snapshot.vcpusOnline = vcpus;
    if (Object.keys(infeasible).length > 0) snapshot.infeasible = { ...infeasible };
    if (hints.length > 0) snapshot.hints = hints;
    if (this.incident !== null) snapshot.incident = this.incident;
    const strain = strainOf(this.#contention.view(nowMs));
    if (strain !== null) snapshot.strain = strain;
    if (boot !== null) snapshot.boot = boot;
    return snapshot;
  }

  #liveHolds(nowMonoMs: number): Hold[] {
    this.#holds = this.#holds.filter(({ untilMonoMs }) => untilMonoMs === null || untilMonoMs > nowMonoMs);
    return this.#holds.map(({ resource, reason, untilMonoMs }) => ({
      resource,
      reason,
      forMs: untilMonoMs === null ? null : untilMonoMs - nowMonoMs,
    }));
  }

  #demandView(resource: Resource, policy: FleetPolicy, nowMs: number, nowMonoMs: number): DemandView {
    const { stepMs, graceMs } = this.#options.demand;
    const step = this.#point;
    const present = step !== null && nowMs - step.startMs <= PRESENT_STEPS * stepMs + graceMs;
    const point = present ? step.points[resource] : null;
    return {
      now: point?.value ?? null,
      usage: point?.usage ?? null,
      ageMs: this.#told.ageMs(resource, nowMonoMs),
      vouched: this.#told.isVouched(resource, nowMonoMs, policy.staleAfterMs),
      suppressed: point?.suppressed ?? false,
      forecast: this.#forecasts[resource] ?? null,
    };
  }

  #memoryView(policy: FleetPolicy, nowMs: number, nowMonoMs: number): VmSnapshot['memory'] {
    const now = this.#demand.memoryNow(nowMs);
    const vouched = this.#told.isVouched('memory', nowMonoMs, policy.staleAfterMs);
    return {
      balloonMiB: now.balloonMiB ?? this.#told.balloonMiB,
      workingSetMiB: vouched ? now.workingSetMiB : null,
      workingSetPeakMiB: vouched ? this.#peaks.peak(nowMs) : null,
      rssMiB: this.#told.rssMiB,
      pressure: vouched && now.pressure,
    };
  }
}

/** Waiting for a CPU as the host sees it, else as the guest says. */
function strainOf(contention: Contention | null): NonNullable<VmSnapshot['strain']> | null {
  if (contention === null) return null;
  const { cpuWait, steal, memoryPressure, ioPressure } = contention.parts;
  const waits = cpuWait ?? steal;
  const presses = [memoryPressure, ioPressure].filter((part) => part !== null);
  const strain: NonNullable<VmSnapshot['strain']> = {};
  if (waits !== null) Object.assign(strain, { steal: waits, stealClaimed: cpuWait === null });
  if (presses.length > 0) strain.pressure = Math.max(...presses);
  return Object.keys(strain).length === 0 ? null : strain;
}
