/** Snapshots and policies for tests of the decision core: a sound VM and host with everything known, to be varied by one thing. */
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import type { DemandView, FleetSnapshot, ForecastView, HostSnapshot, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { type HostId, hostId, type VmId, vmId } from '../../shared/ids.ts';

/** Tue 2026-03-03 08:55:00 UTC. */
export const NOW_MS = Date.UTC(2026, 2, 3, 8, 55, 0);
export const STEP_MS = 5000;

export function testVmId(n: number): VmId {
  return vmId(`00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`);
}

export const KVM1: HostId = hostId('kvm1');

/** Quantiles 0.5, 0.95, 0.99 at horizons 1…; `peaks` are the 0.95 quantiles, one per horizon. */
export function forecastOf(peaks: readonly number[], over: Partial<ForecastView> = {}): ForecastView {
  return {
    model: 'aggregate',
    stepMs: STEP_MS,
    fromMs: NOW_MS,
    quantiles: [0.5, 0.95, 0.99],
    horizons: peaks.map((_, i) => i + 1),
    values: peaks.flatMap((peak) => [peak * 0.8, peak, peak * 1.05]),
    confidence: 0.8,
    explanation: 'test',
    ...over,
  };
}

export function demandOf(now: number | null, forecast: ForecastView | null, over: Partial<DemandView> = {}): DemandView {
  return { now, usage: now, ageMs: 1000, suppressed: false, vouched: true, forecast, ...over };
}

const ALLOWED = { allowed: true } as const;

export function vmOf(n: number, over: Partial<VmSnapshot> = {}): VmSnapshot {
  const flat = (value: number) => demandOf(value, forecastOf([value, value, value, value, value, value]));
  return {
    id: testVmId(n),
    name: `vm-${n}`,
    host: KVM1,
    state: 'ready',
    labels: {},
    vcpus: 2,
    bootMemoryMiB: 1024,
    overheadMiB: 40,
    numaNode: null,
    osFamily: 'linux',
    eligibility: { cpu: ALLOWED, memory: ALLOWED, network: ALLOWED, disk: ALLOWED },
    baseline: { cpu: { resource: 'cpu', weight: 100, capCores: null }, memory: { resource: 'memory', memoryMiB: 1024 } },
    current: { cpu: { resource: 'cpu', weight: 100, capCores: 1 }, memory: { resource: 'memory', memoryMiB: 800 } },
    pending: {},
    pairs: {},
    holds: [],
    jobActive: false,
    demand: { cpu: flat(0.85), memory: flat(720), network: flat(1e6), disk: flat(1e6) },
    memory: { balloonMiB: 800, workingSetMiB: 500, workingSetPeakMiB: 520, rssMiB: 820, pressure: false },
    lastChange: {},
    coolUntilMs: {},
    rollback: {},
    ...over,
  };
}

export function hostOf(over: Partial<HostSnapshot> = {}): HostSnapshot {
  return {
    id: KVM1,
    connected: true,
    ageMs: 1000,
    cpuCores: 8,
    usageCores: 2,
    cpuPressureFraction: 0,
    memoryMiB: 16384,
    availableMiB: 8192,
    swapping: false,
    numaNodes: [],
    balloonManager: null,
    killSwitch: false,
    epoch: 3,
    guardReserve: { cores: 0, memoryMiB: 0 },
    ...over,
  };
}

export function snapshotOf(vms: readonly VmSnapshot[], hosts: readonly HostSnapshot[] = [hostOf()]): FleetSnapshot {
  return { nowMs: NOW_MS, hosts, vms, recentChanges: [], killSwitch: false };
}

/** CPU capped always and memory, both in auto, with short times: a plan every few seconds, as in the demo. */
export const AUTO_POLICY = `version: 1
fleet:
  reserve: {memoryMiB: 512}
defaults:
  cpu: {mode: auto, enforcement: cap-always, violationBudget: 0.05, marginFraction: 0.1, lead: 15s, shrinkHorizon: 25s, cooldownShrink: 10s}
  memory: {mode: auto, violationBudget: 0.05, marginFraction: 0.05, lead: 15s, shrinkHorizon: 25s, cooldownShrink: 10s, workingSetWindow: 1m}
`;

export function policyOf(source: string = AUTO_POLICY): FleetPolicy {
  return parsePolicyFile(source, { version: 1, takenAtMs: NOW_MS - 60_000, forecasters: FORECASTERS }).policy;
}
