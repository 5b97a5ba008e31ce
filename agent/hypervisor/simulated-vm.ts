/**
 * One simulated VM: what it wants (functions of time), what it is granted, what it therefore uses, and the counters a host
 * would see. Pure state and arithmetic; the host's tick moves it. Models: a cap throttles as the kernel's bandwidth control
 * does (a vCPU that wants share u of its time with quota share q is held back for 1 − q/u of each period); a balloon moves
 * at a finite speed, only once its driver is loaded, and not below the working set, and so does plugged memory
 * (simulated-plugged.ts); memory once touched stays resident until a balloon takes it.
 */
import type { VmId } from '../../shared/ids.ts';
import type { CpuSetting, DiskSetting, NetworkSetting, Setting } from '../../shared/resources.ts';
import { NS_PER_MS } from '../../shared/units.ts';
import { type Link, QUARANTINE } from '../core/isolation.ts';
import type { PluggedMemory } from '../core/plugged-memory.ts';
import type { VmCounters } from '../core/vm-counters.ts';
import type { VmFacts } from '../core/vm-facts.ts';
import type { PowerState, VmStats } from './hypervisor.ts';
import { mostMiB, movePlugged } from './simulated-plugged.ts';

/** Demand as a function of the clock's wall time, so that a day of it has a time of day. */
export type Demand = (wallMs: number) => number;

export interface SimulatedVmOptions {
  id: VmId;
  name: string;
  vcpus: number;
  bootMemoryMiB: number;
  cpuDemandCores: Demand;
  workingSetMiB: Demand;
  receiveBytesPerSecond?: Demand;
  transmitBytesPerSecond?: Demand;
  diskBytesPerSecond?: Demand;
  /** CPU work not done waits and is done later (batch), instead of being lost (interactive). */
  keepsBacklog?: boolean;
  /** What the persistent definition grants beside its defaults. */
  baseline?: readonly Setting[];
  facts?: Partial<VmFacts>;
  /** Its memory device as it is defined: what it boots with is `bootMemoryMiB`, what its baseline grants is both together. */
  plugged?: PluggedMemory | undefined;
  power?: PowerState;
  /** What the hypervisor process takes beside guest memory. */
  overheadMiB?: number;
  balloonMiBPerSecond?: number;
  /** From power-on or reboot until the balloon driver is loaded. */
  bootMs?: number;
  statsPeriodSeconds?: number;
  /** Changes what the guest's driver reports: a guest that lies. What the host sees stays true. */
  lie?: ((balloon: NonNullable<VmStats['balloon']>) => NonNullable<VmStats['balloon']>) | undefined;
}

export interface SimulatedVm {
  readonly options: SimulatedVmOptions;
  power: PowerState;
  /** Of its vCPUs, online in the guest. */
  vcpusOnline: number;
  cpu: CpuSetting;
  network: NetworkSetting;
  disk: DiskSetting;
  /** Where both the balloon and the memory device were sent, together. */
  balloonTargetMiB: number;
  /** All memory the guest has, what is plugged included. */
  balloonMiB: number;
  /** Of its memory device: asked for, and plugged. */
  requestedMiB: number;
  pluggedMiB: number;
  /** Share of the device that the guest cannot give up now; at 1 it follows no request at all. */
  keptShare: number;
  /** Guest pages that are resident on the host. */
  touchedMiB: number;
  workingSetMiB: number;
  driverLoadsAtMs: number;
  statsPeriodSeconds: number;
  statsToldAtMs: number;
  told: NonNullable<VmStats['balloon']>;
  backlogCoreMs: number;
  demandCores: number;
  usageCores: number;
  cpuTimeNs: number;
  swapInMiB: number;
  majorFaults: number;
  received: number;
  transmitted: number;
  diskRead: number;
  diskWritten: number;
  links: readonly Link[];
  counters: VmCounters;
  metadata: string | null;
  /** It was alive before this process: migrated here, or restored. */
  cameAlive: boolean;
  stuck: boolean;
  job: boolean;
  /** Times the guest had to kill for memory, and core-ms of demand never met: for oracles. */
  guestOoms: number;
  unmetCoreMs: number;
  processId: number;
  /** When that process began, by the host's monotonic clock. */
  processSinceMs: number;
}

const OVERHEAD_MIB = 60;
const BALLOON_MIB_PER_SECOND = 200;
/** More than what counts as resting where it was. */
const BEGIN_MIB = 8;
const BOOT_MS = 10_000;
/** Guests fill what memory they have with page cache, slowly. */
const CACHE_MIB_PER_SECOND = 4;
/** A kernel and its daemons touch this share of memory while they boot. */
const BOOT_TOUCHED_SHARE = 0.15;
/** A working set this much larger than the memory left cannot be swapped fast enough: the guest's OOM killer acts. */
const OOM_EXCESS = 1.25;
/** Swap moves this fast when a guest is short. */
const SWAP_MIB_PER_SECOND = 50;
const PAGES_PER_MIB = 256;
/** Backlog kept by a batch workload, as time of all its vCPUs: more would never be worked off. */
const BACKLOG_MS_MAX = 600_000;
const US_PER_MS = 1000;

const settingOf = <R extends Setting['resource']>(
  options: SimulatedVmOptions,
  resource: R,
): Extract<Setting, { resource: R }> | undefined =>
  options.baseline?.find((setting): setting is Extract<Setting, { resource: R }> => setting.resource === resource);

export function baselineOf(
  options: SimulatedVmOptions,
): [CpuSetting, Extract<Setting, { resource: 'memory' }>, NetworkSetting, DiskSetting] {
  return [
    settingOf(options, 'cpu') ?? { resource: 'cpu', weight: 100, capCores: null },
    settingOf(options, 'memory') ?? { resource: 'memory', memoryMiB: options.bootMemoryMiB },
    settingOf(options, 'network') ?? { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: null },
    settingOf(options, 'disk') ?? { resource: 'disk', bytesPerSecond: null, iops: null },
  ];
}

/** One interface, as the view of a VM's facts names it. */
const LINKS: readonly Link[] = [{ mac: '52:54:00:00:00:01', up: true, filter: null, filterable: true }];

export function createSimulatedVm(options: SimulatedVmOptions, processId: number, nowMs: number): SimulatedVm {
  const [cpu, memory, network, disk] = baselineOf(options);
  const power = options.power ?? 'running';
  const zeros = { usageNs: 0, overheadNs: 0, throttledNs: 0, machineThrottledNs: 0, waitNs: 0 };
  const pressure = { cpuSomeUs: 0, memorySomeUs: 0, memoryFullUs: 0, ioSomeUs: 0 };
  return {
    options,
    power,
    vcpusOnline: options.vcpus,
    cpu,
    network,
    disk,
    balloonTargetMiB: memory.memoryMiB,
    balloonMiB: memory.memoryMiB,
    requestedMiB: options.plugged?.requestedMiB ?? 0,
    pluggedMiB: options.plugged?.requestedMiB ?? 0,
    keptShare: 0,
    touchedMiB: 0,
    workingSetMiB: 0,
    // A VM that already runs when the simulation starts has booted before.
    driverLoadsAtMs: nowMs,
    statsPeriodSeconds: options.statsPeriodSeconds ?? 0,
    statsToldAtMs: Number.NEGATIVE_INFINITY,
    told: {},
    backlogCoreMs: 0,
    demandCores: 0,
    usageCores: 0,
    cpuTimeNs: 0,
    swapInMiB: 0,
    majorFaults: 0,
    received: 0,
    transmitted: 0,
    diskRead: 0,
    diskWritten: 0,
    links: LINKS,
    counters: { vcpus: options.vcpus, ...zeros, rssMiB: 0, ...pressure },
    metadata: null,
    cameAlive: false,
    stuck: false,
    job: false,
    guestOoms: 0,
    unmetCoreMs: 0,
    processId,
    processSinceMs: nowMs,
  };
}

/** Runs: its vCPUs may execute. */
export const executes = (vm: SimulatedVm): boolean => vm.power === 'running';
/** Holds memory on the host, running or not. */
export const holdsMemory = (vm: SimulatedVm): boolean => vm.power !== 'shutoff' && vm.power !== 'crashed';

/** Power-on or guest reboot: full boot memory until the balloon driver is loaded. */
export function boot(vm: SimulatedVm, nowMs: number): void {
  vm.power = 'running';
  vm.cameAlive = false;
  vm.vcpusOnline = vm.options.vcpus;
  vm.balloonMiB = vm.options.bootMemoryMiB;
  vm.pluggedMiB = 0;
  vm.touchedMiB = Math.max(vm.touchedMiB, vm.options.bootMemoryMiB * BOOT_TOUCHED_SHARE);
  vm.driverLoadsAtMs = nowMs + (vm.options.bootMs ?? BOOT_MS);
  vm.told = {};
  vm.statsToldAtMs = Number.NEGATIVE_INFINITY;
}

/** Power-off: what was set live is gone, as with a real hypervisor. */
export function powerOff(vm: SimulatedVm, power: PowerState): void {
  const [cpu, memory, network, disk] = baselineOf(vm.options);
  Object.assign(vm, { power, cpu, network, disk, balloonTargetMiB: memory.memoryMiB, touchedMiB: 0, backlogCoreMs: 0, metadata: null });
  vm.requestedMiB = vm.options.plugged?.requestedMiB ?? 0;
  vm.links = LINKS;
  vm.statsPeriodSeconds = vm.options.statsPeriodSeconds ?? 0;
}

/** Demand that begins now, cores. */
export const freshCores = (vm: SimulatedVm, wallMs: number): number => (executes(vm) ? Math.max(0, vm.options.cpuDemandCores(wallMs)) : 0);

/** What the VM could use at once if nothing held it, what waits included. */
export const demandOf = (vm: SimulatedVm, fresh: number, tickMs: number): number =>
  executes(vm) ? Math.min(vm.options.vcpus, fresh + vm.backlogCoreMs / tickMs) : 0;

/** What its vCPUs can run of it; a cap is a quota of each, and of those online alone. */
export function capped({ vcpusOnline, options, cpu }: SimulatedVm, demand: number): { runnable: number; capped: number } {
  const runnable = Math.min(demand, vcpusOnline);
  return { runnable, capped: cpu.capCores === null ? runnable : Math.min(runnable, (cpu.capCores * vcpusOnline) / options.vcpus) };
}

/** Cores over a tick: what began, what was wanted, what vCPUs could run, what of it the VM's own cap lets through, what it got. */
export interface CpuTick {
  fresh: number;
  demand: number;
  runnable: number;
  capped: number;
  granted: number;
}

/** Books a tick of CPU. */
export function bookCpu(vm: SimulatedVm, { fresh, demand, runnable, capped, granted }: CpuTick, tickMs: number): void {
  const ns = tickMs * NS_PER_MS;
  const { counters, options } = vm;
  vm.demandCores = demand;
  vm.usageCores = granted;
  vm.cpuTimeNs += granted * ns * 1.02;
  counters.usageNs += granted * ns;
  counters.overheadNs += granted * ns * 0.02;
  if (runnable > capped) counters.throttledNs += vm.vcpusOnline * (1 - capped / runnable) * ns;
  counters.waitNs += (capped - granted) * ns;
  if (capped > granted) counters.cpuSomeUs += Math.min(1, capped - granted) * tickMs * US_PER_MS;
  const left = Math.max(0, vm.backlogCoreMs + (fresh - granted) * tickMs);
  vm.backlogCoreMs = options.keepsBacklog ? Math.min(left, BACKLOG_MS_MAX * options.vcpus) : 0;
  vm.unmetCoreMs += Math.max(0, fresh - granted) * tickMs;
}

/** Moves balloon, resident memory and the guest's shortage by a tick. */
export function bookMemory(vm: SimulatedVm, wallMs: number, nowMs: number, tickMs: number): void {
  if (!executes(vm)) {
    vm.counters.rssMiB = holdsMemory(vm) ? rssMiB(vm) : 0;
    return;
  }
  const seconds = tickMs / 1000;
  vm.workingSetMiB = Math.min(mostMiB(vm.options), Math.max(0, vm.options.workingSetMiB(wallMs)));
  if (nowMs >= vm.driverLoadsAtMs) moveBalloon(vm, (vm.options.balloonMiBPerSecond ?? BALLOON_MIB_PER_SECOND) * seconds);
  const cached = vm.touchedMiB + CACHE_MIB_PER_SECOND * seconds;
  vm.touchedMiB = Math.min(vm.balloonMiB, Math.max(cached, vm.workingSetMiB));
  vm.counters.rssMiB = rssMiB(vm);
  const shortMiB = vm.workingSetMiB - vm.balloonMiB;
  if (shortMiB > 0) {
    // The guest stalls on its own disk: its host's pressure counters know nothing of it, only the guest's driver tells.
    const swapped = Math.min(shortMiB, SWAP_MIB_PER_SECOND * seconds);
    vm.swapInMiB += swapped;
    vm.majorFaults += swapped * PAGES_PER_MIB;
    if (vm.workingSetMiB > vm.balloonMiB * OOM_EXCESS) vm.guestOoms++;
  }
  tellStats(vm, wallMs, nowMs);
}

const rssMiB = (vm: SimulatedVm): number => vm.touchedMiB + (vm.options.overheadMiB ?? OVERHEAD_MIB);

/** A driver that is told to go somewhere is on its way at once, and seen to be, however coarse the ticks are. */
export function beginToMove(vm: SimulatedVm, nowMs: number): void {
  if (executes(vm) && nowMs >= vm.driverLoadsAtMs) moveBalloon(vm, BEGIN_MIB);
}

function moveBalloon(vm: SimulatedVm, stepMiB: number): void {
  movePlugged(vm, stepMiB);
  // What the balloon leaves the guest has beside what is plugged.
  const targetMiB = vm.balloonTargetMiB - vm.requestedMiB + vm.pluggedMiB;
  if (targetMiB > vm.balloonMiB) vm.balloonMiB = Math.min(targetMiB, vm.balloonMiB + stepMiB);
  else if (targetMiB < vm.balloonMiB) {
    // The driver gets no pages that the guest is using.
    const least = Math.max(targetMiB, vm.workingSetMiB);
    if (least < vm.balloonMiB) vm.balloonMiB = Math.max(least, vm.balloonMiB - stepMiB);
  }
}

/** The guest's driver reports every period, from what it knows then. */
function tellStats(vm: SimulatedVm, wallMs: number, nowMs: number): void {
  if (vm.statsPeriodSeconds <= 0 || nowMs < vm.driverLoadsAtMs) return;
  if (nowMs - vm.statsToldAtMs < vm.statsPeriodSeconds * 1000) return;
  vm.statsToldAtMs = nowMs;
  const truth = {
    availableMiB: vm.balloonMiB,
    usableMiB: Math.max(0, vm.balloonMiB - vm.workingSetMiB),
    unusedMiB: Math.max(0, vm.balloonMiB - vm.touchedMiB),
    swapInMiB: vm.swapInMiB,
    swapOutMiB: vm.swapInMiB,
    majorFaults: Math.round(vm.majorFaults),
    lastUpdateSeconds: Math.floor(wallMs / 1000),
  };
  vm.told = vm.options.lie ? vm.options.lie(truth) : truth;
}

/** Moves network and disk counters by a tick, held by their limits. */
export function bookIo(vm: SimulatedVm, wallMs: number, tickMs: number): void {
  if (!executes(vm)) return;
  const { receiveBytesPerSecond, transmitBytesPerSecond, diskBytesPerSecond } = vm.options;
  if (!receiveBytesPerSecond && !transmitBytesPerSecond && !diskBytesPerSecond) return;
  const seconds = tickMs / 1000;
  const cut = vm.links.every(({ up, filter }) => !up || filter?.name === QUARANTINE.name);
  const held = (demand: Demand | undefined, limit: number | null): number =>
    Math.min(Math.max(0, demand?.(wallMs) ?? 0), limit ?? Number.POSITIVE_INFINITY) * seconds;
  if (!cut) {
    vm.received += held(receiveBytesPerSecond, vm.network.inboundBytesPerSecond);
    vm.transmitted += held(transmitBytesPerSecond, vm.network.outboundBytesPerSecond);
  }
  const moved = held(diskBytesPerSecond, vm.disk.bytesPerSecond);
  vm.diskRead += moved / 2;
  vm.diskWritten += moved / 2;
}
