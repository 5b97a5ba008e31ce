/**
 * Canaries: VMs that a rule names, and a share of the fleet drawn by their UUID. They go first; while one cools down after a
 * harmful shrink others are not shrunk, and for a while after a new policy took force only they are. Policy and VM in,
 * answers out. The draw is the same everywhere and for ever: a cohort that changed would try nothing.
 */
import { createHash } from 'node:crypto';
import type { VmId } from '../../../shared/ids.ts';
import type { FleetPolicy, ResourcePolicy } from './policy.ts';

/** A place from 0 to 1, evenly spread over UUIDs. */
export function cohortPlace(vm: VmId): number {
  return createHash('sha256').update(`canary/${vm}`).digest().readUInt32BE(0) / 2 ** 32;
}

export function isCanary(vm: VmId, own: Pick<ResourcePolicy, 'canary'>, { canary }: FleetPolicy): boolean {
  return own.canary || (canary !== undefined && cohortPlace(vm) < canary.share);
}

/** Until when the policy in force is on trial, null = it is not. */
export function trialEndsMs({ canary, takenAtMs }: FleetPolicy, nowMs: number): number | null {
  if (canary === undefined || takenAtMs === undefined) return null;
  const endsMs = takenAtMs + canary.soakMs;
  return nowMs < endsMs ? endsMs : null;
}
