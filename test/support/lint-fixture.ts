/** A small fleet, a policy and a plan that break no rule: tests change one thing at a time. */
import type { FleetSnapshot, HostSnapshot, Plan, PlanStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import type { FleetPolicy, ResourcePolicy } from '../../aggregator/core/plan/policy.ts';
import { FLEET_DEFAULTS, RESOURCE_DEFAULTS } from '../../aggregator/core/plan/policy-defaults.ts';
import { hostId, vmId } from '../../shared/ids.ts';

export const NOW_MS = Date.UTC(2026, 0, 7, 12, 0, 0);
export const HOST = hostId('host-1');

export function vmNumber(n: number): VmSnapshot {
  const demand = (now: number) => ({
    now,
    usage: now,
    ageMs: 1000,
    suppressed: false,
    vouched: true,
    forecast: {
      model: 'aggregate',
      stepMs: 300_000,
      fromMs: NOW_MS,
      quantiles: [0.5, 0.99],
      horizons: [1, 12],
      values: [now, now, now, now],
      confidence: 0.9,
      explanation: 'steady',
    },
  });
  return {
    id: vmId(`00000000-0000-4000-8000-${String(n).padStart(12, '0')}`),
    name: `vm-${n}`,
    host: HOST,
    state: 'ready',
    labels: {},
    vcpus: 2,
    bootMemoryMiB: 4096,
    overheadMiB: 100,
    osFamily: 'linux',
    numaNode: 0,
    eligibility: { cpu: { allowed: true }, memory: { allowed: true }, network: { allowed: true }, disk: { allowed: true } },
    baseline: { cpu: { resource: 'cpu', weight: 100, capCores: null }, memory: { resource: 'memory', memoryMiB: 4096 } },
    current: { cpu: { resource: 'cpu', weight: 100, capCores: 1 }, memory: { resource: 'memory', memoryMiB: 2048 } },
    pending: {},
    pairs: {},
    holds: [],
    jobActive: false,
    demand: { cpu: demand(0.5), memory: demand(1500), network: demand(0), disk: demand(0) },
    memory: { balloonMiB: 2048, workingSetMiB: 1200, workingSetPeakMiB: 1500, rssMiB: 2100, pressure: false },
    lastChange: {},
    coolUntilMs: {},
    rollback: {},
  };
}

export function hostNumberOne(): HostSnapshot {
  return {
    id: HOST,
    connected: true,
    ageMs: 1000,
    cpuCores: 8,
    usageCores: 2,
    cpuPressureFraction: 0,
    memoryMiB: 16_384,
    availableMiB: 10_000,
    swapping: false,
    numaNodes: [{ id: 0, memoryMiB: 16_384 }],
    balloonManager: null,
    killSwitch: false,
    epoch: 3,
    guardReserve: { cores: 0, memoryMiB: 0 },
  };
}

export interface Case {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  resources: { cpu: ResourcePolicy; memory: ResourcePolicy };
  plan: Plan;
}

function step(vm: VmSnapshot, change: Pick<PlanStep, 'resource' | 'direction' | 'from' | 'to' | 'floor' | 'ceiling'>): PlanStep {
  return {
    vm: vm.id,
    vmName: vm.name,
    host: vm.host,
    mode: 'auto',
    constraint: 'forecast',
    reason: 'because demand is expected',
    predictedDemand: 1,
    model: 'aggregate',
    ...change,
  };
}

export function memoryStep(vm: VmSnapshot, toMiB: number): PlanStep {
  const from = vm.current.memory!;
  const direction = from.resource === 'memory' && toMiB > from.memoryMiB ? 'grow' : 'shrink';
  return step(vm, { resource: 'memory', direction, from, to: { resource: 'memory', memoryMiB: toMiB }, floor: 512, ceiling: 4096 });
}

export function cpuStep(vm: VmSnapshot, capCores: number | null): PlanStep {
  const from = vm.current.cpu!;
  const direction = (capCores ?? 99) > (from.resource === 'cpu' ? (from.capCores ?? 99) : 0) ? 'grow' : 'shrink';
  return step(vm, { resource: 'cpu', direction, from, to: { resource: 'cpu', weight: 100, capCores }, floor: 0.4, ceiling: 2 });
}

/** Three VMs: one grows in CPU, one shrinks in memory, one grows in memory. Nothing to be found. */
export function cleanCase(): Case {
  const vms = [vmNumber(1), vmNumber(2), vmNumber(3)];
  const resources = {
    cpu: { ...RESOURCE_DEFAULTS.cpu, mode: 'auto' as const, cpuEnforcement: 'cap-always' as const },
    memory: { ...RESOURCE_DEFAULTS.memory, mode: 'auto' as const, floor: 512 },
  };
  const policy: FleetPolicy = {
    ...structuredClone(FLEET_DEFAULTS),
    version: 1,
    resolve: (_vm, resource) => ({ ...(resource === 'cpu' ? resources.cpu : resources.memory), rule: 'test' }),
  };
  const plan: Plan = {
    id: 'plan-1',
    nowMs: NOW_MS,
    steps: [memoryStep(vms[1]!, 1900), cpuStep(vms[0]!, 1.5), memoryStep(vms[2]!, 2300)],
    notDone: [],
    grants: [
      { host: HOST, reserveCores: 1, reserveMiB: 100, allowances: [{ vm: vms[0]!.id, cpuCeilingCores: 2, memoryCeilingMiB: 4096 }] },
    ],
    inputsDigest: 'x',
  };
  return { snapshot: { nowMs: NOW_MS, hosts: [hostNumberOne()], vms, recentChanges: [], killSwitch: false }, policy, resources, plan };
}
