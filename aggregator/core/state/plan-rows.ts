/**
 * What a plan knew and left as series, one row per plan: per VM the bounds and the baseline its allocation is to be read
 * against, per host what it has, what is granted of it and what is expected to be wanted. Input: the plan's snapshot, the
 * policy, the plan as carried out; output: blocks. Unknown amounts are left out.
 */
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { boundsOf } from '../plan/amounts.ts';
import { type FleetSnapshot, type HostSnapshot, headline, type Plan, type VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import { type NamedValue, ownRow } from './own-row.ts';
import { amountName } from './series-rows.ts';

type Row = [name: string, value: number | null][];

export function planBlocks(snapshot: FleetSnapshot, policy: FleetPolicy, plan: Plan): TelemetryBlock[] {
  const { nowMs, hosts, vms } = snapshot;
  const byHost = Map.groupBy(vms, (vm) => vm.host);
  const steps = Map.groupBy(plan.steps, (step) => step.host);
  const hostOf = new Map(vms.map((vm) => [vm.id, vm.host]));
  const notDone = Map.groupBy(
    plan.notDone.filter(({ wouldBe }) => wouldBe !== null),
    ({ vm }) => hostOf.get(vm),
  );
  return [
    ...vms.flatMap((vm) => rowBlock({ kind: 'vm', id: vm.id }, nowMs, boundsRow(vm, policy))),
    ...hosts.flatMap((host) => {
      const own = byHost.get(host.id) ?? [];
      const decided: Row = [
        ['host_decision.steps', steps.get(host.id)?.length ?? 0],
        ['host_decision.notDone', notDone.get(host.id)?.length ?? 0],
      ];
      return rowBlock({ kind: 'host', id: host.id }, nowMs, [...cpuRow(host, own), ...memoryRow(host, own), ...decided]);
    }),
  ];
}

/** Of each resource: made once, not for every VM at every plan. */
const BOUNDS = RESOURCES.map((resource) => {
  const name = `vm_allocation.${amountName(resource)}`;
  return { resource, floor: `${name}/floor`, ceiling: `${name}/ceiling`, baseline: `${name}/baseline` };
});

function boundsRow(vm: VmSnapshot, policy: FleetPolicy): Row {
  const row: Row = [];
  for (const { resource, floor, ceiling, baseline } of BOUNDS) {
    const wishes = policy.resolve(vm, resource);
    if (wishes.mode === 'off') continue;
    const bounds = boundsOf(resource, vm, wishes);
    row.push([floor, bounds?.floor ?? null], [ceiling, bounds?.ceiling ?? null], [baseline, baselineAmount(vm, resource)]);
  }
  return row;
}

/** Without a limit a VM may use all its vCPUs; network and disk without one have no amount. */
function baselineAmount(vm: VmSnapshot, resource: Resource): number | null {
  const setting = vm.baseline[resource];
  if (!setting) return null;
  const amount = headline(setting, resource === 'cpu' ? vm.vcpus : Number.NaN);
  return Number.isNaN(amount) ? null : amount;
}

function cpuRow(host: HostSnapshot, vms: readonly VmSnapshot[]): Row {
  const granted = (vm: VmSnapshot): number | null => (vm.current.cpu ? headline(vm.current.cpu, vm.vcpus) : null);
  return [
    ['host_allocation.cpuCores/capacity', host.cpuCores],
    ['host_allocation.cpuCores/granted', sum(vms, granted)],
    ['host_allocation.cpuCores/baseline', sum(vms, (vm) => baselineAmount(vm, 'cpu'))],
    ['host_allocation.cpuCores/demand', sum(vms, (vm) => vm.demand.cpu.now)],
    ['host_allocation.vms', vms.length],
  ];
}

function memoryRow(host: HostSnapshot, vms: readonly VmSnapshot[]): Row {
  const granted = (vm: VmSnapshot): number | null => (vm.current.memory ? headline(vm.current.memory, Number.NaN) : null);
  return [
    ['host_allocation.memoryMiB/capacity', host.memoryMiB],
    ['host_allocation.memoryMiB/granted', sum(vms, granted)],
    ['host_allocation.memoryMiB/baseline', sum(vms, (vm) => baselineAmount(vm, 'memory'))],
    ['host_allocation.memoryMiB/demand', sum(vms, (vm) => vm.demand.memory.now)],
  ];
}

/** Of the VMs of which it is known: null when it is known of none. */
function sum(vms: readonly VmSnapshot[], amount: (vm: VmSnapshot) => number | null): number | null {
  const known = vms.map(amount).filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function rowBlock(subject: TelemetryBlock['subject'], atMs: number, row: Row): TelemetryBlock[] {
  const known = row.filter((cell): cell is NamedValue => cell[1] !== null);
  return known.length === 0 ? [] : [ownRow(subject, atMs, known)];
}
