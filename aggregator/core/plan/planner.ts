/**
 * The planner: snapshot and policy in, a plan and a report out. Pure and deterministic. Each VM and resource is proposed
 * for by itself (propose.ts), what they share is allotted (allot.ts), and what the fast guard may do meanwhile is granted
 * (grants.ts). Every step is safe on its own and in any order with the others.
 */
import type { Prng } from '../../../shared/prng.ts';
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import { allot, type HostRooms } from './allot.ts';
import { isCanary } from './canaries.ts';
import { contentionOf } from './contention.ts';
import { CpuRoom } from './cpu-room.ts';
import { grantsOf } from './grants.ts';
import { InputsDigest } from './inputs-digest.ts';
import { Loans } from './loan.ts';
import { withoutGuard } from './loan-review.ts';
import { MemoryRoom } from './memory-room.ts';
import type { FleetSnapshot, NotDone, Plan, VmSnapshot } from './plan.ts';
import type { PlanContext, Proposal } from './planning.ts';
import type { FleetPolicy } from './policy.ts';
import { propose } from './propose.ts';
import { owedNow } from './repayment.ts';
import { vcpuStepsOf } from './vcpu-steps.ts';

export interface PlanOptions {
  /** Goes into the plan's name, so that two aggregators' plans never share one. */
  epoch: number;
}

export interface HostReport {
  host: string;
  contended: string | null;
  memoryUsableMiB: number;
  memoryCommittedMiB: number;
  memoryLeftMiB: number;
  cpuUsableCores: number;
  cpuCommittedCores: number;
}

export interface PlanReport {
  vms: number;
  proposals: number;
  vmsChanged: number;
  /** Things not done, by what bound them. */
  notDone: Record<string, number>;
  hosts: HostReport[];
}

export function plan(snapshot: FleetSnapshot, policy: FleetPolicy, options: PlanOptions, prng: Prng): { plan: Plan; report: PlanReport } {
  const byHost = Map.groupBy(snapshot.vms, (vm) => vm.host as string);
  const rooms = roomsOf(snapshot, policy, byHost);
  const context = contextOf(snapshot, policy, byHost, rooms);
  const proposals: Proposal[] = [];
  const refused: NotDone[] = [];
  for (const vm of snapshot.vms) {
    for (const resource of RESOURCES) {
      const outcome = propose(vm, resource, context);
      if (outcome?.kind === 'proposal') proposals.push(outcome.proposal);
      else if (outcome) refused.push(outcome.notDone);
    }
  }
  const allotment = allot(proposals, rooms, context, prng);
  const vcpus = vcpuStepsOf(context, allotment);
  const inputsDigest = digestOf(snapshot, policy);
  const notDone = [...allotment.notDone, ...refused];
  const made: Plan = {
    id: planId(snapshot.nowMs, options.epoch, inputsDigest),
    nowMs: snapshot.nowMs,
    steps: allotment.steps,
    ...(vcpus.steps.length === 0 ? {} : { vcpuSteps: vcpus.steps }),
    ...(vcpus.recommended.length === 0 ? {} : { vcpusRecommended: vcpus.recommended }),
    notDone,
    grants: grantsOf(context, byHost, rooms),
    inputsDigest,
    ...(allotment.loans.length === 0 ? {} : { loans: allotment.loans }),
    ...(allotment.shortages.length === 0 ? {} : { shortages: allotment.shortages }),
  };
  return { plan: made, report: reportOf(context, proposals.length, allotment.blast.vms, notDone, rooms) };
}

function roomsOf(snapshot: FleetSnapshot, policy: FleetPolicy, byHost: ReadonlyMap<string, VmSnapshot[]>): Map<string, HostRooms> {
  const rooms = new Map<string, HostRooms>();
  for (const host of snapshot.hosts) {
    const vms = byHost.get(host.id) ?? [];
    rooms.set(host.id, { memory: new MemoryRoom(host, vms, policy), cpu: new CpuRoom(host, vms, policy) });
  }
  return rooms;
}

function contextOf(
  snapshot: FleetSnapshot,
  policy: FleetPolicy,
  byHost: ReadonlyMap<string, VmSnapshot[]>,
  rooms: ReadonlyMap<string, HostRooms>,
): PlanContext {
  const contended = new Map<string, string>();
  for (const host of snapshot.hosts) {
    const why = contentionOf(host, byHost.get(host.id) ?? [], policy);
    if (why !== null) contended.set(host.id, why);
  }
  const canaryCooling = new Map<Resource, string>();
  for (const vm of snapshot.vms) {
    for (const resource of RESOURCES) {
      if ((vm.coolUntilMs[resource] ?? 0) > snapshot.nowMs && isCanary(vm.id, policy.resolve(vm, resource), policy))
        canaryCooling.set(resource, vm.name);
    }
  }
  const loans = new Loans(snapshot.loans ?? []);
  const hosts = new Map(snapshot.hosts.map((host) => [host.id, host]));
  const due = loans.open.some(({ state }) => state === 'due');
  const free = due ? roomsOf({ ...snapshot, hosts: snapshot.hosts.map(withoutGuard) }, policy, byHost) : rooms;
  const spreadRoom = spreadRoomOf(byHost, rooms);
  return { snapshot, policy, hosts, contended, canaryCooling, spreadRoom, loans, owed: owedNow(loans, free) };
}

/** In equal parts: what one of them does not use is there for it in the next plan. */
function spreadRoomOf(byHost: ReadonlyMap<string, readonly VmSnapshot[]>, rooms: ReadonlyMap<string, HostRooms>): Map<string, number> {
  const room = new Map<string, number>();
  for (const [host, vms] of byHost) {
    const sharing = vms.filter((vm) => vm.vcpusOnline !== undefined).length;
    if (sharing > 0) room.set(host, (rooms.get(host)?.cpu.leftCores ?? 0) / sharing);
  }
  return room;
}

/** Of everything the decision rests on: the snapshot, and the policy as it resolves for each VM. */
function digestOf({ vms, hosts, loans, approvals, vcpuApprovals, ...rest }: FleetSnapshot, { resolve, ...plain }: FleetPolicy): string {
  const digest = new InputsDigest().add([plain, rest.nowMs, rest.killSwitch, rest.recentChanges, hosts]);
  if (loans !== undefined && loans.length > 0) digest.add(loans);
  if (approvals !== undefined && approvals.length > 0) digest.add(approvals);
  if (vcpuApprovals !== undefined && vcpuApprovals.length > 0) digest.add(vcpuApprovals);
  for (const vm of vms) {
    digest.add(vm);
    for (const resource of RESOURCES) digest.add(resolve(vm, resource).rule);
  }
  return digest.hex();
}

/** e.g. `20260102T085500Z-3-1f2e3d4c`: time, epoch, inputs. */
function planId(nowMs: number, epoch: number, digest: string): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `${time}-${epoch}-${digest.slice(0, 8)}`;
}

function reportOf(
  { snapshot, contended }: PlanContext,
  proposals: number,
  vmsChanged: number,
  notDone: readonly NotDone[],
  rooms: ReadonlyMap<string, HostRooms>,
): PlanReport {
  const counts: Record<string, number> = {};
  for (const { constraint } of notDone) counts[constraint] = (counts[constraint] ?? 0) + 1;
  const hosts = snapshot.hosts.map((host) => {
    const { memory, cpu } = rooms.get(host.id)!;
    return {
      host: host.id as string,
      contended: contended.get(host.id) ?? null,
      memoryUsableMiB: memory.usableMiB,
      memoryCommittedMiB: memory.committedMiB,
      memoryLeftMiB: memory.leftMiB,
      cpuUsableCores: cpu.usableCores,
      cpuCommittedCores: cpu.committedCores,
    };
  });
  return { vms: snapshot.vms.length, proposals, vmsChanged, notDone: counts, hosts };
}
