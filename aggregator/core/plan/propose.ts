/**
 * One VM and resource: gates, need, direction, processors. Input: VM, resource, context; output: a proposal, or why not.
 * Looks at nothing but this VM, its host and the policy; what VMs have to share is allotted afterwards.
 */
import type { Resource } from '../../../shared/resources.ts';
import { amountOf, type Bounds, boundsOf, type CpuForm, restingCap, spreadOf } from './amounts.ts';
import { needOf } from './estimators.ts';
import { gate } from './gates.ts';
import type { VmSnapshot } from './plan.ts';
import { type Need, notDone, type Outcome, type PlanContext, type Proposal, type Subject } from './planning.ts';
import type { ResourcePolicy } from './policy.ts';
import { isRefusal, PROCESSORS } from './processors.ts';
import { RESOURCE_WORDS } from './words.ts';

/** Past the edge of the dead band, so that rounding does not bring it back in: MiB, and more than a cap's smallest step. */
const LOAN_PAST_DEAD_BAND = 0.02;

/** Null: the policy's mode is off, there is nothing to say. */
export function propose(vm: VmSnapshot, resource: Resource, context: PlanContext): Outcome | null {
  const looked = look(vm, resource, context);
  if (looked === null || 'kind' in looked) return looked;
  const { subject, need } = looked;
  return process({ ...firstProposal(subject, need), notes: contentionNotes(subject, context) }, context);
}

/** What it could give up for another, `amount` at most: whatever it is expected to want, but by every rule of a shrink. */
export function proposeLoan(vm: VmSnapshot, resource: Resource, amount: number, words: string, context: PlanContext): Outcome | null {
  const looked = look(vm, resource, context);
  if (looked === null || 'kind' in looked) return looked;
  const { subject, need } = looked;
  if (resource === 'cpu' && subject.form === 'weight') return null;
  // What lies within the dead band is not worth a change: then a little more is taken.
  const least = subject.amount * (1 - subject.policy.deadBandFraction) - LOAN_PAST_DEAD_BAND;
  const target = Math.max(subject.bounds.floor, Math.min(subject.amount - amount, least));
  // CPU it is short of itself goes to the more important all the same: it runs slower. Without memory it would not run.
  const growOnly = resource === 'cpu' && need.growOnly?.constraint === 'pressure' ? null : need.growOnly;
  const lending = { ...need, growOnly, holdBecause: words };
  return process({ subject, need: lending, direction: 'shrink', target, constraint: 'lent', notes: [] }, context);
}

/** What it needs, whatever follows from that; a refusal where nothing may be changed, null = the policy's mode is off. */
export function look(vm: VmSnapshot, resource: Resource, context: PlanContext): { subject: Subject; need: Need } | Outcome | null {
  const policy = context.policy.resolve(vm, resource);
  if (policy.mode === 'off') return null;
  const refusal = gate(vm, resource, policy, context);
  if (refusal !== null) return { kind: 'not-done', notDone: notDone(vm.id, resource, refusal) };
  const subject = subjectOf(vm, resource, policy, context);
  if (subject === null) {
    const reason = `no limit is set and the policy names no ceiling: there is nothing to share out of its ${RESOURCE_WORDS[resource]}`;
    return { kind: 'not-done', notDone: notDone(vm.id, resource, { constraint: 'ceiling', reason }) };
  }
  const need = needOf(subject, context);
  if (need === null) {
    const unknown = { constraint: 'unknown', reason: 'its demand is unknown and there is no forecast' } as const;
    return { kind: 'not-done', notDone: notDone(vm.id, resource, unknown) };
  }
  return { subject, need };
}

function subjectOf(vm: VmSnapshot, resource: Resource, policy: ResourcePolicy & { rule: string }, context: PlanContext): Subject | null {
  const bounds = boundsOf(resource, vm, policy);
  const current = vm.current[resource];
  const host = context.hosts.get(vm.host);
  if (bounds === null || current === undefined || host === undefined) return null;
  const form = cpuForm(policy, context.contended.has(vm.host));
  const spread = form === 'cap' ? spreadOf(vm) : 1;
  const capToLift = current.resource === 'cpu' && form === 'weight' && current.capCores !== restingCap(current, vm);
  return {
    vm,
    host,
    resource,
    policy,
    current,
    amount: amountOf(current, vm, form),
    bounds: spreadBounds(bounds, policy.floor ?? 0, spread),
    form,
    capToLift,
  };
}

/** What the policy grants at least is for the vCPUs that run; what every vCPU must have, each has by itself. */
function spreadBounds({ floor, ceiling }: Bounds, asked: number, spread: number): Bounds {
  return spread === 1 ? { floor, ceiling } : { floor: Math.min(ceiling, Math.max(floor, asked * spread)), ceiling };
}

function cpuForm(policy: ResourcePolicy, contended: boolean): CpuForm {
  if (policy.cpuEnforcement === 'weight') return 'weight';
  return policy.cpuEnforcement === 'cap-always' || contended ? 'cap' : 'weight';
}

/** Grow to what the lead needs; else shrink to what the longer horizon needs. */
function firstProposal(subject: Subject, need: Need): Proposal {
  const { constraint } = need;
  // A VM that starts with what it has is told so, and not that nothing is taken from it.
  const grows = need.lead > subject.amount || subject.capToLift || (need.constraint === 'startup' && need.lead === subject.amount);
  if (grows) {
    const target = subject.capToLift ? Math.max(need.lead, subject.amount) : need.lead;
    return { subject, need, direction: 'grow', target, constraint, notes: [] };
  }
  // What a later step needs beyond the present allocation is no reason to grow yet, and leaves nothing to take.
  const target = Math.min(subject.amount, Math.max(need.lead, need.hold ?? need.lead));
  return { subject, need, direction: 'shrink', target, constraint, notes: [] };
}

/** A cap that was not there before needs its own reason. */
function contentionNotes({ policy, form, current, host }: Subject, { contended }: PlanContext): string[] {
  const fresh = policy.cpuEnforcement === 'cap-when-contended' && form === 'cap' && current.resource === 'cpu' && current.capCores === null;
  return fresh ? [`capped because ${contended.get(host.id)}`] : [];
}

function process(first: Proposal, context: PlanContext): Outcome {
  let proposal = first;
  for (const processor of PROCESSORS) {
    const result = processor(proposal, context);
    if (isRefusal(result)) {
      const { vm, resource } = proposal.subject;
      return { kind: 'not-done', notDone: notDone(vm.id, resource, result) };
    }
    proposal = turned(result);
  }
  return { kind: 'proposal', proposal };
}

/** A floor may lie above what is allocated now: then the shrink has become a growth. */
function turned(proposal: Proposal): Proposal {
  const { direction, target, subject } = proposal;
  if (direction === 'shrink' && target > subject.amount) return { ...proposal, direction: 'grow' };
  if (direction === 'grow' && target < subject.amount && !subject.capToLift) return { ...proposal, direction: 'shrink' };
  return proposal;
}
