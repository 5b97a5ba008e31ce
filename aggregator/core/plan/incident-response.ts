/**
 * What the planner makes of an incident that goes on: nothing is taken from the VM, and where policy says so the resource under
 * pressure gets a share of its ceiling at once. Only incidents that the host itself sees count: a tenant's word neither holds on
 * to resources nor gets any. Input: needs and proposals; output: the same, changed or refused.
 */

import { type AnomalyPolicies, anomalyPolicyOf, type ResolvedAnomaly } from './anomaly-policy.ts';
import type { Estimator } from './estimators.ts';
import type { VmIncident, VmSnapshot } from './plan.ts';
import type { Processor } from './processors.ts';
import { amountWords, timeWords } from './words.ts';

function vouchedIncident(vm: VmSnapshot, policy: AnomalyPolicies): { incident: VmIncident; asked: ResolvedAnomaly } | null {
  const { incident } = vm;
  return incident?.vouched ? { incident, asked: anomalyPolicyOf(policy, vm) } : null;
}

export const incidentFreeze: Processor = (proposal, { policy }) => {
  if (proposal.direction === 'grow') return proposal;
  const found = vouchedIncident(proposal.subject.vm, policy);
  if (found === null || !found.asked.freezeShrinking) return proposal;
  const { kind, sinceMs } = found.incident;
  return { constraint: 'anomaly', reason: `nothing is taken while something is wrong with it (${kind} since ${timeWords(sinceMs)})` };
};

export function withSharpGrowth(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    const { vm, resource, bounds } = subject;
    const found = vouchedIncident(vm, context.policy);
    if (need === null || found === null || found.incident.resource !== resource) return need;
    const { incident, asked } = found;
    const wanted = asked.growToFraction * bounds.ceiling;
    if (!(wanted > Math.max(need.lead, subject.amount)) || !Number.isFinite(wanted)) return need;
    const because = `${incident.kind} presses on it since ${timeWords(incident.sinceMs)}, and rule "${asked.rule}" then gives it ${amountWords(resource, wanted)}`;
    return { ...need, lead: wanted, because, urgent: true, constraint: 'anomaly' };
  };
}
