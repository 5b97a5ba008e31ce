/**
 * One aggregator's part of the budgets that a policy sets for the whole fleet, so that the parts together never exceed them.
 * Input: the policy, how many aggregators there are; output: the policy with its share. Pure.
 */
import type { FleetPolicy } from '../plan/policy.ts';

export function budgetShare(policy: FleetPolicy, members: number): FleetPolicy {
  if (members <= 1) return policy;
  const { blastRadius } = policy;
  const part = (vms: number): number => Math.floor(vms / members);
  return {
    ...policy,
    blastRadius: { ...blastRadius, vmsPerPlan: part(blastRadius.vmsPerPlan), vmsPerWindow: part(blastRadius.vmsPerWindow) },
  };
}
