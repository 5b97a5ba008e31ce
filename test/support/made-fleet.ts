/**
 * A made fleet for the faces: what each guest would use at any moment, as plain functions of time. Input: a time; output:
 * the same value for the same time, always. Days last two minutes and steps five seconds, as in the demo.
 */
import { type HostId, hostId, type VmId, vmId } from '../../shared/ids.ts';
import type { EligibilityMap, Mode, Resource, VmState } from '../../shared/resources.ts';

export const DAY_MS = 120_000;
export const STEP_MS = 5000;

export interface MadeVm {
  id: VmId;
  name: string;
  host: HostId;
  state: VmState;
  labels: Record<string, string>;
  guestAgent: boolean;
  missingSignals: string[];
  eligibility: EligibilityMap;
  modes: Record<Resource, Mode>;
  cpu: { low: number; high: number; ceiling: number; peakAt: number; widthShare: number };
  memory: { low: number; high: number; ceiling: number };
}

const ALL_ALLOWED: EligibilityMap = {
  cpu: { allowed: true },
  memory: { allowed: true },
  network: { allowed: true },
  disk: { allowed: true },
};
const id = (n: number): VmId => vmId(`5f0c1a3e-0000-4000-8000-${String(n).padStart(12, '0')}`);
const HOSTS = [hostId('rack1-kvm01'), hostId('rack1-kvm02')] as const;

export const MADE_VMS: readonly MadeVm[] = [
  {
    id: id(1),
    name: 'shop-web',
    host: HOSTS[0],
    state: 'ready',
    labels: { team: 'shop', class: 'web' },
    guestAgent: true,
    missingSignals: [],
    eligibility: ALL_ALLOWED,
    modes: { cpu: 'auto', memory: 'auto', network: 'observe', disk: 'observe' },
    cpu: { low: 0.18, high: 0.72, ceiling: 1, peakAt: 0.55, widthShare: 0.42 },
    memory: { low: 210, high: 430, ceiling: 640 },
  },
  {
    id: id(2),
    name: 'nightly-batch',
    host: HOSTS[0],
    state: 'ready',
    labels: { team: 'data', class: 'batch' },
    guestAgent: true,
    missingSignals: [],
    eligibility: ALL_ALLOWED,
    modes: { cpu: 'auto', memory: 'auto', network: 'observe', disk: 'observe' },
    cpu: { low: 0.06, high: 0.85, ceiling: 1, peakAt: 0.2, widthShare: 0.25 },
    memory: { low: 180, high: 500, ceiling: 640 },
  },
  {
    id: id(3),
    name: 'gpu-render',
    host: HOSTS[1],
    state: 'ready',
    labels: { team: 'media' },
    guestAgent: false,
    missingSignals: ['guest agent: none is connected, so run queue and refaults are unknown'],
    eligibility: {
      ...ALL_ALLOWED,
      memory: { allowed: false, reason: 'a passed-through device pins all of its memory (VFIO 0000:3b:00.0)' },
    },
    modes: { cpu: 'recommend', memory: 'observe', network: 'observe', disk: 'observe' },
    cpu: { low: 0.5, high: 2.6, ceiling: 4, peakAt: 0.7, widthShare: 0.5 },
    memory: { low: 6000, high: 6100, ceiling: 8192 },
  },
  {
    id: id(4),
    name: 'idle-legacy',
    host: HOSTS[1],
    state: 'paused',
    labels: {},
    guestAgent: false,
    missingSignals: ['balloon statistics: the guest has no balloon driver loaded'],
    eligibility: { ...ALL_ALLOWED, memory: { allowed: false, reason: 'the guest has no balloon device' } },
    modes: { cpu: 'observe', memory: 'observe', network: 'off', disk: 'off' },
    cpu: { low: 0.01, high: 0.02, ceiling: 1, peakAt: 0.5, widthShare: 0.1 },
    memory: { low: 300, high: 310, ceiling: 512 },
  },
];

export const MADE_HOSTS = [
  { id: HOSTS[0], cpuCores: 8, memoryMiB: 16_384 },
  { id: HOSTS[1], cpuCores: 16, memoryMiB: 32_768 },
] as const;

/** Repeatable noise in [-1, 1], without state. */
function noise(seed: number, timeMs: number): number {
  const x = Math.sin(seed * 12.9898 + Math.floor(timeMs / 1000) * 78.233) * 43_758.5453;
  return (x - Math.floor(x)) * 2 - 1;
}

/** Share of the way from low to high, 0..1: one smooth hill a day. */
function hill(timeMs: number, peakAt: number, widthShare: number): number {
  const phase = ((timeMs % DAY_MS) + DAY_MS) % DAY_MS;
  const distance = Math.abs(((phase / DAY_MS - peakAt + 1.5) % 1) - 0.5);
  const rise = Math.max(0, 1 - distance / (widthShare / 2));
  return rise * rise * (3 - 2 * rise);
}

const seedOf = (vm: MadeVm): number => Number.parseInt(vm.id.slice(-4), 10);

/** Demand in the resource's headline unit, without noise. */
export function expectedDemand(vm: MadeVm, resource: Resource, timeMs: number): number {
  const share = hill(timeMs, vm.cpu.peakAt, vm.cpu.widthShare);
  switch (resource) {
    case 'cpu':
      return vm.cpu.low + (vm.cpu.high - vm.cpu.low) * share;
    case 'memory':
      return vm.memory.low + (vm.memory.high - vm.memory.low) * hill(timeMs - 4000, vm.cpu.peakAt, vm.cpu.widthShare * 1.3);
    case 'network':
      return 40_000 + 2_500_000 * share;
    case 'disk':
      return 15_000 + 600_000 * share;
  }
}

/** The largest expected demand within the step that begins then. */
export function stepDemand(vm: MadeVm, resource: Resource, startMs: number): number {
  return Math.max(...[0, 0.25, 0.5, 0.75, 1].map((share) => expectedDemand(vm, resource, startMs + share * STEP_MS)));
}

export function usage(vm: MadeVm, resource: Resource, timeMs: number): number {
  const demand = expectedDemand(vm, resource, timeMs) * (1 + 0.08 * noise(seedOf(vm) + resource.length, timeMs));
  const granted = allocation(vm, resource, timeMs);
  return granted === null ? demand : Math.min(demand, granted);
}

/** What it is granted: the highest expected demand of the next four steps and a fifth on top; null = no limit. */
export function allocation(vm: MadeVm, resource: Resource, timeMs: number): number | null {
  if (resource === 'network' || resource === 'disk') return null;
  if (vm.modes[resource] !== 'auto') return resource === 'memory' ? vm.memory.ceiling : null;
  const stepAt = Math.floor(timeMs / STEP_MS) * STEP_MS;
  const ahead = [0, 1, 2, 3, 4].map((steps) => expectedDemand(vm, resource, stepAt + steps * STEP_MS));
  const bounds = resource === 'cpu' ? { floor: 0.2, ceiling: vm.cpu.ceiling } : { floor: 192, ceiling: vm.memory.ceiling };
  return Math.min(bounds.ceiling, Math.max(bounds.floor, Math.max(...ahead) * 1.2));
}
