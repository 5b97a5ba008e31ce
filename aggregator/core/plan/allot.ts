/**
 * What VMs share, shared out: proposals in order of urgency and priority against blast radius and room. Input: proposals;
 * output: steps, and what was not done. The order is the same for the same snapshot, policy and seed.
 */
import { assert } from '../../../shared/assert.ts';
import type { Prng } from '../../../shared/prng.ts';
import { type Setting, sameSetting } from '../../../shared/resources.ts';
import { amountOf, settingFor } from './amounts.ts';
import { BlastRadius } from './blast-radius.ts';
import { isCanary, trialEndsMs } from './canaries.ts';
import type { CpuRoom } from './cpu-room.ts';
import { freezeAt } from './freeze.ts';
import type { MemoryRoom } from './memory-room.ts';
import type { NotDone, PlanStep } from './plan.ts';
import { notDone, type PlanContext, type Proposal, type Refusal } from './planning.ts';
import type { FleetPolicy } from './policy.ts';
import { reasonFor } from './reasons.ts';
import { amountWords, timeWords } from './words.ts';

export interface HostRooms {
  memory: MemoryRoom;
  cpu: CpuRoom;
}

export interface Allotment {
  steps: PlanStep[];
  notDone: NotDone[];
  rooms: Map<string, HostRooms>;
  vmsChanged: number;
}

/** Growth that room cut to less than this share of what was wanted is not worth a write. */
const ROOM_SHARE_MIN = 0.05;

export function allot(proposals: readonly Proposal[], rooms: Map<string, HostRooms>, context: PlanContext, prng: Prng): Allotment {
  const { snapshot, policy } = context;
  const blast = new BlastRadius(snapshot, policy.blastRadius);
  const freeze = freezeAt(snapshot.nowMs, policy.freezeWindows);
  const allotment: Allotment = { steps: [], notDone: [], rooms, vmsChanged: 0 };
  for (const proposal of ordered(proposals, policy, prng)) {
    const { vm, resource } = proposal.subject;
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
    const fitted = fit(proposal, rooms);
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
  allotment.vmsChanged = blast.vms;
  // Shrinks first: what they free is there for the plan after this one.
  allotment.steps.sort((a, b) => (a.direction === b.direction ? 0 : a.direction === 'shrink' ? -1 : 1));
  return allotment;
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
  if (subject.policy.mode === 'recommend') return { constraint: 'mode', reason: `recommended only: ${why()}` };
  return null;
}

/** Urgent growth, then growth, then shrinks; canaries first, then priority (the unimportant shrink first), then the widest gap. */
function ordered(proposals: readonly Proposal[], policy: FleetPolicy, prng: Prng): Proposal[] {
  const ranked = proposals.map((proposal) => {
    const { subject, direction, need, target } = proposal;
    const grows = direction === 'grow';
    return {
      proposal,
      group: grows ? (need.urgent ? 0 : 1) : 2,
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

function fit(proposal: Proposal, rooms: Map<string, HostRooms>): Proposal | Refusal {
  const { subject, direction, target } = proposal;
  if (direction === 'shrink') return proposal;
  const room = rooms.get(subject.vm.host);
  assert(room !== undefined, `no room was reckoned for host ${subject.vm.host}`);
  const counted = subject.resource === 'memory' ? room.memory : subject.resource === 'cpu' && subject.form === 'cap' ? room.cpu : null;
  if (counted === null) return proposal;
  // Room is counted in what will be written, which is rounded up.
  const wanted = amountOf(settingOf(proposal), subject.vm, subject.form);
  const limit = counted.growthLimit(subject.vm.id, wanted);
  if (limit >= wanted - 1e-9) {
    counted.grow(subject.vm.id, wanted);
    return proposal;
  }
  const left = roundedDown(subject.resource, limit);
  const words = `host ${subject.vm.host} has room for ${amountWords(subject.resource, Math.max(0, left - subject.amount))} more`;
  if (left - subject.amount < ROOM_SHARE_MIN * (target - subject.amount)) {
    return {
      constraint: 'capacity',
      reason: `${words}, ${amountWords(subject.resource, target - subject.amount)} are wanted: ${proposal.need.because}`,
    };
  }
  counted.grow(subject.vm.id, left);
  return { ...proposal, target: left, constraint: 'capacity', notes: [...proposal.notes, words] };
}

function roundedDown(resource: string, amount: number): number {
  return resource === 'memory' ? Math.floor(amount) : Math.floor(amount * 100 + 1e-6) / 100;
}

function settingOf({ subject, target }: Proposal): Setting {
  const { current, vm, form, policy } = subject;
  return settingFor(target, current, vm, form, policy.cpuEnforcement !== 'cap-always');
}

function stepOf(proposal: Proposal, { snapshot }: PlanContext): PlanStep {
  const { subject, need, direction, constraint } = proposal;
  const { vm, resource, policy, current, bounds } = subject;
  const to = settingOf(proposal);
  assert(!sameSetting(current, to), `a step for ${vm.name} that changes nothing: ${JSON.stringify(to)}`);
  // A weight leaves the cap at its baseline: that is what the agent's guard compares with the bounds.
  const ceiling = resource === 'cpu' && subject.form === 'weight' ? Math.max(bounds.ceiling, vm.vcpus) : bounds.ceiling;
  return {
    vm: vm.id,
    vmName: vm.name,
    host: vm.host,
    resource,
    direction,
    from: current,
    to,
    floor: bounds.floor,
    ceiling,
    mode: policy.mode,
    constraint,
    reason: reasonFor(proposal, to, snapshot.nowMs),
    ...(need.byMs === null ? {} : { expectedByMs: need.byMs }),
    predictedDemand: need.demand,
    model: need.model,
  };
}
