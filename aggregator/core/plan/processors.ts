/**
 * What may be made of a need: a chain of small processors between demand and a proposal, each one rule. Input: a proposal;
 * output: the proposal, changed or not, or the reason why nothing is done. None looks at other VMs; that is allot.ts.
 */
import { amountOf, guaranteedAmount, spreadOf } from './amounts.ts';
import { spokenDuration } from './durations.ts';
import { demandScale } from './estimators.ts';
import { incidentFreeze } from './incident-response.ts';
import type { PlanContext, Proposal, Refusal } from './planning.ts';
import { lentOut } from './repayment.ts';
import { settingOf } from './steps.ts';
import { amountWords, percentWords, timeWords } from './words.ts';

export type Processor = (proposal: Proposal, context: PlanContext) => Proposal | Refusal;

export function isRefusal(result: Proposal | Refusal): result is Refusal {
  return 'reason' in result;
}

/** Left above the working set at any shrink, as a share and at least so many MiB: a sample's growth and the kernel's watermarks. */
const WORKING_SET_MARGIN_FRACTION = 0.05;
const WORKING_SET_MARGIN_MIB_MIN = 24;
/** Hypervisor memory beside the guest's where it was not measured: buffers, device models, libraries. */
const OVERHEAD_SHARE_ASSUMED = 0.02;
const OVERHEAD_MIB_ASSUMED = 48;
/** Resident memory this far above the target means that the guest did not give back what it was asked for. */
const UNCONFIRMED_SHARE = 0.05;
const UNCONFIRMED_MIB_MIN = 64;
/** Growth below this share is not worth a write, unless the VM is short now. */
const GROWTH_SHARE_MIN = 0.02;

const limited = (proposal: Proposal, target: number, constraint: Proposal['constraint'], note: string): Proposal => ({
  ...proposal,
  target,
  constraint,
  notes: [...proposal.notes, note],
});

export function overheadOf(overheadMiB: number | null, bootMemoryMiB: number): number {
  return overheadMiB ?? OVERHEAD_MIB_ASSUMED + OVERHEAD_SHARE_ASSUMED * bootMemoryMiB;
}

/** Memory: never below working set and margin, nor the recent peak. Both unknown: nothing can be taken. */
export const memoryFloor: Processor = (proposal) => {
  const { subject, direction, target } = proposal;
  if (subject.resource !== 'memory') return proposal;
  const { workingSetMiB, workingSetPeakMiB } = subject.vm.memory;
  if (workingSetMiB === null || workingSetPeakMiB === null) {
    if (direction === 'grow') return proposal;
    return { constraint: 'unknown', reason: 'its working set is unknown to the host, so nothing is taken' };
  }
  const margin = Math.max(WORKING_SET_MARGIN_MIB_MIN, workingSetMiB * WORKING_SET_MARGIN_FRACTION);
  const floor = Math.min(subject.bounds.ceiling, Math.max(workingSetMiB + margin, workingSetPeakMiB));
  if (target >= floor) return proposal;
  const what =
    workingSetMiB + margin >= workingSetPeakMiB
      ? `its working set of ${workingSetMiB.toFixed(0)} MiB and ${margin.toFixed(0)} MiB of margin`
      : `its highest working set of ${workingSetPeakMiB.toFixed(0)} MiB in the last ${spokenDuration(subject.policy.workingSetWindowMs)}`;
  return limited(proposal, floor, 'working-set', `not below ${what}`);
};

/**
 * Rates: what it was seen to want in its newest step is not taken on a forecast's word that it is about to end. A job that
 * runs late today would be throttled at the minute in which it ended yesterday. What is lent to the more important goes by
 * the rules of loans.
 */
export const inUse: Processor = (proposal) => {
  const { subject, direction, target, constraint } = proposal;
  const { vm, resource, policy, amount } = subject;
  const { now } = vm.demand[resource];
  if (resource === 'memory' || direction === 'grow' || constraint === 'lent' || now === null) return proposal;
  const spread = resource === 'cpu' && subject.form === 'cap' ? spreadOf(vm) : 1;
  const kept = Math.min(amount, now * demandScale(resource) * (1 + policy.marginFraction) * spread);
  if (target >= kept) return proposal;
  return limited(proposal, kept, 'in-use', `not below the ${amountWords(resource, now)} that it wants now and the margin`);
};

export const bounds: Processor = (proposal) => {
  const { subject, target } = proposal;
  const { floor, ceiling } = subject.bounds;
  const words = (amount: number): string => amountWords(subject.resource, amount);
  if (target < floor) return limited(proposal, floor, 'floor', `not below the floor of ${words(floor)}`);
  if (target > ceiling) return limited(proposal, ceiling, 'ceiling', `not above the ceiling of ${words(ceiling)}`);
  return proposal;
};

/** What of the ceiling is not oversubscribed stays granted, wanted or not. */
export const guaranteed: Processor = (proposal) => {
  const { subject, target } = proposal;
  const { policy, bounds: limits, resource } = subject;
  const kept = Math.min(limits.ceiling, (1 - policy.oversubscribedFraction) * limits.ceiling);
  if (target >= kept) return proposal;
  const note = `not below ${amountWords(resource, kept)}: only ${percentWords(policy.oversubscribedFraction)} of it may be lent out`;
  return limited(proposal, kept, 'guaranteed', note);
};

const TAKES_ON_CLAIM: Refusal = { constraint: 'claimed', reason: 'only the guest itself says so; nothing is taken on its word' };

/** What only the guest says raises it to its guaranteed share and no further. */
export const claimed: Processor = (proposal) => {
  const { subject, target, direction } = proposal;
  if (subject.vm.demand[subject.resource].vouched) return proposal;
  if (direction === 'shrink') return TAKES_ON_CLAIM;
  const guaranteed = Math.max(guaranteedAmount(subject.bounds, subject.policy), subject.amount);
  if (target <= guaranteed) return proposal;
  return limited(
    proposal,
    guaranteed,
    'claimed',
    `only the guest says so: not above its guaranteed ${amountWords(subject.resource, guaranteed)}`,
  );
};

/** Where nothing may be taken: class, state, thin forecast, a host in need. */
export const growOnly: Processor = (proposal, { policy }) => {
  if (proposal.direction === 'grow') return proposal;
  const { subject, need } = proposal;
  const { vm, host } = subject;
  if (subject.policy.growOnly) return { constraint: 'mode', reason: `rule "${subject.policy.rule}" lets it only grow` };
  // A ceiling may have made a shrink of what was claimed as a growth.
  if (!vm.demand[subject.resource].vouched) return TAKES_ON_CLAIM;
  if (vm.labels.class === 'cluster') return { constraint: 'mode', reason: 'VMs of class "cluster" only grow' };
  if (vm.state !== 'ready') return { constraint: 'state', reason: `it is ${vm.state}: nothing is taken until it is ready` };
  if (need.growOnly !== null) return { ...need.growOnly, reason: `nothing is taken: ${need.growOnly.reason}` };
  if (vm.rollback[subject.resource]) return { constraint: 'rollback', reason: 'the last shrink did harm and is being taken back' };
  if (subject.resource !== 'memory') return proposal;
  if (host.availableMiB === null) return { constraint: 'unknown', reason: `the free memory of host ${host.id} is unknown` };
  if (host.swapping) return { constraint: 'host-pressure', reason: `host ${host.id} is swapping: guests there only grow` };
  if (host.availableMiB < policy.reserve.memoryMiB) {
    return {
      constraint: 'host-pressure',
      reason: `host ${host.id} has ${host.availableMiB.toFixed(0)} MiB left, less than its reserve of ${policy.reserve.memoryMiB} MiB: guests there only grow`,
    };
  }
  return proposal;
};

/** A shrink counts once the host sees it; until then the next one waits. */
export const unconfirmed: Processor = (proposal) => {
  const { subject, direction } = proposal;
  if (subject.resource !== 'memory' || direction === 'grow') return proposal;
  const { vm, amount } = subject;
  const { rssMiB } = vm.memory;
  if (rssMiB === null)
    return { constraint: 'unconfirmed', reason: 'its resident memory is unknown to the host, so no shrink could be confirmed' };
  const guest = rssMiB - overheadOf(vm.overheadMiB, vm.bootMemoryMiB);
  if (guest <= amount + Math.max(UNCONFIRMED_MIB_MIN, UNCONFIRMED_SHARE * amount)) return proposal;
  return {
    constraint: 'unconfirmed',
    reason: `the host still sees ${guest.toFixed(0)} MiB resident of the ${amount.toFixed(0)} MiB granted: the last shrink is not confirmed`,
  };
};

/** What was tried and not reached is not tried again at once; a VM that is short now is given what there is all the same. */
export const feasible: Processor = (proposal, { snapshot }) => {
  const { subject, direction, need } = proposal;
  const { vm, resource } = subject;
  const known = vm.infeasible?.[resource];
  if (known === undefined || known.untilMs <= snapshot.nowMs || known.direction !== direction || need.urgent) return proposal;
  // Compared as it would be written, which is rounded up.
  const written = amountOf(settingOf(proposal), vm, subject.form);
  if (direction === 'shrink' ? written > known.target : written < known.target) return proposal;
  const tried = `${amountWords(resource, known.target)} was tried and not reached (${known.reason})`;
  return { constraint: 'infeasible', reason: `${tried}: not tried again before ${timeWords(known.untilMs)}` };
};

/** After a change, a while of rest; after a harmful one, a longer one. */
export const cooldown: Processor = (proposal, { snapshot }) => {
  const { subject, direction, need } = proposal;
  const { vm, resource, policy } = subject;
  const coolUntilMs = vm.coolUntilMs[resource];
  if (direction === 'shrink' && coolUntilMs !== undefined && coolUntilMs > snapshot.nowMs) {
    return { constraint: 'cooldown', reason: `the last shrink did harm: no other before ${timeWords(coolUntilMs)}` };
  }
  const last = vm.lastChange[resource];
  if (last === undefined || (direction === 'grow' && need.urgent)) return proposal;
  const restMs = direction === 'grow' ? policy.cooldownGrowMs : policy.cooldownShrinkMs;
  if (snapshot.nowMs - last.atMs >= restMs) return proposal;
  return {
    constraint: 'cooldown',
    reason: `changed at ${timeWords(last.atMs)}; it may ${direction} again after ${spokenDuration(restMs)}`,
  };
};

export const stepLimit: Processor = (proposal) => {
  const { subject, direction, target, need } = proposal;
  const { amount, policy } = subject;
  if (direction === 'grow') {
    if (need.urgent || !Number.isFinite(amount)) return proposal;
    const most = amount * (1 + policy.stepLimitGrowFraction);
    return target <= most
      ? proposal
      : limited(proposal, most, 'step-limit', `at most ${percentWords(policy.stepLimitGrowFraction)} more in one step`);
  }
  // From "no limit" to the ceiling takes nothing the policy would grant.
  const from = Math.min(amount, subject.bounds.ceiling);
  const least = from * (1 - policy.stepLimitShrinkFraction);
  return target >= least
    ? proposal
    : limited(proposal, least, 'step-limit', `at most ${percentWords(policy.stepLimitShrinkFraction)} less in one step`);
};

/** Is what is left of the change worth a write? */
export const worthIt: Processor = (proposal) => {
  const { subject, direction, target, need } = proposal;
  const { amount, policy, resource } = subject;
  if (subject.capToLift) return proposal;
  const words = `${amountWords(resource, amount)} fit: ${need.because}`;
  if (direction === 'grow') {
    const least = amount * (1 + (need.urgent ? 0 : GROWTH_SHARE_MIN));
    return target > least ? proposal : { constraint: bindingOr(proposal, 'hysteresis'), reason: words + noteWords(proposal) };
  }
  if (target < amount * (1 - policy.deadBandFraction)) return proposal;
  return {
    constraint: bindingOr(proposal, 'hysteresis'),
    reason: `${words}; taking less than ${percentWords(policy.deadBandFraction)} is not worth a change${noteWords(proposal)}`,
  };
};

/** A bound that ate the whole change is the reason, not the dead band. */
function bindingOr(proposal: Proposal, otherwise: Refusal['constraint']): Refusal['constraint'] {
  return proposal.notes.length > 0 ? proposal.constraint : otherwise;
}

function noteWords({ notes }: Proposal): string {
  return notes.length > 0 ? `; ${notes.join(', ')}` : '';
}

/** In order: what is right, then what is allowed, then how fast. */
export const PROCESSORS: readonly Processor[] = [
  memoryFloor,
  inUse,
  guaranteed,
  claimed,
  bounds,
  lentOut,
  growOnly,
  incidentFreeze,
  unconfirmed,
  cooldown,
  stepLimit,
  feasible,
  worthIt,
];
