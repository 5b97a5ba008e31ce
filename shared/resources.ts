/**
 * The words for what is allocated: resources, settings (what the hypervisor enforces), modes, states, and the ordered pair
 * that fences commands. Used by wire, agent and aggregator alike.
 */
export const RESOURCES = ['cpu', 'memory', 'network', 'disk'] as const;
export type Resource = (typeof RESOURCES)[number];

export const MODES = ['off', 'observe', 'recommend', 'auto'] as const;
export type Mode = (typeof MODES)[number];

export const VM_STATES = ['launching', 'ready', 'paused', 'stopped', 'error', 'unknown'] as const;
export type VmState = (typeof VM_STATES)[number];

/** CPU as enforced: weight against neighbours (100 = default) and a cap in cores over all vCPUs; null = no cap. */
export interface CpuSetting {
  resource: 'cpu';
  weight: number;
  capCores: number | null;
}

/** Memory the guest may use: the balloon's target. */
export interface MemorySetting {
  resource: 'memory';
  memoryMiB: number;
}

/** Rate limits over all of the VM's interfaces, shared out by the adapter; null = no limit. */
export interface NetworkSetting {
  resource: 'network';
  inboundBytesPerSecond: number | null;
  outboundBytesPerSecond: number | null;
}

/** Limits over all of the VM's disks, shared out by the adapter; null = no limit. */
export interface DiskSetting {
  resource: 'disk';
  bytesPerSecond: number | null;
  iops: number | null;
}

export type Setting = CpuSetting | MemorySetting | NetworkSetting | DiskSetting;
export type SettingOf<R extends Resource> = Extract<Setting, { resource: R }>;

/** Fencing: ordered first by epoch (rises with each ownership), then by generation. Lower is refused. */
export interface Pair {
  epoch: number;
  generation: number;
}

export function comparePairs(a: Pair, b: Pair): number {
  return a.epoch - b.epoch || a.generation - b.generation;
}

/** Why a resource of a VM may or may not be changed. `unknown` facts count as never. */
export type Eligibility = { allowed: true } | { allowed: false; reason: string };
export type EligibilityMap = Record<Resource, Eligibility>;

/** How an instruction ended. */
export const OUTCOMES = ['applied', 'skipped', 'refused', 'failed', 'superseded'] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** CPU weights within this distance are the same: cgroup v1's integer shares cannot express more. */
const WEIGHT_EPSILON = 0.05;
/** Caps within this distance are the same: quotas are whole microseconds of a 100 ms period, per vCPU. */
const CAP_EPSILON_CORES = 0.001;
/** Balloon targets within this distance are the same: balloons move in whole pages and drivers round. */
const MEMORY_EPSILON_MIB = 1;

/** Are two settings of one resource the same, to the resolution hypervisors have? */
export function sameSetting(a: Setting, b: Setting): boolean {
  if (a.resource === 'cpu' && b.resource === 'cpu') {
    return Math.abs(a.weight - b.weight) <= WEIGHT_EPSILON && sameLimit(a.capCores, b.capCores, CAP_EPSILON_CORES);
  }
  if (a.resource === 'memory' && b.resource === 'memory') return Math.abs(a.memoryMiB - b.memoryMiB) <= MEMORY_EPSILON_MIB;
  if (a.resource === 'network' && b.resource === 'network') {
    // libvirt keeps interface limits in KiB/s.
    return (
      sameLimit(a.inboundBytesPerSecond, b.inboundBytesPerSecond, 1024) &&
      sameLimit(a.outboundBytesPerSecond, b.outboundBytesPerSecond, 1024)
    );
  }
  if (a.resource === 'disk' && b.resource === 'disk') {
    return sameLimit(a.bytesPerSecond, b.bytesPerSecond, 1) && sameLimit(a.iops, b.iops, 1);
  }
  return false;
}

function sameLimit(a: number | null, b: number | null, epsilon: number): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= epsilon;
}
