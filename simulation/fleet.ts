/**
 * The fleet of a simulated world: hosts and VMs drawn from the seed. VMs of a host boot with more than fits if all took all:
 * their baseline is a part of it, so that sums matter. Input: sizes, paces, the generator; output: options of hosts and VMs.
 */
import { mostMiB } from '../agent/hypervisor/simulated-plugged.ts';
import type { SimulatedVmOptions } from '../agent/hypervisor/simulated-vm.ts';
import type { HostAgentSettings } from '../agent/loops/host-context.ts';
import { type VmId, vmId } from '../shared/ids.ts';
import type { Prng } from '../shared/prng.ts';
import { CHANNEL_NAME } from './guest-node.ts';
import type { Paces } from './paces.ts';
import { createWorkload } from './workload.ts';

export interface FleetSize {
  hosts: number;
  vms: number;
}

export interface DrawnVm extends SimulatedVmOptions {
  lies: boolean;
  /** Runs the guest agent too. */
  guestAgent: boolean;
  /** What its kernel does when its agent takes vCPUs offline; undefined = it may take none. */
  takesOffline: 'obeys' | 'pretends' | 'refuses' | undefined;
}

export interface DrawnHost {
  cpuCores: number;
  memoryMiB: number;
  vms: DrawnVm[];
}

const MINUTE_MS = 60_000;
/** Hands off after a foreign write: shorter than live, so that its end is seen too. */
export const FOREIGN_HOLD_MS = 2 * 60 * MINUTE_MS;
const VCPUS = [1, 2, 4] as const;
const MEMORY_MIB = [1024, 2048, 4096] as const;
/** VMs to a core: 2.3 vCPUs each on average, of which most want a third at once and some all. */
const VMS_PER_CORE = 1.25;
const HOST_CORES_MIN = 16;
/** What a VM is granted of its boot memory, and what hosts have of the sum of it. */
const BASELINE_SHARE = 0.8;
const HOST_RESERVE_MIB = 2048;
const LIARS_SHARE = 0.1;
/** On every other host one VM has a memory device: this one, of whose memory so much is there at boot. What it needs at most just about fits in that. */
const PLUGGED_INDEX = 2;
const PLUGGED_HOSTS = 2;
const BOOT_SHARE = 0.625;
const PLUGGED_BLOCK_MIB = 8;

export function drawHost(index: number, size: FleetSize, paces: Paces, liars: boolean, random: Prng): DrawnHost {
  const share = Math.floor(size.vms / size.hosts) + (index < size.vms % size.hosts ? 1 : 0);
  const vms = Array.from({ length: share }, (_, v) => drawVm(index, v, random.stream(`vm/${v}`), paces, liars));
  const bootMiB = vms.reduce((sum, vm) => sum + mostMiB(vm), 0);
  const largestMiB = Math.max(...vms.map(mostMiB));
  return {
    cpuCores: Math.max(HOST_CORES_MIN, Math.ceil(share / VMS_PER_CORE)),
    memoryMiB: Math.ceil(BASELINE_SHARE * bootMiB) + 2 * largestMiB + HOST_RESERVE_MIB,
    vms,
  };
}

function drawVm(host: number, index: number, random: Prng, paces: Paces, liars: boolean): DrawnVm {
  const id: VmId = vmId(`5151${String(host).padStart(4, '0')}-0000-4000-8000-${String(index).padStart(12, '0')}`);
  const vcpus = VCPUS[random.below(VCPUS.length)]!;
  const memoryMiB = MEMORY_MIB[random.below(MEMORY_MIB.length)]!;
  const workload = createWorkload(random, { vcpus, memoryMiB, dayMs: paces.dayMs });
  const lies = liars && random.next() < LIARS_SHARE;
  // One guest a host runs the agent: hosts must do without, and with. In large fleets not every host has one.
  const guestAgent = index === 0 && host % paces.hostsPerGuestAgent === 0;
  // Nothing is drawn for it: every VM stays as it was.
  const vcpusLabelled = guestAgent && vcpus > 1;
  // All are of one shape: their physics read these at every tick.
  return {
    id,
    name: `vm-${host}-${index}`,
    vcpus,
    ...memoryOf(memoryMiB, index === PLUGGED_INDEX && host % PLUGGED_HOSTS === 0),
    cpuDemandCores: (wallMs) => workload.cpuCores(wallMs),
    workingSetMiB: (wallMs) => workload.workingSetMiB(wallMs),
    statsPeriodSeconds: paces.guardMs / 1000,
    facts: {
      ...(paces.devices ? {} : { interfaces: [], disks: [] }),
      ...(vcpusLabelled ? { labels: { vcpus: 'allow' } } : {}),
      ...(guestAgent ? { channels: [{ name: CHANNEL_NAME, path: id, connected: true }] } : {}),
    },
    // It says that it needs nothing and has given everything back.
    lie: lies ? (told) => ({ ...told, usableMiB: told.actualMiB ?? 0, unusedMiB: told.actualMiB ?? 0 }) : undefined,
    lies,
    guestAgent,
    takesOffline: !vcpusLabelled ? undefined : lies ? 'pretends' : (host / paces.hostsPerGuestAgent) % 4 === 2 ? 'refuses' : 'obeys',
  };
}

/** What it boots with and what is granted: of one with a memory device a part is plugged, in whole blocks. */
function memoryOf(memoryMiB: number, hasDevice: boolean): Pick<SimulatedVmOptions, 'bootMemoryMiB' | 'baseline' | 'plugged'> {
  const grantedMiB = Math.round(BASELINE_SHARE * memoryMiB);
  if (!hasDevice) return { bootMemoryMiB: memoryMiB, plugged: undefined, baseline: [{ resource: 'memory', memoryMiB: grantedMiB }] };
  const bootMemoryMiB = BOOT_SHARE * memoryMiB;
  const requestedMiB = Math.floor((grantedMiB - bootMemoryMiB) / PLUGGED_BLOCK_MIB) * PLUGGED_BLOCK_MIB;
  return {
    bootMemoryMiB,
    plugged: { sizeMiB: memoryMiB - bootMemoryMiB, blockMiB: PLUGGED_BLOCK_MIB, requestedMiB },
    baseline: [{ resource: 'memory', memoryMiB: bootMemoryMiB + requestedMiB }],
  };
}

export function agentSettings(paces: Paces): Omit<HostAgentSettings, 'host'> {
  return {
    include: [],
    sampleMs: paces.sampleMs,
    guardMs: paces.guardMs,
    statsMs: paces.sampleMs,
    balloonStatsMs: paces.guardMs,
    settingsMs: paces.settingsMs,
    inventoryMs: paces.inventoryMs,
    bootDeadlineMs: 2 * MINUTE_MS,
    foreignHoldMs: FOREIGN_HOLD_MS,
    foreignRestMs: 30_000,
    balloonSettleMs: 2000,
    memoryReserveMiB: 512,
    failSafeGrowthsPerMinute: 3,
    startupLeaseMs: 5 * paces.planMs,
  };
}
