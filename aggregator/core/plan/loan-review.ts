/**
 * How loans stand: which are due, paid back, or off. Input: open loans and the fleet as it is; output: those whose state
 * changes, with the reason. Pure.
 */
import type { VmId } from '../../../shared/ids.ts';
import { CpuRoom } from './cpu-room.ts';
import { isOpen, type Loan } from './loan.ts';
import { MemoryRoom } from './memory-room.ts';
import { type FleetSnapshot, type HostSnapshot, headline, type VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';
import { amountWords, timeWords } from './words.ts';

/** A lender counts as paid back within this share of what it had: settings are rounded. */
const PAID_SHARE = 0.99;
/** What a lender has beyond what it was left with, as a share, before somebody else must have given it. */
const TAKEN_SHARE = 1.03;

export function reviewLoans(loans: readonly Loan[], snapshot: FleetSnapshot, policy: FleetPolicy): Loan[] {
  const open = loans.filter(isOpen);
  if (open.length === 0) return [];
  const vms = new Map(snapshot.vms.map((vm) => [vm.id, vm]));
  return open.flatMap((loan) => {
    const change = judged(loan, vms, snapshot, policy);
    return change === null ? [] : [{ ...loan, ...change }];
  });
}

function judged(loan: Loan, vms: ReadonlyMap<VmId, VmSnapshot>, snapshot: FleetSnapshot, policy: FleetPolicy): Partial<Loan> | null {
  const lender = vms.get(loan.lender);
  const borrower = vms.get(loan.borrower);
  const off = (because: string) => ({ state: 'void', because }) as const;
  if (!runsOn(lender, loan)) return off(`${loan.lenderName} no longer runs on ${loan.host}`);
  const has = amountNow(lender, loan);
  if (has === null) return null;
  if (loan.state === 'asked') {
    return snapshot.nowMs - loan.askedAtMs > 2 * policy.leaseMs ? notGiven(loan, 'no answer came') : null;
  }
  if (has >= PAID_SHARE * loan.lenderBefore)
    return { state: 'repaid', because: `${loan.lenderName} has ${amountWords(loan.resource, has)} again` };
  if (loan.state === 'due') return null;
  const because = dueBecause(loan, lender, borrower, has, snapshot, policy);
  return because === null ? null : { state: 'due', because };
}

/** What was asked for last did not come: the loan is what it was before, or nothing. */
export function notGiven({ amount, askedAmount, lenderAfter, lenderName, because }: Loan, why: string): Partial<Loan> {
  const left = amount - askedAmount;
  if (left <= 1e-6) return { state: 'void', because: `${lenderName} could not give it: ${why}` };
  return { state: 'lent', amount: left, lenderAfter: lenderAfter + askedAmount, askedAmount: 0, because };
}

function dueBecause(
  loan: Loan,
  lender: VmSnapshot,
  borrower: VmSnapshot | undefined,
  has: number,
  snapshot: FleetSnapshot,
  policy: FleetPolicy,
): string | null {
  const { nowMs } = snapshot;
  if (nowMs >= loan.untilMs) return `its term ended at ${timeWords(loan.untilMs)}`;
  if (!runsOn(borrower, loan)) return `${loan.borrowerName} no longer runs on ${loan.host}`;
  if (loan.resource === 'memory' && (lender.memory.pressure || lender.rollback.memory))
    return `${loan.lenderName} is short of memory itself`;
  if (has > TAKEN_SHARE * loan.lenderAfter) return `${loan.lenderName} was given more meanwhile`;
  // A borrower has so long to take what was freed for it; room that is there after that is nobody's need.
  if (nowMs - loan.askedAtMs <= policy.leaseMs) return null;
  return hasRoom(loan, snapshot, policy) ? `host ${loan.host} has room for both again` : null;
}

function runsOn(vm: VmSnapshot | undefined, loan: Loan): vm is VmSnapshot {
  return vm !== undefined && vm.host === loan.host && vm.state !== 'stopped' && vm.state !== 'error';
}

function amountNow(vm: VmSnapshot, { resource }: Loan): number | null {
  const setting = vm.current[resource];
  return setting === undefined ? null : Math.min(headline(setting, vm.vcpus), resource === 'cpu' ? vm.vcpus : Number.POSITIVE_INFINITY);
}

/** What the fast guard may still hand out shrinks with what is granted: it is no reason to keep a loan. */
export function withoutGuard(host: HostSnapshot): HostSnapshot {
  return { ...host, guardReserve: { cores: 0, memoryMiB: 0 } };
}

function hasRoom({ host: id, lender, lenderBefore, resource }: Loan, { hosts, vms }: FleetSnapshot, policy: FleetPolicy): boolean {
  const host = hosts.find((each) => each.id === id);
  if (host === undefined || !host.connected) return false;
  const here = vms.filter((vm) => vm.host === id);
  const free = withoutGuard(host);
  const room = resource === 'memory' ? new MemoryRoom(free, here, policy) : new CpuRoom(free, here, policy);
  return room.growthLimit(lender, lenderBefore) >= lenderBefore - 1e-6;
}
