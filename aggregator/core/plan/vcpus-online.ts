/**
 * How many vCPUs a VM needs online, and what that makes of its cap: one more consideration around its need. Input: subject and
 * need; output: the same need, with the number and a cap that suits it. VMs whose number is not to be changed pass untouched.
 */
import { CPU_SHARE_PER_VCPU_MIN } from './amounts.ts';
import { type CpuProblem, solveCpu } from './cpu-solve.ts';
import type { Estimator } from './estimators.ts';
import { valueAtLevel } from './forecast-level.ts';
import type { VcpusOnline, VmSnapshot } from './plan.ts';
import type { Need, PlanContext, Subject } from './planning.ts';
import type { ResourcePolicy } from './policy.ts';

/**
 * Taking vCPUs offline stops a whole guest for a moment: after any change of their number so many of CPU's own rests pass
 * before the next are taken, two hours by default.
 */
export const VCPU_RESTS = 12;

export function withVcpusOnline(inner: Estimator): Estimator {
  return (subject, context) => {
    const need = inner(subject, context);
    const { vm, resource, form } = subject;
    if (need === null || resource !== 'cpu' || vm.vcpusOnline === undefined) return need;
    const { capCores, vcpus } = solveCpu(problemOf(subject, need, context));
    const spread = capCores === null || need.lead <= 0 ? 1 : Math.max(1, capCores / need.lead);
    const vcpusToBe = { online: vcpus, spread };
    if (form !== 'cap' || spread === 1) return { ...need, vcpus: vcpusToBe };
    const runs = Math.min(vm.vcpusOnline.online, vcpus);
    const because = `${need.because}, on ${runs} of its ${vm.vcpus} vCPUs`;
    return { ...need, lead: need.lead * spread, hold: need.hold === null ? null : need.hold * spread, because, vcpus: vcpusToBe };
  };
}

/** Held against another cap than the one in force: what a plan is about to write. */
export function problemOf(subject: Subject, need: Pick<Need, 'lead' | 'growOnly'>, context: PlanContext): CpuProblem {
  const { vm, policy, bounds, current, form } = subject;
  const { online } = vm.vcpusOnline!;
  return {
    vcpus: vm.vcpus,
    online,
    cores: need.lead,
    sustainedCores: highestExpected(vm, policy) * (1 + policy.marginFraction),
    floorCores: Math.max(
      ...[policy.floor ?? 0, CPU_SHARE_PER_VCPU_MIN * vm.vcpus, (1 - policy.oversubscribedFraction) * bounds.ceiling],
      leastOnline(vm.vcpusOnline!),
    ),
    ceilingCores: bounds.ceiling,
    capCores: current.resource === 'cpu' ? current.capCores : null,
    caps: form === 'cap',
    roomCores: context.spreadRoom.get(vm.host) ?? 0,
    mayTake: need.growOnly === null && mayTake(subject, context),
  };
}

/** What was taken with harm comes back; a number that was not reached is not tried, nor a lower one. */
function leastOnline({ online, rollback, infeasible }: VcpusOnline): number {
  const unreached = infeasible === undefined ? 0 : Math.min(online, infeasible.target + 1);
  return Math.max(rollback?.to ?? 0, unreached);
}

/** As far as the forecast reaches: what comes back in hours is no reason to be taken now. */
function highestExpected({ demand: { cpu } }: VmSnapshot, { violationBudget }: ResourcePolicy): number {
  const { forecast } = cpu;
  const values = forecast === null ? [] : forecast.horizons.map((_, i) => valueAtLevel(forecast, i, 1 - violationBudget));
  return Math.max(0, cpu.now ?? 0, ...values);
}

function mayTake({ vm, policy }: Subject, { snapshot }: PlanContext): boolean {
  const { cpu } = vm.demand;
  if (vm.state !== 'ready' || policy.growOnly || vm.labels.class === 'cluster') return false;
  if (!cpu.vouched || cpu.suppressed || cpu.now === null || cpu.forecast === null || vm.rollback.cpu !== undefined) return false;
  if ((vm.coolUntilMs.cpu ?? 0) > snapshot.nowMs || vm.incident !== undefined) return false;
  if ((vm.vcpusOnline!.coolUntilMs ?? 0) > snapshot.nowMs || vm.vcpusOnline!.rollback !== undefined) return false;
  return snapshot.nowMs - vm.vcpusOnline!.sinceMs >= VCPU_RESTS * policy.cooldownShrinkMs;
}
