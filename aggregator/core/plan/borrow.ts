/**
 * Borrowing: who on the same host may give up something for a VM that finds no room. Lenders are less important by the
 * policy, least important first, and go down to what every shrink leaves them: floor, working set, what may not be lent out,
 * step limit. Input: who is short, and the plan as it stands; output: the lenders' steps, and loans. The borrower grows once
 * the room is seen to be free.
 */
import { sameSetting } from '../../../shared/resources.ts';
import { amountOf } from './amounts.ts';
import type { BlastRadius } from './blast-radius.ts';
import { cpuLoadOf } from './cpu-room.ts';
import { isResource, type LentResource, type Loan } from './loan.ts';
import { exposureOf } from './memory-room.ts';
import type { PlanStep, VmSnapshot } from './plan.ts';
import type { PlanContext, Proposal } from './planning.ts';
import { whenShort } from './policy-defaults.ts';
import { proposeLoan } from './propose.ts';
import type { Borrowed, Short } from './shortage.ts';
import { settingOf, stepOf } from './steps.ts';
import { amountWords, timeWords } from './words.ts';

/** Less than this share of what is missing is not worth disturbing another VM. */
const WORTH_SHARE_MIN = 0.05;

export interface Plans {
  steps: PlanStep[];
  loans: Loan[];
  blast: BlastRadius;
}

export function borrow(short: Short, plans: Plans, context: PlanContext): Borrowed {
  const { subject } = short.proposal;
  const { vm: borrower, resource } = subject;
  if (!isResource(resource)) return { loans: [], underWay: 0, why: '' };
  const underWay = comingFree(borrower, resource, plans, context);
  const terms = whenShort(context.policy);
  let missing = short.missing - underWay;
  if (missing <= WORTH_SHARE_MIN * short.missing) return { loans: [], underWay, why: '' };
  if (!terms.borrow) return { loans: [], underWay, why: 'the policy does not let VMs borrow (fleet.whenShort.borrow)' };
  const loans: Loan[] = [];
  for (const lender of lendersFor(short.proposal, plans, context)) {
    const untilMs = context.loans.lentBy(lender.id, resource)?.untilMs ?? context.snapshot.nowMs + terms.loanTermMs;
    const words = `${borrower.name} (priority ${subject.policy.priority}) goes before it and finds no room on ${borrower.host}; lent until ${timeWords(untilMs)}`;
    const proposal = lendable(lender, resource, missing, words, context);
    const amount = proposal === null ? 0 : freedBy(proposal);
    if (proposal === null || amount < WORTH_SHARE_MIN * short.missing) continue;
    const before = context.loans.lentBy(lender.id, resource);
    const id = before?.id ?? `${context.snapshot.nowMs}-${plans.loans.length + 1}`;
    const loan = loanOf(id, short.proposal, proposal, { amount, untilMs, nowMs: context.snapshot.nowMs, before });
    plans.steps.push({ ...stepOf(proposal, context), constraint: 'lent', loan: id });
    plans.blast.take(lender);
    plans.loans.push(loan);
    loans.push(loan);
    missing -= amount;
    if (missing <= WORTH_SHARE_MIN * short.missing) return { loans, underWay, why: '' };
  }
  const left = amountWords(resource, missing);
  return { loans, underWay, why: `nobody less important on ${borrower.host} can give ${loans.length > 0 ? `the other ${left}` : left}` };
}

/** Room that shrinks of this plan and young loans will bring: asking for it again would take it twice. */
function comingFree(borrower: VmSnapshot, resource: LentResource, { steps }: Plans, { loans, policy, snapshot }: PlanContext): number {
  const young = loans
    .borrowedBy(borrower.id, resource)
    .filter((loan) => loan.state === 'asked' || (loan.state === 'lent' && snapshot.nowMs - loan.askedAtMs < policy.leaseMs));
  let coming = young.reduce((sum, { askedAmount }) => sum + askedAmount, 0);
  for (const step of steps) {
    if (step.host === borrower.host && step.resource === resource && step.direction === 'shrink' && step.loan === undefined)
      coming += stepFrees(step);
  }
  return coming;
}

function stepFrees({ from, to }: PlanStep): number {
  if (from.resource === 'memory' && to.resource === 'memory') return from.memoryMiB - to.memoryMiB;
  return from.resource === 'cpu' && to.resource === 'cpu' && from.capCores !== null && to.capCores !== null
    ? from.capCores - to.capCores
    : 0;
}

/** Least important first; of equals the one with most. */
function lendersFor({ subject }: Proposal, { steps, blast }: Plans, { snapshot, policy, loans }: PlanContext): VmSnapshot[] {
  const { vm: borrower, resource } = subject;
  const own = subject.policy.priority;
  const stepped = new Set(steps.filter((step) => step.resource === resource).map((step) => step.vm));
  return snapshot.vms
    .filter((vm) => {
      if (vm.host !== borrower.host || vm.id === borrower.id || stepped.has(vm.id)) return false;
      const { mode, priority } = policy.resolve(vm, resource);
      const loan = loans.lentBy(vm.id, resource);
      // Who lends already may give more to the same VM, in steps.
      const free = loan === undefined || (loan.borrower === borrower.id && loan.state === 'lent');
      return mode === 'auto' && priority < own && free && blast.refusal(vm) === null;
    })
    .map((vm) => ({ vm, priority: policy.resolve(vm, resource).priority, holds: resource === 'memory' ? exposureOf(vm) : cpuLoadOf(vm) }))
    .sort((a, b) => a.priority - b.priority || b.holds - a.holds || (a.vm.id < b.vm.id ? -1 : 1))
    .map(({ vm }) => vm);
}

function lendable(lender: VmSnapshot, resource: LentResource, amount: number, words: string, context: PlanContext): Proposal | null {
  const outcome = proposeLoan(lender, resource, amount, words, context);
  if (outcome?.kind !== 'proposal') return null;
  const { proposal } = outcome;
  return proposal.direction === 'shrink' && !sameSetting(proposal.subject.current, settingOf(proposal)) ? proposal : null;
}

/** What the host's sums get back once the lender has shrunk. */
function freedBy(proposal: Proposal): number {
  const { vm, resource, form } = proposal.subject;
  const counted = resource === 'memory' ? exposureOf(vm) : cpuLoadOf(vm);
  return counted - amountOf(settingOf(proposal), vm, form);
}

interface Terms {
  amount: number;
  untilMs: number;
  nowMs: number;
  /** More of a loan that there is: its term stays. */
  before: Loan | undefined;
}

function loanOf(id: string, wants: Proposal, gives: Proposal, { amount, untilMs, nowMs, before }: Terms): Loan {
  const { subject: borrower } = wants;
  const { subject: lender } = gives;
  return {
    id,
    host: lender.host.id,
    resource: lender.resource as LentResource,
    lender: lender.vm.id,
    lenderName: lender.vm.name,
    borrower: borrower.vm.id,
    borrowerName: borrower.vm.name,
    amount: amount + (before?.amount ?? 0),
    lenderBefore: before?.lenderBefore ?? lender.amount,
    lenderAfter: amountOf(settingOf(gives), lender.vm, lender.form),
    openedAtMs: before?.openedAtMs ?? nowMs,
    askedAtMs: nowMs,
    askedAmount: amount,
    untilMs: before?.untilMs ?? untilMs,
    state: 'asked',
    because: wants.need.because,
  };
}
