/**
 * A `Hypervisor` on a given clock, for tests and simulation: VMs with workloads, caps that throttle, balloons that move,
 * a host whose memory can run out. Deterministic for the same clock, workloads and calls. Faults come in by hooks and
 * setters: refusals, lost answers, partial actuation, stuck VMs, lost connection, foreign writers, lying guests, reboots.
 * Beside the seam it offers what a real host's cgroups and /proc would show (`counters`, `memory`) and what no real host
 * tells (`oracle`).
 */
import { type Clock, sleep, type Timer } from '../../shared/clock.ts';
import { type ErrorCode, HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { type Resource, type Setting, type SettingOf, sameSetting } from '../../shared/resources.ts';
import type { InterfaceFilter, Link } from '../core/isolation.ts';
import { memoryMiBMax, type Parts } from '../core/plugged-memory.ts';
import type { VmCounters } from '../core/vm-counters.ts';
import type { VmFacts } from '../core/vm-facts.ts';
import type {
  HostCapacity,
  Hypervisor,
  HypervisorEvent,
  NativeSettings,
  PowerState,
  StatsGroup,
  VmStats,
  VmSummary,
} from './hypervisor.ts';
import { type HostMemory, type HostOracle, hostMemory, tick } from './simulated-host.ts';
import { sendParts, sendTo, sentParts } from './simulated-plugged.ts';
import { settingIn, simulatedFacts, simulatedStats } from './simulated-views.ts';
import {
  baselineOf,
  beginToMove,
  boot,
  createSimulatedVm,
  executes,
  powerOff,
  type SimulatedVm,
  type SimulatedVmOptions,
} from './simulated-vm.ts';

export interface SimulatedCall {
  method:
    | 'readSetting'
    | 'writeSetting'
    | 'readNative'
    | 'writeNative'
    | 'stats'
    | 'list'
    | 'facts'
    | 'setStatsPeriod'
    | 'metadata'
    | 'links'
    | 'prepareQuarantine'
    | 'other';
  id: VmId | null;
  setting: Setting | null;
}

export type SimulatedFault =
  /** It says no, and does nothing. */
  | { kind: 'error'; code: ErrorCode; message: string }
  /** It does it, and the answer is lost. */
  | { kind: 'lostAnswer' }
  /** A write goes only this share of the way, 0..1. */
  | { kind: 'partial'; share: number }
  | { kind: 'delay'; ms: number }
  /** It does it at once, or looks at once, and answers later. */
  | { kind: 'lateAnswer'; ms: number };

export interface SimulatedOptions {
  clock: Clock;
  name?: string;
  cpuCores: number;
  memoryMiB: number;
  swapMiB?: number;
  /** What the host itself holds. */
  hostOwnMiB?: number;
  vms: readonly SimulatedVmOptions[];
  /** Resolution of simulated time. */
  tickMs?: number;
  callDeadlineMs?: number;
  /** Asked before each call; null = no fault. */
  fault?: (call: SimulatedCall) => SimulatedFault | null;
}

export interface SimulatedHypervisor extends Hypervisor {
  /** What the VM's control groups would show now. Throws NOT_FOUND. */
  counters(id: VmId): VmCounters;
  memory(): HostMemory;
  /** CPU time all VMs used so far, ns. */
  hostCpuNs(): number;
  oracle(): HostOracle;
  /** The truth of one VM, for checkers: live settings and target apart from what is reported. */
  truth(id: VmId): Readonly<SimulatedVm>;
  /** The guest takes vCPUs on or offline. */
  setVcpusOnline(id: VmId, vcpus: number): void;
  /** VMs defined here now. */
  ids(): VmId[];
  /** Memory that guests share with one another by merged pages; at 0 nothing is shared any more. */
  setSharedMiB(sharedMiB: number): void;
  addVm(options: SimulatedVmOptions): void;
  removeVm(id: VmId): void;
  /** A guest arrives alive, by migration or from saved memory, with all that is live of it. */
  takeIn(guest: Readonly<SimulatedVm>): void;
  /** Power changes as an administrator or guest would cause them. */
  setPower(id: VmId, power: PowerState): void;
  /** The guest reboots: full boot memory until its balloon driver loads. */
  reboot(id: VmId): void;
  /** Somebody else sets a live value. */
  foreignWrite(id: VmId, setting: Setting): void;
  setStuck(id: VmId, stuck: boolean): void;
  setJob(id: VmId, active: boolean): void;
  /** The guest cannot give up this share of its memory device; with 1 it does not follow what is requested at all. */
  setKept(id: VmId, share: number): void;
  /** Somebody else changes its definition. */
  redefine(id: VmId): void;
  /** The daemon goes away, or comes back. */
  setConnected(connected: boolean, reason: string): void;
}

const TICK_MS = 200;
const CALL_DEADLINE_MS = 5000;
/** A kernel, a daemon and an agent. */
const HOST_OWN_MIB = 500;
/** Balloon events come once a second at most, as QEMU sends them. */
const BALLOON_EVENT_MS = 1000;

interface Entered {
  share: number;
  loseAnswer: boolean;
  answerAfterMs: number;
}

const UNHARMED: Entered = { share: 1, loseAnswer: false, answerAfterMs: 0 };

export function createSimulatedHypervisor(options: SimulatedOptions): SimulatedHypervisor {
  return new SimulatedLibrary(options);
}

class SimulatedLibrary implements SimulatedHypervisor {
  readonly name: string;
  readonly #options: SimulatedOptions;
  readonly #clock: Clock;
  readonly #tickMs: number;
  readonly #vms = new Map<VmId, SimulatedVm>();
  readonly #listeners = new Set<(event: HypervisorEvent) => void>();
  readonly #balloonTold = new Map<VmId, { atMs: number; miB: number }>();
  readonly #oracle: HostOracle = { hostOomTicks: 0, hostSwapTicks: 0, guestOomTicks: 0, unmetCoreMs: 0 };
  #connected = false;
  #sharedMiB = 0;
  #reachable = true;
  #timer: Timer | null = null;
  #nextProcessId = 1000;
  /** Monotonic time up to which the world has moved. */
  #movedToMs: number;
  /** A balloon may have moved that nobody was told of yet. */
  #untold = true;

  constructor(options: SimulatedOptions) {
    this.name = `simulated ${options.name ?? 'host'}`;
    this.#options = options;
    this.#clock = options.clock;
    this.#tickMs = options.tickMs ?? TICK_MS;
    this.#movedToMs = options.clock.monotonicMs();
    for (const vm of options.vms) this.#add(vm);
  }

  get connected(): boolean {
    return this.#connected;
  }

  async connect(): Promise<void> {
    if (!this.#reachable) throw unavailable('the simulated daemon does not run');
    this.#connected = true;
    this.#timer ??= this.#clock.setInterval(() => this.#advance(), this.#tickMs);
    this.#emit({ kind: 'connection', connected: true, reason: 'connected' });
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    this.#connected = false;
  }

  onEvent(listener: (event: HypervisorEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async capacity(): Promise<HostCapacity> {
    await this.#enter({ method: 'other', id: null, setting: null });
    const { cpuCores, memoryMiB } = this.#options;
    const cpus = Array.from({ length: Math.floor(cpuCores) }, (_, cpu) => cpu);
    return { cpuCores, memoryMiB, numaNodes: [{ id: 0, memoryMiB, cpus }], hypervisorVersion: 'simulated 1', architecture: 'x86_64' };
  }

  async list(): Promise<VmSummary[]> {
    await this.#enter({ method: 'list', id: null, setting: null });
    return [...this.#vms.values()].map(({ options, power }) => ({ id: options.id, name: options.name, power }));
  }

  facts(id: VmId): Promise<VmFacts> {
    return this.#call({ method: 'facts', id, setting: null }, (vm) => simulatedFacts(vm));
  }

  processAgeMs(id: VmId): Promise<number | null> {
    return this.#call({ method: 'other', id, setting: null }, (vm) =>
      vm.power === 'shutoff' ? null : this.#clock.monotonicMs() - vm.processSinceMs,
    );
  }

  processId(id: VmId): Promise<number | null> {
    return this.#call({ method: 'other', id, setting: null }, (vm) => (vm.power === 'shutoff' ? null : vm.processId));
  }

  async stats(groups: readonly StatsGroup[], ids?: readonly VmId[]): Promise<{ stats: VmStats[]; stuck: VmId[] }> {
    await this.#enter({ method: 'stats', id: null, setting: null });
    const nowMs = this.#clock.monotonicMs();
    const answer: { stats: VmStats[]; stuck: VmId[] } = { stats: [], stuck: [] };
    for (const [id, vm] of this.#vms) {
      if (vm.power === 'shutoff' || ids?.includes(id) === false) continue;
      if (vm.stuck) answer.stuck.push(id);
      else answer.stats.push(simulatedStats(vm, groups, nowMs));
    }
    return answer;
  }

  setStatsPeriod(id: VmId, seconds: number): Promise<void> {
    return this.#call({ method: 'setStatsPeriod', id, setting: null }, (vm) => {
      needsRunning(vm);
      vm.statsPeriodSeconds = seconds;
    });
  }

  readSetting<R extends Resource>(id: VmId, resource: R): Promise<SettingOf<R>> {
    return this.#call({ method: 'readSetting', id, setting: null }, (vm) => settingIn(vm, resource));
  }

  writeSetting<S extends Setting>(id: VmId, setting: S): Promise<SettingOf<S['resource']>> {
    return this.#call({ method: 'writeSetting', id, setting }, (vm, share) => {
      needsRunning(vm);
      this.#apply(vm, share === 1 ? setting : partOf(vm, setting, share));
      return settingIn(vm, setting.resource as S['resource']);
    });
  }

  readNative(id: VmId, resource: Resource): Promise<NativeSettings> {
    return this.#call({ method: 'readNative', id, setting: null }, (vm) => ({
      adapter: 'simulated',
      values: { setting: settingIn(vm, resource), ...(resource === 'memory' && vm.options.plugged ? { parts: sentParts(vm) } : {}) },
    }));
  }

  async nativesWith(_id: VmId, native: NativeSettings, setting: Setting): Promise<NativeSettings[]> {
    return [setting.resource === 'memory' ? native : { ...native, values: { ...native.values, setting } }];
  }

  async writeNative(id: VmId, resource: Resource, native: NativeSettings): Promise<void> {
    const setting = native.values.setting as Setting | undefined;
    const parts = native.values.parts as Parts | undefined;
    if (native.adapter !== 'simulated' || setting?.resource !== resource)
      throw refused(`values of adapter "${native.adapter}" are not ours`);
    await this.#call({ method: 'writeNative', id, setting }, (vm, share) => {
      needsRunning(vm);
      if (parts !== undefined && share === 1) sendParts(vm, parts);
      else this.#apply(vm, share === 1 ? setting : partOf(vm, setting, share));
    });
    const vm = this.#vm(id);
    // As on a real host, a balloon takes its time; what it was told counts here.
    const inForce = resource === 'memory' ? { resource, memoryMiB: vm.balloonTargetMiB } : settingIn(vm, resource);
    const wanted = parts === undefined ? setting : { resource, memoryMiB: parts.balloon + parts.plugged };
    if (!sameSetting(inForce as Setting, wanted as Setting)) throw refused(`${vm.options.name}: ${resource} was not restored`);
  }

  readLinks(id: VmId): Promise<Link[]> {
    return this.#call({ method: 'links', id, setting: null }, ({ links }) => links.map((link) => ({ ...link })));
  }

  setLinks(id: VmId, macs: readonly string[], up: boolean): Promise<Link[]> {
    return this.#call({ method: 'links', id, setting: null }, (vm) => {
      needsRunning(vm);
      vm.links = vm.links.map((link) => (macs.includes(link.mac) ? { ...link, up } : link));
      return vm.links.filter(({ mac }) => macs.includes(mac)).map((link) => ({ ...link }));
    });
  }

  async prepareQuarantine(): Promise<void> {
    await this.#enter({ method: 'prepareQuarantine', id: null, setting: null });
  }

  setFilters(id: VmId, filters: readonly InterfaceFilter[]): Promise<Link[]> {
    return this.#call({ method: 'links', id, setting: null }, (vm) => {
      needsRunning(vm);
      const wanted = new Map(filters.map(({ mac, filter }) => [mac, filter]));
      vm.links = vm.links.map((link) => {
        const filter = wanted.get(link.mac);
        return filter === undefined ? link : { ...link, filter };
      });
      return vm.links.filter(({ mac }) => wanted.has(mac)).map((link) => ({ ...link }));
    });
  }

  restart(id: VmId): Promise<void> {
    return this.#call({ method: 'other', id, setting: null }, (vm) => {
      needsRunning(vm);
      this.reboot(id);
    });
  }

  baseline(id: VmId): Promise<Setting[]> {
    return this.#call({ method: 'other', id, setting: null }, (vm) => [...baselineOf(vm.options)]);
  }

  jobActive(id: VmId): Promise<boolean> {
    return this.#call({ method: 'other', id, setting: null }, (vm) => vm.job);
  }

  cameAlive(id: VmId): Promise<boolean> {
    return this.#call({ method: 'other', id, setting: null }, (vm) => vm.cameAlive && executes(vm));
  }

  readMetadata(id: VmId): Promise<string | null> {
    return this.#call({ method: 'metadata', id, setting: null }, (vm) => vm.metadata);
  }

  writeMetadata(id: VmId, xml: string | null): Promise<void> {
    return this.#call({ method: 'metadata', id, setting: null }, (vm) => {
      needsRunning(vm);
      vm.metadata = xml;
    });
  }

  counters(id: VmId): VmCounters {
    this.#advance();
    return { ...this.#vm(id).counters };
  }

  memory(): HostMemory {
    this.#advance();
    return this.#memory();
  }

  hostCpuNs(): number {
    this.#advance();
    return [...this.#vms.values()].reduce((sum, vm) => sum + vm.cpuTimeNs, 0);
  }

  oracle(): HostOracle {
    this.#advance();
    const vms = [...this.#vms.values()];
    return {
      ...this.#oracle,
      guestOomTicks: vms.reduce((sum, vm) => sum + vm.guestOoms, 0),
      unmetCoreMs: vms.reduce((sum, vm) => sum + vm.unmetCoreMs, 0),
    };
  }

  truth(id: VmId): Readonly<SimulatedVm> {
    this.#advance();
    return this.#vm(id);
  }

  setVcpusOnline(id: VmId, vcpus: number): void {
    this.#advance();
    this.#vm(id).vcpusOnline = vcpus;
  }

  ids(): VmId[] {
    return [...this.#vms.keys()];
  }

  setSharedMiB(sharedMiB: number): void {
    this.#advance();
    this.#sharedMiB = sharedMiB;
  }

  addVm(options: SimulatedVmOptions): void {
    this.#advance();
    const vm = this.#add(options);
    if (executes(vm)) this.#boot(vm);
    this.#emit({ kind: 'defined', id: options.id, name: options.name });
    this.#emit({ kind: 'lifecycle', id: options.id, name: options.name, power: vm.power, detail: 'started' });
  }

  takeIn(guest: Readonly<SimulatedVm>): void {
    this.#advance();
    const { id, name } = guest.options;
    const processId = this.#nextProcessId++;
    const processSinceMs = this.#clock.monotonicMs();
    // Its simulated guest agent does not come along: what that one holds, ends with it.
    const anew = { processId, processSinceMs, cameAlive: true, job: false, vcpusOnline: guest.options.vcpus };
    this.#vms.set(id, { ...guest, counters: { ...guest.counters }, ...anew });
    this.#untold = true;
    this.#emit({ kind: 'lifecycle', id, name, power: guest.power, detail: 'resumed: migrated' });
  }

  removeVm(id: VmId): void {
    const { name } = this.#vm(id).options;
    this.#vms.delete(id);
    this.#emit({ kind: 'undefined', id, name });
  }

  setPower(id: VmId, power: PowerState): void {
    this.#advance();
    const vm = this.#vm(id);
    if (power === 'running' && vm.power !== 'paused') {
      this.#boot(vm);
      vm.processSinceMs = this.#clock.monotonicMs();
    } else if (power === 'shutoff' || power === 'crashed') powerOff(vm, power);
    else vm.power = power;
    this.#emit({ kind: 'lifecycle', id, name: vm.options.name, power, detail: `now ${power}` });
  }

  reboot(id: VmId): void {
    this.#advance();
    const vm = this.#vm(id);
    this.#boot(vm);
    this.#emit({ kind: 'lifecycle', id, name: vm.options.name, power: 'running', detail: 'rebooted' });
  }

  foreignWrite(id: VmId, setting: Setting): void {
    this.#advance();
    const vm = this.#vm(id);
    this.#apply(vm, setting);
    if (setting.resource === 'memory') beginToMove(vm, this.#clock.monotonicMs());
  }

  setStuck(id: VmId, stuck: boolean): void {
    this.#vm(id).stuck = stuck;
  }

  /** Somebody else changes its definition. */
  redefine(id: VmId): void {
    this.#emit({ kind: 'defined', id, name: this.#vm(id).options.name });
  }

  setJob(id: VmId, active: boolean): void {
    this.#vm(id).job = active;
  }

  setKept(id: VmId, share: number): void {
    this.#vm(id).keptShare = share;
  }

  setConnected(connected: boolean, reason: string): void {
    this.#reachable = connected;
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#emit({ kind: 'connection', connected, reason });
  }

  #add(options: SimulatedVmOptions): SimulatedVm {
    const vm = createSimulatedVm(options, this.#nextProcessId++, this.#clock.monotonicMs());
    this.#vms.set(options.id, vm);
    this.#untold = true;
    return vm;
  }

  #boot(vm: SimulatedVm): void {
    boot(vm, this.#movedToMs);
    this.#untold = true;
  }

  #vm(id: VmId): SimulatedVm {
    const vm = this.#vms.get(id);
    if (!vm) throw refused(`no VM has the UUID ${id}`);
    return vm;
  }

  #memory(): HostMemory {
    const { memoryMiB, swapMiB, hostOwnMiB } = this.#options;
    return hostMemory(this.#vms.values(), memoryMiB, swapMiB ?? 0, (hostOwnMiB ?? HOST_OWN_MIB) - this.#sharedMiB);
  }

  /** Moves the world up to now, in whole ticks of the grid. */
  #advance(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#movedToMs + this.#tickMs <= nowMs) this.#tick(nowMs);
    if (!this.#untold) return;
    this.#untold = false;
    for (const vm of this.#vms.values()) this.#tellBalloon(vm, nowMs);
  }

  #tick(nowMs: number): void {
    const wallOffsetMs = this.#clock.wallMs() - nowMs;
    const vms = [...this.#vms.values()];
    while (this.#movedToMs + this.#tickMs <= nowMs) {
      this.#movedToMs += this.#tickMs;
      tick(vms, this.#options.cpuCores, this.#movedToMs + wallOffsetMs, this.#movedToMs, this.#tickMs);
      const memory = this.#memory();
      if (memory.swapUsedMiB > 0) this.#oracle.hostSwapTicks++;
      if (memory.swapUsedMiB > memory.swapTotalMiB) this.#oracle.hostOomTicks++;
    }
    this.#untold = true;
  }

  /** At most once a second of one balloon: what is too early is told later. */
  #tellBalloon(vm: SimulatedVm, nowMs: number): void {
    const { id } = vm.options;
    const last = this.#balloonTold.get(id);
    if (last !== undefined && last.miB === vm.balloonMiB) return;
    if (last !== undefined && nowMs - last.atMs < BALLOON_EVENT_MS) {
      this.#untold = true;
      return;
    }
    this.#balloonTold.set(id, { atMs: nowMs, miB: vm.balloonMiB });
    if (last !== undefined) this.#emit({ kind: 'balloon', id, actualMiB: vm.balloonMiB });
  }

  #apply(vm: SimulatedVm, setting: Setting): void {
    const { id, bootMemoryMiB, name } = vm.options;
    switch (setting.resource) {
      case 'cpu':
        vm.cpu = { ...setting };
        this.#emit({ kind: 'tunable', id, values: { weight: setting.weight, capCores: setting.capCores ?? -1 } });
        return;
      case 'memory':
        if (setting.memoryMiB > memoryMiBMax(simulatedFacts(vm))) {
          throw refused(`${name} has ${bootMemoryMiB} MiB, it cannot be given ${setting.memoryMiB}`);
        }
        if (!sendTo(vm, setting.memoryMiB)) throw refused(`${name} cannot be given ${setting.memoryMiB}: its kernel would have too little`);
        return;
      case 'network':
        vm.network = { ...setting };
        return;
      case 'disk':
        vm.disk = { ...setting };
    }
  }

  /** What every call passes through: connection, world, fault. Answers the share of a write to carry out, at once unless it is delayed. */
  #enter(call: SimulatedCall): Entered | Promise<Entered> {
    if (!this.#connected) throw unavailable('no connection to the simulated daemon');
    this.#advance();
    const fault = this.#options.fault?.(call) ?? null;
    if (fault === null) return UNHARMED;
    if (fault.kind === 'delay') return sleep(this.#clock, fault.ms).then(() => this.#entered(fault));
    return this.#entered(fault);
  }

  #entered(fault: SimulatedFault): Entered {
    if (fault.kind === 'error') throw new HeadroomError(fault.code, fault.message);
    if (!this.#connected) throw unavailable('the connection to the simulated daemon was lost');
    return {
      share: fault.kind === 'partial' ? fault.share : 1,
      loseAnswer: fault.kind === 'lostAnswer',
      answerAfterMs: fault.kind === 'lateAnswer' ? fault.ms : 0,
    };
  }

  async #call<T>(call: SimulatedCall & { id: VmId }, run: (vm: SimulatedVm, share: number) => T): Promise<T> {
    const entered = this.#enter(call);
    const { share, loseAnswer, answerAfterMs } = entered instanceof Promise ? await entered : entered;
    const vm = this.#vm(call.id);
    if (vm.stuck) {
      await sleep(this.#clock, this.#options.callDeadlineMs ?? CALL_DEADLINE_MS);
      throw unavailable(`${vm.options.name} did not answer in time`);
    }
    const result = run(vm, share);
    if (loseAnswer) throw unavailable('the answer was lost');
    if (answerAfterMs > 0) await sleep(this.#clock, answerAfterMs);
    return result;
  }

  #emit(event: HypervisorEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const unavailable = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_UNAVAILABLE', message);
const refused = (message: string): HeadroomError => new HeadroomError('HYPERVISOR_REFUSED', message);

function needsRunning(vm: SimulatedVm): void {
  if (['shutoff', 'crashed'].includes(vm.power)) throw refused(`${vm.options.name} is not running (${vm.power})`);
}

/** A write that got only part of the way; limits that appear or go do so at once. */
function partOf(vm: SimulatedVm, wanted: Setting, share: number): Setting {
  const before: Setting = settingIn(vm, wanted.resource);
  const between = (a: number | null, b: number | null): number | null => (a === null || b === null ? a : a + (b - a) * share);
  if (before.resource === 'cpu' && wanted.resource === 'cpu') {
    return { ...wanted, weight: between(before.weight, wanted.weight) as number, capCores: between(before.capCores, wanted.capCores) };
  }
  if (before.resource === 'memory' && wanted.resource === 'memory') {
    const memoryMiB = between(before.memoryMiB, wanted.memoryMiB) as number;
    // Who asks for more takes nothing back of what the balloon was already sent to.
    return { ...wanted, memoryMiB: Math.max(memoryMiB, Math.min(vm.balloonTargetMiB, wanted.memoryMiB)) };
  }
  return before;
}
