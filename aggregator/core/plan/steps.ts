/** A proposal as a step to be carried out: what would be written, within which bounds, and why. Proposal in, step out. */
import { assert } from '../../../shared/assert.ts';
import { type Setting, sameSetting } from '../../../shared/resources.ts';
import { settingFor } from './amounts.ts';
import type { PlanStep } from './plan.ts';
import type { PlanContext, Proposal } from './planning.ts';
import { reasonFor } from './reasons.ts';

/** What a proposal would write. */
export function settingOf({ subject, need, target }: Proposal): Setting {
  const { current, vm, form, policy } = subject;
  return settingFor(target, current, vm, form, policy.cpuEnforcement !== 'cap-always', need.vcpus?.spread ?? 1);
}

export function stepOf(proposal: Proposal, { snapshot }: PlanContext): PlanStep {
  const { subject, need, direction, constraint, approvedBy } = proposal;
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
    // Somebody's leave is as good as the policy's: hosts carry out nothing else.
    mode: approvedBy === undefined ? policy.mode : 'auto',
    constraint,
    reason: `${approvedBy === undefined ? '' : `approved by ${approvedBy}: `}${reasonFor(proposal, to, snapshot.nowMs)}`,
    ...(need.byMs === null ? {} : { expectedByMs: need.byMs }),
    predictedDemand: need.demand,
    model: need.model,
    ...(approvedBy === undefined ? {} : { approvedBy }),
  };
}
