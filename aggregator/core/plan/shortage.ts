/**
 * A host that lacks room for a VM, and what is done about it, in this order: borrow from the less important, move the VM
 * elsewhere where the policy wants that proposed, hold it at what fits, call the administrator. Input: who is short of what,
 * and what borrowing brought; output: the shortage with every measure, done or not, in words.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { HostRooms } from './allot.ts';
import { expectedCores } from './contention.ts';
import { isResource, type LentResource, type Loan } from './loan.ts';
import type { PlanContext, Proposal } from './planning.ts';
import { whenShort } from './policy-defaults.ts';
import { overheadOf } from './processors.ts';
import { amountWords } from './words.ts';

export const MEASURES = ['borrow', 'migrate', 'throttle', 'alert'] as const;

export interface Measure {
  kind: (typeof MEASURES)[number];
  done: boolean;
  words: string;
}

export interface Shortage {
  vm: VmId;
  vmName: string;
  host: HostId;
  resource: LentResource;
  /** Headline unit. */
  has: number;
  wanted: number;
  missing: number;
  /** Why it wants that. */
  because: string;
  /** In the order tried. */
  measures: Measure[];
}

/** A growth that found no room, or not enough. */
export interface Short {
  proposal: Proposal;
  missing: number;
}

export interface Borrowed {
  loans: readonly Loan[];
  /** Of earlier loans and shrinks of this plan that have not arrived yet. */
  underWay: number;
  /** Why no more was borrowed; empty = nothing is missing any more. */
  why: string;
}

export function shortageOf(short: Short, borrowed: Borrowed, context: PlanContext, rooms: ReadonlyMap<string, HostRooms>): Shortage {
  const { subject, target, need } = short.proposal;
  const { vm, host, resource, amount } = subject;
  if (!isResource(resource)) throw new Error(`no host runs short of ${resource}: nothing is known of its sum`);
  const rest = short.missing - borrowed.underWay - borrowed.loans.reduce((sum, { askedAmount }) => sum + askedAmount, 0);
  const measures = [borrowing(borrowed, resource)];
  // Rounding, and changes that are not worth a write, leave a little open.
  const covered = rest <= 0.05 * short.missing;
  if (!covered) {
    measures.push(migration(short.proposal, context, rooms), throttling(short.proposal, context, rest));
    measures.push({
      kind: 'alert',
      done: true,
      words: `the administrator is told: ${amountWords(resource, rest)} are missing on ${host.id}`,
    });
  }
  const { missing } = short;
  return { vm: vm.id, vmName: vm.name, host: host.id, resource, has: amount, wanted: target, missing, because: need.because, measures };
}

function borrowing({ loans, underWay, why }: Borrowed, resource: LentResource): Measure {
  const parts = loans.map((loan) => `${amountWords(resource, loan.askedAmount)} from ${loan.lenderName}`);
  if (underWay > 0) parts.push(`${amountWords(resource, underWay)} are on their way already`);
  const done = parts.length > 0;
  return { kind: 'borrow', done, words: [...parts, ...(why === '' ? [] : [why])].join('; ') };
}

/** Where it would fit, and is proposed to go: there is no actuator that moves it. */
function migration({ subject }: Proposal, context: PlanContext, rooms: ReadonlyMap<string, HostRooms>): Measure {
  if (!whenShort(context.policy).migrate)
    return { kind: 'migrate', done: false, words: 'the policy does not ask for migrations (fleet.whenShort.migrate)' };
  const { vm } = subject;
  const memoryMiB = vm.bootMemoryMiB + overheadOf(vm.overheadMiB, vm.bootMemoryMiB);
  const cores = expectedCores(vm) ?? vm.vcpus;
  let best: { id: HostId; leftMiB: number } | null = null;
  for (const host of context.snapshot.hosts) {
    const room = rooms.get(host.id);
    if (host.id === vm.host || room === undefined || !host.connected || host.ageMs > context.policy.staleAfterMs || host.swapping) continue;
    if (room.memory.leftMiB < memoryMiB || room.cpu.leftCores < cores) continue;
    if (best === null || room.memory.leftMiB > best.leftMiB) best = { id: host.id, leftMiB: room.memory.leftMiB };
  }
  if (best === null) return { kind: 'migrate', done: false, words: 'no other host has room for it' };
  const words = `proposed: move it to ${best.id}, which has ${best.leftMiB.toFixed(0)} MiB left; Headroom does not move VMs by itself`;
  return { kind: 'migrate', done: true, words };
}

function throttling({ subject }: Proposal, { policy }: PlanContext, missing: number): Measure {
  if (!whenShort(policy).throttle)
    return { kind: 'throttle', done: false, words: 'the policy does not throttle (fleet.whenShort.throttle)' };
  return { kind: 'throttle', done: true, words: `it is held at what fits, ${amountWords(subject.resource, missing)} below what it wants` };
}
