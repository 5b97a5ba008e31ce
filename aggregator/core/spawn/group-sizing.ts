/**
 * How far ahead a group is sized, and what one of its members serves. Input: its policy, its template's size and boots; output:
 * steps and units for `groupSize`. Pure.
 */
import type { GroupPolicy, GroupResource } from '../plan/group-policy.ts';

export interface SizingFacts {
  stepMs: number;
  /** From the order to ready, p95; null = never seen. */
  bootMs: number | null;
  /** Reckoned with until then: the template's own limit. */
  readyWithinMs: number;
  /** The loop's period. */
  loopMs: number;
}

/** A VM ordered now is ready after boot and loop, and serves whole steps from the next one on. */
export function leadStepsOf({ stepMs, bootMs, readyWithinMs, loopMs }: SizingFacts): { leadSteps: number; holdSteps: number } {
  const leadSteps = Math.ceil(((bootMs ?? readyWithinMs) + loopMs) / stepMs) + 1;
  // Longer than a boot, or VMs go only to come back.
  return { leadSteps, holdSteps: leadSteps + 1 };
}

/** What one member serves, headline unit, of each resource the group is sized by. */
export function unitsOf({ target }: GroupPolicy, size: { vcpus: number; memoryMiB: number }): { resource: GroupResource; unit: number }[] {
  const whole: Record<GroupResource, number> = { cpu: size.vcpus, memory: size.memoryMiB, network: 1 };
  return (Object.keys(whole) as GroupResource[]).flatMap((resource) => {
    const share = target[resource];
    return share === undefined ? [] : [{ resource, unit: whole[resource] * share }];
  });
}
