/**
 * What a host's VMs come to hold as a plan is carried out, reckoned apart from planner and lint. Input: snapshot, policy, plan,
 * an order of its steps (some may be lost or come twice); output: the most by which the host exceeds what it may hold, MiB.
 */
import type { FleetSnapshot, Plan } from '../../aggregator/core/plan/plan.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';

/** Physical truth, written apart from planner and lint: what every VM of a host holds, with what a reboot of K brings back. */
export function heldMiB(snapshot: FleetSnapshot, host: string, sizes: ReadonlyMap<string, number>, rebootTogether: number): number {
  let sum = 0;
  const reboots: number[] = [];
  for (const vm of snapshot.vms) {
    if (vm.host !== host || vm.state === 'stopped' || vm.state === 'error') continue;
    const size = sizes.get(vm.id)!;
    sum += size + (vm.overheadMiB ?? 48 + 0.02 * vm.bootMemoryMiB);
    reboots.push(Math.max(0, vm.bootMemoryMiB - size));
  }
  return (
    sum +
    reboots
      .sort((a, b) => b - a)
      .slice(0, rebootTogether)
      .reduce((total, each) => total + each, 0)
  );
}

/** What each VM holds before the plan, MiB. */
export function sizesBefore(snapshot: FleetSnapshot): Map<string, number> {
  return new Map(
    snapshot.vms.map((vm) => {
      const settings = [vm.current.memory, vm.pending.memory].map((setting) => (setting?.resource === 'memory' ? setting.memoryMiB : 0));
      const resident = vm.memory.rssMiB === null ? 0 : vm.memory.rssMiB - (vm.overheadMiB ?? 48 + 0.02 * vm.bootMemoryMiB);
      return [vm.id, Math.max(...settings, vm.memory.balloonMiB ?? 0, Math.min(vm.bootMemoryMiB, resident))];
    }),
  );
}

/** Carries out some of the steps in some order; shrinks may not happen at all. The guard uses all it may at the end. */
export function worstExcessMiB(snapshot: FleetSnapshot, policy: FleetPolicy, made: Plan, order: readonly number[], host: string): number {
  const sizes = sizesBefore(snapshot);
  const facts = snapshot.hosts.find((each) => each.id === host)!;
  const limit = Math.max(facts.memoryMiB - policy.reserve.memoryMiB, heldMiB(snapshot, host, sizes, policy.rebootTogether));
  const grant = made.grants.find((each) => each.host === host)?.reserveMiB ?? 0;
  let excess = Number.NEGATIVE_INFINITY;
  const grew = made.steps.some((step) => step.host === host && step.resource === 'memory' && step.direction === 'grow');
  for (const index of order) {
    const step = made.steps[index % Math.max(1, made.steps.length)];
    if (step?.to.resource === 'memory' && step.host === host) {
      if (step.direction === 'grow') sizes.set(step.vm, Math.max(sizes.get(step.vm)!, step.to.memoryMiB));
      else sizes.set(step.vm, step.to.memoryMiB);
    }
    // Room that only a reboot's share left free is not the guard's to take: it is armed with what the sums leave.
    const guard = grew || grant > 0 ? grant : 0;
    excess = Math.max(excess, heldMiB(snapshot, host, sizes, policy.rebootTogether) + guard - limit);
  }
  return excess;
}
