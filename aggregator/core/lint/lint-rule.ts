/** The words of the lint: what a rule looks at and what it answers. */
import type { Resource, Setting, SettingOf } from '../../../shared/resources.ts';
import type { FleetSnapshot, HostSnapshot, Plan, PlanStep, VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy, ResourcePolicy } from '../plan/policy.ts';

export interface LintContext {
  plan: Plan;
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  vms: ReadonlyMap<string, VmSnapshot>;
  hosts: ReadonlyMap<string, HostSnapshot>;
}

/** One step with all it speaks of, already found to exist. */
export interface LintedStep {
  step: PlanStep;
  vm: VmSnapshot;
  host: HostSnapshot;
  policy: ResourcePolicy;
}

/** A rule on one step: null = nothing found, else what is wrong, in words. */
export type StepRule = (linted: LintedStep, context: LintContext) => string | null;

/** A rule on the plan as a whole: findings on the steps that break it, or on the plan (null). */
export type PlanRule = (
  steps: readonly (LintedStep & { index: number })[],
  context: LintContext,
) => { step: number | null; message: string }[];

export function settingOf<R extends Resource>(setting: Setting | undefined, resource: R): SettingOf<R> | null {
  return setting?.resource === resource ? (setting as SettingOf<R>) : null;
}

/** Does this change take anything away: less memory, a lower weight, a tighter limit? */
export function takes(from: Setting, to: Setting): boolean {
  return compare(from, to).some((difference) => difference < 0);
}

export function gives(from: Setting, to: Setting): boolean {
  return compare(from, to).some((difference) => difference > 0);
}

const limit = (value: number | null): number => value ?? Number.POSITIVE_INFINITY;
const difference = (from: number, to: number): number => (from === to ? 0 : to - from);

function compare(from: Setting, to: Setting): number[] {
  if (from.resource === 'memory' && to.resource === 'memory') return [difference(from.memoryMiB, to.memoryMiB)];
  if (from.resource === 'cpu' && to.resource === 'cpu') {
    // The weight ranks neighbours while they compete; what a VM may use at most is the cap, and only where the cap stays is
    // the weight what is given or taken.
    const cap = difference(limit(from.capCores), limit(to.capCores));
    return cap === 0 ? [difference(from.weight, to.weight)] : [cap];
  }
  if (from.resource === 'network' && to.resource === 'network') {
    return [
      difference(limit(from.inboundBytesPerSecond), limit(to.inboundBytesPerSecond)),
      difference(limit(from.outboundBytesPerSecond), limit(to.outboundBytesPerSecond)),
    ];
  }
  if (from.resource === 'disk' && to.resource === 'disk') {
    return [difference(limit(from.bytesPerSecond), limit(to.bytesPerSecond)), difference(limit(from.iops), limit(to.iops))];
  }
  return [Number.NaN];
}

/** Does this step let go of a cap: back to the baseline's, or to none? That is an undoing, not a gift. */
export function releasesCap({ from, to }: PlanStep, vm: VmSnapshot): boolean {
  if (from.resource !== 'cpu' || to.resource !== 'cpu' || from.capCores === null) return false;
  const baseline = settingOf(vm.baseline.cpu, 'cpu')?.capCores ?? null;
  return to.capCores === null || (baseline !== null && to.capCores === baseline && to.capCores > from.capCores);
}
