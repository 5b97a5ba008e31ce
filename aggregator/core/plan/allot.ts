/**
 * What VMs share, shared out: proposals in order of urgency and priority against blast radius and room. Input: proposals;
 * output: steps, and what was not done. The order is the same for the same snapshot, policy and seed.
 */
import { assert } from '../../../shared/assert.ts';
import type { Prng } from '../../../shared/prng.ts';
import { sameSetting } from '../../../shared/resources.ts';
import { amountOf } from './amounts.ts';
import { approvedPart } from './approval.ts';
import { BlastRadius } from './blast-radius.ts';
import { borrow, type Plans } from './borrow.ts';
import { isCanary, trialEndsMs } from './canaries.ts';
import type { CpuRoom } from './cpu-room.ts';
import { freezeAt } from './freeze.ts';
import type { Loan } from './loan.ts';
import type { MemoryRoom } from './memory-room.ts';
import type { NotDone, PlanStep } from './plan.ts';
import { notDone, type PlanContext, type Proposal, type Refusal } from './planning.ts';
import { reasonFor } from './reasons.ts';
import { type Short, type Shortage, shortageOf } from './shortage.ts';
import { settingOf, stepOf } from './steps.ts';
import { throttle } from './throttle.ts';
import { amountWords, timeWords } from './words.ts';

export interface HostRooms {
  memory: MemoryRoom;
  cpu: CpuRoom;
}

export interface Allotment {
  steps: PlanStep[];
  notDone: NotDone[];
  rooms: Map<string, HostRooms>;
  /** VMs changed so far. */
  blast: BlastRadius;
  /** Opened for those that found no room. */
  loans: Loan[];
  shortages: Shortage[];
}

/** Growth that room cut to less than this share of what was wanted is not worth a write. */
const ROOM_SHARE_MIN = 0.05;

export function allot(proposals: readonly Proposal[], rooms: Map<string, HostRooms>, context: PlanContext, prng: Prng): Allotment {
  const { snapshot, policy } = context;
  const blast = new BlastRadius(snapshot, policy.blastRadius);
  const freeze = freezeAt(snapshot.nowMs, policy.freezeWindows);
  const allotment: Allotment = { steps: [], notDone: [], rooms, blast, loans: [], shortages: [] };
  const short: Short[] = [];
  for (const wanted of ordered(throttle(proposals, rooms, context), context, prng)) {
    const { vm, resource } = wanted.subject;
    const proposal = (wanted.subject.policy.mode === 'recommend' ? approvedPart(wanted, snapshot) : null) ?? wanted;
    const wouldBe = settingOf(proposal);
    const refuse = (refusal: Refusal): void => {
      allotment.notDone.push(notDone(vm.id, resource, refusal, wouldBe));
    };
    const shared = sharedRefusal(proposal, context, freeze);
    if (shared !== null) {
      refuse(shared);
      continue;
    }
    const full = blast.refusal(vm);
    if (full !== null) {
      refuse({ constraint: 'blast-radius', reason: `${full}: ${reasonFor(proposal, wouldBe, snapshot.nowMs)}` });
      continue;
    }
    const { fitted, missing } = fit(proposal, rooms);
    if (missing > 0) short.push({ proposal, missing });
    if ('reason' in fitted) {
      refuse(fitted);
      continue;
    }
    if (sameSetting(proposal.subject.current, settingOf(fitted))) {
      // Finer than hypervisors can express.
      allotment.notDone.push(
        notDone(vm.id, resource, { constraint: 'hysteresis', reason: `what is in force fits: ${proposal.need.because}` }),
      );
      continue;
    }
    blast.take(vm);
    allotment.steps.push(stepOf(fitted, context));
  }
  if (freeze === null) relieve(short, { steps: allotment.steps, loans: allotment.loans, blast }, allotment, context);
  // Shrinks first: what they free is there for the plan after this one.
  allotment.steps.sort((a, b) => (a.direction === b.direction ? 0 : a.direction === 'shrink' ? -1 : 1));
  return allotment;
}

/** In the order of those who lack room: the most urgent and important borrow first. */
function relieve(short: readonly Short[], plans: Plans, allotment: Allotment, context: PlanContext): void {
  for (const each of short) {
    const borrowed = borrow(each, plans, context);
    allotment.shortages.push(shortageOf(each, borrowed, context, allotment.rooms));
  }
}

/** Reasons that hold a proposal back whatever room there is. */
function sharedRefusal(proposal: Proposal, context: PlanContext, freeze: { reason: string; timeZone: string } | null): Refusal | null {
  const { subject } = proposal;
  const why = (): string => reasonFor(proposal, settingOf(proposal), context.snapshot.nowMs);
  if (freeze !== null) return { constraint: 'freeze-window', reason: `frozen (${freeze.reason}): ${why()}` };
  const canary = context.canaryCooling.get(subject.resource);
  const goesFirst = isCanary(subject.vm.id, subject.policy, context.policy);
  const trialMs = trialEndsMs(context.policy, context.snapshot.nowMs);
  if (proposal.direction === 'shrink' && trialMs !== null && !goesFirst) {
    const trial = `policy ${context.policy.version} is tried with the canaries until ${timeWords(trialMs)}`;
    return { constraint: 'canary', reason: `${trial}: ${why()}` };
  }
  if (proposal.direction === 'shrink' && canary !== undefined && !goesFirst) {
    return { constraint: 'canary', reason: `the canary ${canary} was harmed by a shrink and cools down: ${why()}` };
  }
  if (subject.policy.mode === 'recommend' && proposal.approvedBy === undefined)
    return { constraint: 'mode', reason: `recommended only: ${why()}` };
  return null;
}

/** Urgent growth, then what is paid back (oldest loans first), then growth, then shrinks; canaries first, then priority (the unimportant shrink first), then the widest gap. */
function ordered(proposals: readonly Proposal[], { policy, loans }: PlanContext, prng: Prng): Proposal[] {
  const ranked = proposals.map((proposal) => {
    const { subject, direction, need, target } = proposal;
    const grows = direction === 'grow';
    return {
      proposal,
      group: grows ? (need.urgent ? 0 : need.constraint === 'repayment' ? 1 : 2) : 3,
      loanAtMs: loans.lentBy(subject.vm.id, subject.resource)?.openedAtMs ?? 0,
      canary: isCanary(subject.vm.id, subject.policy, policy) ? 0 : 1,
      priority: grows ? -subject.policy.priority : subject.policy.priority,
      gap: -Math.abs(target / Math.max(subject.amount, 1e-9) - 1),
      // Equals take turns: a draw of each VM's own, so that the last by name are not always the last served.
      draw: prng.stream(subject.vm.id).next(),
    };
  });
  ranked.sort(
    (a, b) =>
      a.group - b.group ||
      (a.group === 1 ? a.loanAtMs - b.loanAtMs : 0) ||
      a.canary - b.canary ||
      a.priority - b.priority ||
      order(a.gap, b.gap) ||
      a.draw - b.draw ||
      (a.proposal.subject.vm.id < b.proposal.subject.vm.id ? -1 : 1),
  );
  return ranked.map(({ proposal }) => proposal);
}

/** Gaps may be infinite (from no limit), and infinity minus infinity is no order. */
function order(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** What of a proposal its host has room for, and what is missing of it. */
function fit(proposal: Proposal, rooms: Map<string, HostRooms>): { fitted: Proposal | Refusal; missing: number } {
  const { subject, direction, target } = proposal;
  const whole = { fitted: proposal, missing: 0 };
  if (direction === 'shrink') return whole;
  const room = rooms.get(subject.vm.host);
  assert(room !== undefined, `no room was reckoned for host ${subject.vm.host}`);
  const counted = subject.resource === 'memory' ? room.memory : subject.resource === 'cpu' && subject.form === 'cap' ? room.cpu : null;
  if (counted === null) return whole;
  // Room is counted in what will be written, which is rounded up.
  const wanted = amountOf(settingOf(proposal), subject.vm, subject.form);
  const limit = counted.growthLimit(subject.vm.id, wanted);
  if (limit >= wanted - 1e-9) {
    counted.grow(subject.vm.id, wanted);
    return whole;
  }
  const left = roundedDown(subject.resource, limit);
  const words = `host ${subject.vm.host} has room for ${amountWords(subject.resource, Math.max(0, left - subject.amount))} more`;
  const missing = Math.min(wanted - subject.amount, wanted - left);
  if (left - subject.amount < ROOM_SHARE_MIN * (target - subject.amount)) {
    const reason = `${words}, ${amountWords(subject.resource, target - subject.amount)} are wanted: ${proposal.need.because}`;
    return { fitted: { constraint: 'capacity', reason }, missing };
  }
  counted.grow(subject.vm.id, left);
  return { fitted: { ...proposal, target: left, constraint: 'capacity', notes: [...proposal.notes, words] }, missing };
}

function roundedDown(resource: string, amount: number): number {
  return resource === 'memory' ? Math.floor(amount) : Math.floor(amount * 100 + 1e-6) / 100;
}
