/**
 * Maintenance: from one date to another, in a time zone, the VMs it means are left as they are. Policy, VM and moment in, the
 * suspension in force out. (Freeze windows come again each week and mean the whole fleet.)
 */
import type { FleetPolicy } from './policy.ts';
import type { MatchedVm } from './policy-match.ts';

export type Suspension = NonNullable<FleetPolicy['suspensions']>[number];

export function suspensionOf(vm: MatchedVm, { suspensions }: FleetPolicy, nowMs: number): Suspension | null {
  return suspensions?.find(({ fromMs, toMs, matches }) => nowMs >= fromMs && nowMs < toMs && matches(vm)) ?? null;
}
