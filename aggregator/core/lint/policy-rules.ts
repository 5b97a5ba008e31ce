/** Rules on what an administrator asked beside values and pace: maintenance, trials of a new policy, what may not be lent out. */
import { createHash } from 'node:crypto';
import { type StepRule, takes } from './lint-rule.ts';

/** Settings are rounded up, so a value may only lie above what is meant; the rest is arithmetic. */
const EPSILON = 1e-6;

export const outsideMaintenance: StepRule = ({ vm }, { snapshot, policy }) => {
  for (const { fromMs, toMs, reason, matches } of policy.suspensions ?? []) {
    if (matches(vm) && fromMs <= snapshot.nowMs && snapshot.nowMs < toMs) return `it is suspended for maintenance: ${reason}`;
  }
  return null;
};

/** Of the cohort that is drawn from the whole fleet: the first 32 bits of a digest of the UUID, as a share. */
export function drawn(vm: string, share: number): boolean {
  const hex = createHash('sha256').update(`canary/${vm}`).digest('hex').slice(0, 8);
  return Number.parseInt(hex, 16) < share * 0x1_0000_0000;
}

export const trialOver: StepRule = ({ step, vm, policy: own }, { snapshot, policy }) => {
  const { canary, takenAtMs } = policy;
  if (canary === undefined || takenAtMs === undefined || !takes(step.from, step.to)) return null;
  if (snapshot.nowMs - takenAtMs >= canary.soakMs || own.canary || drawn(vm.id, canary.share)) return null;
  return `policy ${policy.version} took force ${snapshot.nowMs - takenAtMs} ms ago: only canaries are shrunk for ${canary.soakMs} ms`;
};

export const guaranteeKept: StepRule = ({ step, vm, policy }) => {
  if (!takes(step.from, step.to)) return null;
  const { to } = step;
  const share = 1 - policy.oversubscribedFraction;
  if (to.resource === 'memory') {
    const granted = policy.ceiling ?? (vm.baseline.memory?.resource === 'memory' ? vm.baseline.memory.memoryMiB : vm.bootMemoryMiB);
    const least = share * Math.min(granted, vm.bootMemoryMiB);
    return to.memoryMiB < least - EPSILON ? `${to.memoryMiB} MiB are less than the ${least.toFixed(0)} MiB that are not lent out` : null;
  }
  if (to.resource === 'cpu' && to.capCores !== null && step.from.resource === 'cpu' && step.from.capCores !== to.capCores) {
    const baseline = vm.baseline.cpu?.resource === 'cpu' ? vm.baseline.cpu.capCores : null;
    const least = share * Math.min(policy.ceiling ?? baseline ?? vm.vcpus, vm.vcpus);
    return to.capCores < least - EPSILON ? `${to.capCores} cores are less than the ${least.toFixed(2)} cores that are not lent out` : null;
  }
  return null;
};
