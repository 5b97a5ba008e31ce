/**
 * The live state of the fleet: one reducer per kind of news, a tick at the end of steps, snapshots for the planner. Pure: it
 * is told the time with each call (`nowMs` for labels, `nowMonoMs` for ages) and does no I/O. What people and the ledger
 * should hear of is left in an outbox (`takeNews`).
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { FrameOf, VmInventory } from '../../../shared/protocol/frames.ts';
import type { Outcome, Resource, Setting, VmState } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { PeerProfiles } from '../classify/peer-profiles.ts';
import type { ForecasterFactory } from '../forecast/forecaster.ts';
import { BootProfiles } from '../lifecycle/boot-profiles.ts';
import { stateWords } from '../lifecycle/release.ts';
import type { Approval, VcpuApproval } from '../plan/approval.ts';
import type { FleetSnapshot, HostGrant, HostSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import { type SlaState, slaState } from '../plan/sla.ts';
import { amountWords, RESOURCE_WORDS, timeWords } from '../plan/words.ts';
import type { Change, Verdict } from '../verdict/judge.ts';
import type { DemandPoint } from './demand.ts';
import { HostRecord } from './host-record.ts';
import { LoanBook } from './loan-book.ts';
import { without } from './per-resource.ts';
import { type VcpuChange, vcpusOf } from './vcpu-watch.ts';
import type { Infeasible } from './verdicts.ts';
import { VmRecord, type VmRecordOptions } from './vm-record.ts';

export interface FleetStateOptions {
  epoch: number;
  /** Of our hold on a host, null = it is not ours to decide about now; absent: all are, under `epoch`. */
  epochOf?: (host: HostId) => number | null;
  stepMs: number;
  /** Length of the windows within a step whose mean counts as demand. */
  demandWindowMs: number;
  /** How long after its end a step still takes rows. */
  graceMs: number;
  /** How long after a VM became ready, or was first seen, its steps teach nothing. */
  settleMs: number;
  seasonsMs: readonly number[];
  /** Harm seen within this time after a shrink is laid to its charge; then no shrink for so long. */
  verdictWindowMs: number;
  verdictCooldownMs: number;
  factory: (name: string) => ForecasterFactory;
}

/** Something that people, the ledger or the series should hear of. */
export interface News {
  kind: 'vm-state' | 'vm-new' | 'vm-gone' | 'foreign-writer' | 'verdict' | 'infeasible' | 'hold' | 'agent-event';
  vm: VmId | null;
  host: HostId;
  resource: Resource | null;
  message: string;
  after: Setting | null;
}

/** What became of a change. */
export interface VmVerdict extends Verdict {
  vm: VmId;
  host: HostId;
  /** The change was of how many are online; absent: of the resource's setting. */
  vcpus?: { from: number; to: number };
}

/** An order about vCPUs that has come to its end. */
export interface VcpusEnded extends VcpuChange {
  outcome: Outcome;
  reason: string;
  /** By the guest's word, null = it did not say. */
  online: number | null;
}

/** News waiting to be told; beyond it the oldest are dropped and counted. */
const NEWS_MAX = 10_000;
/** Changes remembered for blast radii; a window never holds more than this many. */
const CHANGES_MAX = 20_000;
/** A host's clock may be off by this before its times are corrected; transit and sampling take a few seconds. */
const SKEW_TOLERANCE_MS = 10_000;
/** A foreign writer keeps us off for a day, unless the host agent's own word follows. */
const FOREIGN_HOLD_MS = 86_400_000;

export class FleetState {
  readonly #options: FleetStateOptions;
  readonly #recordOptions: VmRecordOptions;
  readonly #hosts = new Map<HostId, HostRecord>();
  readonly #vms = new Map<VmId, VmRecord>();
  #policy: FleetPolicy;
  #changes: { vm: VmId; host: HostId; atMs: number }[] = [];
  #news: News[] = [];
  #verdicts: VmVerdict[] = [];
  readonly loans = new LoanBook();
  newsDropped = 0;
  killSwitch = false;
  /** Recommended changes that somebody gave leave for. */
  approvals: readonly Approval[] = [];
  vcpuApprovals: readonly VcpuApproval[] = [];

  constructor(options: FleetStateOptions, policy: FleetPolicy) {
    this.#options = options;
    this.#policy = policy;
    const { stepMs, demandWindowMs, graceMs, settleMs, seasonsMs, verdictWindowMs, verdictCooldownMs, factory } = options;
    this.#recordOptions = {
      stepMs,
      seasonsMs,
      factory,
      demand: { stepMs, windowMs: demandWindowMs, graceMs },
      verdicts: { stepMs, windowMs: verdictWindowMs, cooldownMs: verdictCooldownMs },
      settleMs,
      peers: new PeerProfiles(),
      boots: new BootProfiles(),
    };
  }

  get policy(): FleetPolicy {
    return this.#policy;
  }

  setPolicy(policy: FleetPolicy): void {
    this.#policy = policy;
    for (const vm of this.#vms.values()) vm.applyPolicy(policy);
  }

  hostIds(): HostId[] {
    return [...this.#hosts.keys()];
  }

  host(id: HostId): HostRecord | undefined {
    return this.#hosts.get(id);
  }

  vmIds(): VmId[] {
    return [...this.#vms.keys()];
  }

  vm(id: VmId): VmRecord | undefined {
    return this.#vms.get(id);
  }

  takeNews(): News[] {
    const news = this.#news;
    this.#news = [];
    return news;
  }

  /** Verdicts since they were last asked for. */
  takeVerdicts(): VmVerdict[] {
    const verdicts = this.#verdicts;
    this.#verdicts = [];
    return verdicts;
  }

  applyHello(host: HostId, hello: FrameOf<'hello'>): void {
    const record = this.#hostRecord(host);
    record.tellReserve(hello.guardReserve ?? null);
    for (const { vm, resource, pair } of hello.highestPairs) {
      record.highestEpoch = Math.max(record.highestEpoch, pair.epoch);
      this.#vms.get(vm as VmId)?.raisePair(resource, pair);
    }
  }

  setConnected(host: HostId, connected: boolean, nowMonoMs: number): void {
    this.#hostRecord(host).setConnected(connected, nowMonoMs);
  }

  applyInventory(host: HostId, frame: FrameOf<'inventory'>, nowMonoMs: number): void {
    const record = this.#hostRecord(host);
    // Only its own inventories put VMs on a host: at the first one there is none to look for among all of the fleet's.
    const first = record.facts === null;
    record.setFacts(frame.host);
    for (const inventory of frame.vms) this.#applyVm(host, inventory, nowMonoMs);
    for (const vm of frame.gone) this.#remove(vm as VmId, host);
    if (!frame.full || first) return;
    const present = new Set<string>(frame.vms.map(({ vm }) => vm));
    for (const [id, vm] of this.#vms) if (vm.host === host && !present.has(id)) this.#remove(id, host);
  }

  #applyVm(host: HostId, inventory: VmInventory, nowMonoMs: number): void {
    const id = inventory.vm as VmId;
    let vm = this.#vms.get(id);
    const before: VmState | undefined = vm?.inventory.state;
    if (!vm) {
      vm = new VmRecord(host, inventory, this.#recordOptions);
      this.#vms.set(id, vm);
      this.#tell({ kind: 'vm-new', vm: id, host, message: `${inventory.name} is ${inventory.state} on ${host}` });
    }
    const moved = vm.host !== host ? vm.host : null;
    vm.applyInventory(host, inventory, nowMonoMs);
    vm.applyPolicy(this.#policy);
    if (moved !== null) this.#tell({ kind: 'vm-state', vm: id, host, message: `${inventory.name} moved from ${moved} to ${host}` });
    if (before !== undefined && before !== inventory.state) {
      this.#tell({ kind: 'vm-state', vm: id, host, message: stateWords(inventory.name, before, inventory.state, vm.lastLifecycle) });
    }
  }

  /** Only by the host that has it: a VM that has moved is another host's by now. */
  #remove(id: VmId, host: HostId): void {
    const vm = this.#vms.get(id);
    if (vm === undefined || vm.host !== host) return;
    this.#vms.delete(id);
    this.#recordOptions.peers.forget(id);
    this.#tell({ kind: 'vm-gone', vm: id, host, message: `${vm.inventory.name} is no longer on ${host}` });
  }

  applyBlocks(host: HostId, blocks: readonly TelemetryBlock[], nowMs: number, nowMonoMs: number): void {
    const record = this.#hostRecord(host);
    let newestMs = 0;
    for (const { source, timesMs } of blocks) {
      if (source === 'host' && timesMs.length > 0) newestMs = Math.max(newestMs, timesMs[timesMs.length - 1]!);
    }
    if (newestMs > 0) record.skew.observe(nowMs - newestMs);
    const { skewMs } = record.skew;
    for (const block of blocks) {
      if (block.subject.kind === 'host') {
        record.addRow(block, nowMonoMs);
        continue;
      }
      const vm = this.#vms.get(block.subject.id as VmId);
      if (vm === undefined) continue;
      vm.addBlock(skewMs === 0 ? block : { ...block, timesMs: block.timesMs.map((timeMs) => timeMs + skewMs) }, nowMs, nowMonoMs);
      if (vm.memoryPressure(nowMs, nowMonoMs, this.#policy.staleAfterMs))
        this.#harm(vm, 'memory', { ms: nowMs, sign: 'the guest was short of memory', demand: null }, nowMs);
    }
  }

  applyEvent(host: HostId, event: FrameOf<'event'>, nowMs: number, nowMonoMs: number): void {
    const vm = event.vm === null ? undefined : this.#vms.get(event.vm as VmId);
    const { resource, setting, pair } = event;
    if (vm && (event.kind === 'lifecycle' || event.kind === 'migrated')) vm.lastLifecycle = event.message;
    if (vm && event.kind === 'migrated' && vm.host === host) vm.hasLeft = true;
    if (vm && resource !== null) {
      if (pair !== null) vm.raisePair(resource, pair);
      const before = vm.current[resource];
      if (setting !== null && setting.resource === resource && vm.mayHold) vm.current[resource] = setting;
      if (event.kind === 'foreign-writer') vm.hold(resource, event.message, nowMonoMs + FOREIGN_HOLD_MS);
      if (event.kind === 'guard-grew' || event.kind === 'guard-deflated') {
        vm.lastChange[resource] = { atMs: nowMs, direction: 'grow' };
        const harmed = this.#harm(
          vm,
          resource,
          { ms: nowMs, sign: `the fast guard had to step in (${event.message})`, demand: null },
          nowMs,
        );
        if (!harmed && before && setting)
          this.#applied(vm, { resource, direction: 'grow', from: before, to: setting, atMs: nowMs, planId: null });
      }
    }
    if (vm && event.vcpus !== undefined) this.#vcpusBack(vm, event.vcpus, event.message, nowMs);
    const kind = event.kind === 'foreign-writer' ? 'foreign-writer' : 'agent-event';
    this.#tell({ kind, vm: vm?.id ?? null, host, resource, message: `${event.kind}: ${event.message}`, after: setting });
  }

  /** A command's end: what is in force now, and from when the change counts. */
  applyResult(result: FrameOf<'result'>, change: Omit<Change, 'resource' | 'atMs'> | null, nowMs: number): void {
    const vm = this.#vms.get(result.vm as VmId);
    if (vm === undefined) return;
    const { resource, readBack } = result;
    if (readBack !== null && readBack.resource === resource && vm.mayHold) vm.current[resource] = readBack;
    if (result.outcome === 'applied') vm.raisePair(resource, result.pair);
    if (change === null) return;
    if (result.outcome === 'refused' || result.outcome === 'failed') this.#failed(vm, { ...change, resource }, result.reason, nowMs);
    if (result.outcome !== 'applied') return;
    // What is in force may lag behind (a balloon takes its time): the change counts from here all the same.
    vm.lastChange[resource] = { atMs: nowMs, direction: change.direction };
    this.#applied(vm, { ...change, resource, atMs: nowMs });
    vm.applyPolicy(this.#policy);
  }

  /** The end of an order about how many vCPUs a guest has online. */
  applyVcpus(id: VmId, { outcome, reason, online, ...asked }: VcpusEnded, nowMs: number, nowMonoMs: number): void {
    const vm = this.#vms.get(id);
    if (vm === undefined || outcome === 'superseded') return;
    const to = online ?? asked.to;
    const kept = asked.to < asked.from && to >= asked.from;
    if (outcome === 'applied' && !kept) {
      const ended = vm.vcpus.applied({ ...asked, to }, nowMs);
      if (ended !== null) this.#judgedVcpus(vm, ended);
      return;
    }
    const why = kept && outcome === 'applied' ? `its guest keeps ${to} of them online` : reason;
    // What did not reach the guest tells nothing about it.
    const found = outcome === 'skipped' ? null : vm.vcpus.failed(asked, why, nowMs, nowMonoMs);
    if (found !== null) this.#tellVcpusInfeasible(vm, found);
  }

  /** Its host brought all back by itself: because they were needed, or because nobody may hold them any more. */
  #vcpusBack(vm: VmRecord, { from, needed }: { from: number; needed: boolean }, message: string, nowMs: number): void {
    if (!needed) {
      vm.vcpus.allBack();
      return;
    }
    const harm = vm.vcpus.needed(message, nowMs);
    if (harm !== null) this.#vcpusHarmed(vm, harm);
    const ended = harm === null ? vm.vcpus.applied({ from, to: vm.inventory.vcpus, planId: null }, nowMs) : null;
    if (ended !== null) this.#judgedVcpus(vm, ended);
    vm.vcpus.allBack();
  }

  applyHint({ vm, hintId, resource, amount, inMs, forMs }: FrameOf<'hint'>, nowMs: number): void {
    this.#vms.get(vm as VmId)?.hints.add(hintId, { resource, amount, fromMs: nowMs + inMs, untilMs: nowMs + inMs + forMs });
  }

  setPending(id: VmId, resource: Resource, target: Setting | null): void {
    const vm = this.#vms.get(id);
    if (vm === undefined) return;
    if (target !== null) vm.pending[resource] = target;
    else vm.pending = without(vm.pending, resource);
  }

  /** A command is on its way: the VM counts against the blast radius from now on. */
  noteChange(vm: VmId, host: HostId, nowMs: number): void {
    this.#changes.push({ vm, host, atMs: nowMs });
    if (this.#changes.length > CHANGES_MAX) this.#changes.splice(0, this.#changes.length - CHANGES_MAX);
  }

  /** Changes of before a restart, oldest first. */
  restoreChanges(changes: readonly { vm: VmId; host: HostId; atMs: number }[]): void {
    this.#changes = [...changes, ...this.#changes].slice(-CHANGES_MAX);
  }

  noteGrant(host: HostId, grant: HostGrant, nowMonoMs: number): void {
    this.#hosts.get(host)?.noteGrant(grant, nowMonoMs);
  }

  /** Closes the steps of one VM that are over; call for every VM soon after a step's end. Series rows come back. */
  tick(id: VmId, nowMs: number): TelemetryBlock[] {
    const vm = this.#vms.get(id);
    if (vm === undefined) return [];
    const blocks = vm.closeSteps(nowMs, this.#policy);
    const step = vm.latestStep;
    if (blocks.length > 0 && step !== null) {
      for (const [resource, { suppressed, value }] of Object.entries(step.points) as [Resource, DemandPoint][]) {
        const since = { ms: step.startMs, sign: 'it was held down by its allocation', demand: value };
        if (suppressed) this.#harm(vm, resource, since, nowMs);
      }
      const { suppressed, value } = step.points.cpu;
      if (suppressed) this.#vcpusHeldDown(vm, { ms: step.startMs, demand: value }, nowMs);
      this.#judgeDue(vm, nowMs);
    }
    vm.verdicts.expire(nowMs);
    vm.vcpus.expire(nowMs);
    return blocks;
  }

  /** True when this was a new verdict. */
  #harm(vm: VmRecord, resource: Resource, since: { ms: number; sign: string; demand: number | null }, nowMs: number): boolean {
    const verdict = vm.verdicts.harmed(resource, since, nowMs);
    if (verdict === null) return false;
    this.#judged(vm, verdict);
    const message = `the last shrink of ${resource} did harm: ${since.sign}; it is taken back, and no other follows for a while`;
    this.#tell({ kind: 'verdict', vm: vm.id, host: vm.host, resource, message, after: verdict.from });
    return true;
  }

  #vcpusHeldDown(vm: VmRecord, since: { ms: number; demand: number | null }, nowMs: number): void {
    const taken = vm.vcpus.lastTaken;
    if (taken === null) return;
    const harm = vm.vcpus.harmed({ ...since, sign: `it was held down with ${taken.to} of its vCPUs online` }, nowMs);
    if (harm !== null) this.#vcpusHarmed(vm, harm);
  }

  /** As of any shrink; where a cap was lowered as well, either may be why, and both are taken back. */
  #vcpusHarmed(vm: VmRecord, verdict: Verdict): void {
    this.#judgedVcpus(vm, verdict);
    const taken = vcpusOf(verdict.from) - vcpusOf(verdict.to);
    const message = `taking ${taken} of its vCPUs offline did harm: ${verdict.reason}; they come back, and none is taken for a while`;
    this.#tell({ kind: 'verdict', vm: vm.id, host: vm.host, resource: 'cpu', message });
  }

  #applied(vm: VmRecord, change: Change): void {
    const ended = vm.verdicts.applied(change, vm.heldMiB);
    if (ended !== null) this.#judged(vm, ended);
  }

  #judgeDue(vm: VmRecord, nowMs: number): void {
    const before = { ...vm.verdicts.infeasible };
    for (const verdict of vm.verdicts.due(nowMs, vm.heldMiB)) this.#judged(vm, verdict);
    for (const verdict of vm.vcpus.due(nowMs)) this.#judgedVcpus(vm, verdict);
    for (const [resource, found] of Object.entries(vm.verdicts.infeasible) as [Resource, Infeasible][])
      if (before[resource] !== found) this.#tellInfeasible(vm, resource, found);
  }

  #failed(vm: VmRecord, change: Pick<Change, 'resource' | 'direction' | 'to'>, reason: string, nowMs: number): void {
    const found = vm.verdicts.failed(change, reason, nowMs);
    if (found !== null) this.#tellInfeasible(vm, change.resource, found);
  }

  #tellInfeasible(vm: VmRecord, resource: Resource, { target, direction, reason, untilMs }: Infeasible): void {
    const words = `${amountWords(resource, target)} of ${RESOURCE_WORDS[resource]} cannot be reached: ${reason}`;
    const message = `${words}; no ${direction === 'shrink' ? 'shrink' : 'growth'} as far is tried before ${timeWords(untilMs)}`;
    this.#tell({ kind: 'infeasible', vm: vm.id, host: vm.host, resource, message });
  }

  #tellVcpusInfeasible(vm: VmRecord, { target, reason, untilMs }: Infeasible): void {
    const message = `${target} of its vCPUs online cannot be reached: ${reason}; so few are not tried before ${timeWords(untilMs)}`;
    this.#tell({ kind: 'infeasible', vm: vm.id, host: vm.host, resource: 'cpu', message });
  }

  #judgedVcpus(vm: VmRecord, verdict: Verdict): void {
    this.#judged(vm, { ...verdict, vcpus: { from: vcpusOf(verdict.from), to: vcpusOf(verdict.to) } });
  }

  #judged({ id: vm, host }: VmRecord, verdict: Verdict & Pick<VmVerdict, 'vcpus'>): void {
    this.#verdicts.push({ ...verdict, vm, host });
    if (this.#verdicts.length > NEWS_MAX) this.#verdicts.shift();
  }

  /** Another looks after this host: it and its VMs are no longer here, and nobody is told that they are gone. */
  forgetHost(id: HostId): VmId[] {
    const forgotten = [...this.#vms.values()].filter(({ host }) => host === id).map((vm) => vm.id);
    for (const vm of forgotten) {
      this.#vms.delete(vm);
      this.#recordOptions.peers.forget(vm);
    }
    this.#hosts.delete(id);
    return forgotten;
  }

  snapshot(nowMs: number, nowMonoMs: number): FleetSnapshot {
    const { leaseMs, blastRadius } = this.#policy;
    const inForce = ({ untilMs }: { untilMs: number }): boolean => untilMs > nowMs;
    this.#changes = this.#changes.filter(({ atMs }) => nowMs - atMs < blastRadius.windowMs);
    const hosts = [...this.#hosts.values()]
      .map((host) => host.snapshot(this.#options.epochOf?.(host.id) ?? this.#options.epoch, leaseMs, nowMonoMs))
      .filter((host): host is HostSnapshot => host !== null);
    const vms = [...this.#vms.values()].map((vm) => vm.snapshot(this.#policy, nowMs, nowMonoMs));
    const [approvals, vcpuApprovals] = [this.approvals.filter(inForce), this.vcpuApprovals.filter(inForce)];
    const fleet: FleetSnapshot = { nowMs, hosts, vms, recentChanges: [...this.#changes], killSwitch: this.killSwitch };
    if (approvals.length > 0) fleet.approvals = approvals;
    if (vcpuApprovals.length > 0) fleet.vcpuApprovals = vcpuApprovals;
    return this.loans.reviewed(fleet, this.#policy);
  }

  /** How well the policy's agreements were kept. */
  slas(nowMs: number): SlaState[] {
    return (this.#policy.slas ?? []).map((sla) => {
      const members = [...this.#vms.values()].filter((vm) => sla.matches(vm.matched));
      return slaState(
        sla,
        members.map((vm) => ({ vm: vm.id, name: vm.inventory.name, ...vm.agreements.kept(sla.name, nowMs) })),
      );
    });
  }

  #hostRecord(id: HostId): HostRecord {
    let record = this.#hosts.get(id);
    if (!record) {
      record = new HostRecord(id, Math.max(SKEW_TOLERANCE_MS, 2 * this.#options.stepMs));
      this.#hosts.set(id, record);
    }
    return record;
  }

  #tell(news: Omit<News, 'resource' | 'after'> & Partial<Pick<News, 'resource' | 'after'>>): void {
    this.#news.push({ resource: null, after: null, ...news });
    if (this.#news.length <= NEWS_MAX) return;
    this.#news.shift();
    this.newsDropped++;
  }
}
