/**
 * What must be known of hosts and VMs to decide about groups: the room that each host has, and what members do. Whoever owns a host
 * makes its part, so that little is passed on where several aggregators share the fleet. Input: an owner's own snapshot, policy, the
 * VMs that are on record; output: its part, and parts joined. Pure.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { VmState } from '../../../shared/resources.ts';
import { GROUP_RESOURCES, type GroupResource } from '../plan/group-policy.ts';
import { MemoryRoom } from '../plan/memory-room.ts';
import type { FleetSnapshot, HostSnapshot, VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import type { MemberDemand } from './group-total.ts';

export interface SightHost {
  id: HostId;
  connected: boolean;
  /** Why nothing is made there now; null = nothing speaks against it, but for what a template needs. */
  barred: string | null;
  /** Its administrator lets VMs be made there; lets them be handed over; its agent carries out templates' probes. */
  makesVms: boolean;
  takesVms: boolean;
  probes: boolean;
  /** It suspends VMs it made, and brings them back; an aggregator of an older release does not say. */
  suspends?: boolean;
  /** By the sums that hold for every other growth. Orders under way are not in it. */
  freeMemoryMiB: number;
  /** Capacity times the policy's overcommitment, less the reserve, less what its VMs will want. Orders under way are not in it. */
  freeCores: number;
  /** Of those asked about the ones that run there. */
  running: readonly VmId[];
}

export interface SightVm {
  id: VmId;
  name: string;
  host: HostId;
  labels: Readonly<Record<string, string>>;
  state: VmState;
  vcpus: number;
  bootMemoryMiB: number;
  guestAgent: boolean;
  /** Estimated now; null = unknown, and how old. */
  demand: Record<GroupResource, { now: number | null; ageMs: number }>;
  /** Of its newest step; null = none was finished. */
  step: MemberDemand | null;
}

export interface SightPart {
  hosts: readonly SightHost[];
  /** Those asked about, and those that a group of the policy counts as its own. */
  vms: readonly SightVm[];
}

export interface GroupSight extends SightPart {
  nowMs: number;
  killSwitch: boolean;
}

export interface SightGround {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  /** VMs that are on record, wherever they are. */
  asked: ReadonlySet<VmId>;
  /** Highest demand of a host's VMs together in the hour to come, cores; null = not known. */
  peakCores: (host: HostId) => number | null;
  makesVms: (host: HostId) => boolean;
  takesVms: (host: HostId) => boolean;
  probes: (host: HostId) => boolean;
  suspends: (host: HostId) => boolean;
  guestAgent: (vm: VmId) => boolean;
  step: (vm: VmId) => MemberDemand | null;
}

export function sightOf(ground: SightGround): SightPart {
  const { snapshot, policy, asked } = ground;
  const vmsOf = Map.groupBy(snapshot.vms, ({ host }) => host);
  const groups = policy.groups ?? [];
  const told = snapshot.vms.filter((vm) => asked.has(vm.id) || groups.some((group) => group.matches(vm)));
  return {
    hosts: snapshot.hosts.map((host) => hostSight(host, vmsOf.get(host.id) ?? [], ground)),
    vms: told.map((vm) => vmSight(vm, ground)),
  };
}

function hostSight(host: HostSnapshot, vms: readonly VmSnapshot[], ground: SightGround): SightHost {
  const { policy, asked, peakCores, makesVms, takesVms, probes, suspends } = ground;
  const { id, connected } = host;
  const up = vms.filter(({ state }) => state !== 'stopped' && state !== 'error');
  const sizes = up.reduce((sum, { vcpus }) => sum + vcpus, 0);
  return {
    ...{ id, connected, barred: barredBy(host, ground), makesVms: makesVms(id), takesVms: takesVms(id), probes: probes(id) },
    suspends: suspends(id),
    freeMemoryMiB: new MemoryRoom(host, vms, policy).leftMiB,
    freeCores: host.cpuCores * policy.cpuOvercommit - policy.reserve.cpuCores - (peakCores(id) ?? sizes),
    running: up.flatMap((vm) => (asked.has(vm.id) ? [vm.id] : [])),
  };
}

function barredBy(host: HostSnapshot, { policy, makesVms }: SightGround): string | null {
  if (!host.connected) return 'it is not connected';
  if (host.ageMs > policy.staleAfterMs) return 'its data are stale';
  if (host.killSwitch) return 'its kill switch is on';
  if (!makesVms(host.id)) return 'its agent makes no VMs';
  return host.swapping ? 'it swaps' : null;
}

function vmSight(vm: VmSnapshot, { guestAgent, step }: SightGround): SightVm {
  const { id, name, host, labels, state, vcpus, bootMemoryMiB } = vm;
  const demand = Object.fromEntries(
    GROUP_RESOURCES.map((resource) => [resource, { now: vm.demand[resource].now, ageMs: vm.demand[resource].ageMs }]),
  ) as SightVm['demand'];
  return { ...{ id, name, host, labels, state, vcpus, bootMemoryMiB, demand }, guestAgent: guestAgent(id), step: step(id) };
}

/** A host that changes its owner may be in two parts: the one where it is connected counts, with its VMs. */
export function joinedSight(parts: readonly SightPart[]): SightPart {
  const at = new Map<HostId, { host: SightHost; part: SightPart }>();
  for (const part of parts) {
    for (const host of part.hosts) if (host.connected || !at.has(host.id)) at.set(host.id, { host, part });
  }
  const vms = new Map(
    parts.flatMap((part) => part.vms.filter(({ host }) => at.get(host)?.part === part)).map((vm): [VmId, SightVm] => [vm.id, vm]),
  );
  return { hosts: [...at.values()].map(({ host }) => host), vms: [...vms.values()] };
}
