/** Live state in the API's words. Snapshot, policy and decisions in; host and VM views out. Decides nothing. */
import { RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { boundsOf, guaranteedAmount } from '../core/plan/amounts.ts';
import { type FleetSnapshot, headline, type VmSnapshot } from '../core/plan/plan.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
import type { VmRecord } from '../core/state/vm-record.ts';
import type { HostView, ResourceView, VcpuView, VmView } from '../http/service.ts';
import type { DecisionLog } from './decision-log.ts';

const UNITS: Readonly<Record<Resource, ResourceView['unit']>> = { cpu: 'cores', memory: 'MiB', network: 'bytes/s', disk: 'bytes/s' };

export function vmView(vm: VmSnapshot, record: VmRecord, policy: FleetPolicy, decisions: DecisionLog, nowMs: number): VmView {
  const resources = Object.fromEntries(RESOURCES.map((resource) => [resource, resourceView(vm, resource, policy, decisions)]));
  return {
    id: vm.id,
    name: vm.name,
    host: vm.host,
    state: vm.state,
    labels: { ...vm.labels },
    guestAgent: record.inventory.guestAgent,
    vcpus: vcpuView(vm, record, decisions),
    missingSignals: [...record.inventory.missingSignals, ...(record.inventory.guestAgent ? record.guestSignals.missing() : [])],
    ...(record.inventory.devices === undefined ? {} : { devices: [...record.inventory.devices] }),
    contention: record.contention(nowMs),
    workload: record.workload,
    resources: resources as VmView['resources'],
  };
}

function vcpuView({ id, vcpus, vcpusOnline }: VmSnapshot, record: VmRecord, decisions: DecisionLog): VcpuView {
  const lastVerdict = decisions.lastVcpuVerdict(id);
  const { coolUntilMs, infeasible } = vcpusOnline ?? {};
  return {
    ...{ defined: vcpus, online: record.vcpus.online, lastChange: decisions.lastVcpus(id) },
    ...(lastVerdict === null ? {} : { lastVerdict }),
    ...(coolUntilMs === undefined ? {} : { coolUntilMs }),
    ...(infeasible === undefined ? {} : { infeasible }),
  };
}

function resourceView(vm: VmSnapshot, resource: Resource, policy: FleetPolicy, decisions: DecisionLog): ResourceView {
  const rule = policy.resolve(vm, resource);
  const demand = vm.demand[resource];
  const setting = vm.current[resource] ?? null;
  const amount = setting ? headline(setting, Number.POSITIVE_INFINITY) : null;
  const bounds = boundsOf(resource, vm, rule);
  return {
    mode: rule.mode,
    rule: rule.rule,
    eligible: vm.eligibility[resource],
    unit: UNITS[resource],
    allocation: amount !== null && Number.isFinite(amount) ? amount : null,
    uncapped: amount === Number.POSITIVE_INFINITY,
    setting,
    baseline: vm.baseline[resource] ?? null,
    usage: demand.usage,
    demand: demand.now,
    suppressed: demand.suppressed,
    ageMs: demand.ageMs,
    floor: bounds?.floor ?? rule.floor,
    ceiling: bounds?.ceiling ?? rule.ceiling,
    forecast: demand.forecast,
    holds: vm.holds.filter((hold) => hold.resource === resource).map(({ reason, forMs }) => ({ reason, forMs })),
    ...hintsOf(vm, resource, bounds === null ? null : guaranteedAmount(bounds, rule)),
    lastVerdict: decisions.lastVerdict(vm.id, resource),
    coolUntilMs: vm.coolUntilMs[resource] ?? null,
    infeasible: vm.infeasible?.[resource] ?? null,
    lastDecision: decisions.last(vm.id, resource),
  };
}

function hintsOf({ hints = [] }: VmSnapshot, resource: Resource, countsTo: number | null): Pick<ResourceView, 'hints'> {
  const own = hints.filter((hint) => hint.resource === resource);
  return own.length === 0 ? {} : { hints: own.map(({ amount, fromMs, untilMs }) => ({ amount, fromMs, untilMs, countsTo })) };
}

export function hostViews({ hosts, vms }: FleetSnapshot): HostView[] {
  const byHost = Map.groupBy(vms, (vm) => vm.host);
  return hosts.map((host) => {
    const here = (byHost.get(host.id) ?? []).filter((vm) => vm.state !== 'stopped' && vm.state !== 'error');
    const sum = (resource: Resource, otherwise: (vm: VmSnapshot) => number): number =>
      here.reduce((total, vm) => total + amountOr(vm.current[resource], otherwise(vm)), 0);
    return {
      ...host,
      vms: byHost.get(host.id)?.length ?? 0,
      allocatedCores: sum('cpu', (vm) => vm.vcpus),
      allocatedMiB: sum('memory', (vm) => vm.bootMemoryMiB),
    };
  });
}

function amountOr(setting: Setting | undefined, otherwise: number): number {
  return setting ? headline(setting, otherwise) : otherwise;
}
