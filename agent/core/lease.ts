/**
 * Leases and what happens when they run out: durations count on CLOCK_BOOTTIME from receipt. The fail-safe never shrinks
 * memory; it removes or raises CPU, network and disk caps, holds the rest, and lets VMs below their baseline grow into free
 * room a little at a time. Input: what is in force; output: settings to write. Pure.
 */
import { assert } from '../../shared/assert.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Prng } from '../../shared/prng.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { sameSetting } from '../../shared/resources.ts';

export interface Lease {
  epoch: number;
  /** By the clock that counts through suspend. */
  expiresAtMs: number;
}

/** A renewal from an older owner changes nothing; from the same or a newer one it counts from its receipt. */
export function renewLease(lease: Lease | null, epoch: number, leaseMs: number, bootMs: number): Lease | null {
  if (lease !== null && epoch < lease.epoch) return lease;
  return { epoch, expiresAtMs: bootMs + leaseMs };
}

export function leaseExpired(lease: Lease, bootMs: number): boolean {
  return bootMs >= lease.expiresAtMs;
}

/** The setting that lifts what Headroom holds down: caps go back to the baseline's or away, never down. Null = nothing to lift. */
export function liftCaps(current: Setting, baseline: Setting): Setting | null {
  const lifted = lift(current, baseline);
  return lifted === null || sameSetting(lifted, current) ? null : lifted;
}

function lift(current: Setting, baseline: Setting): Setting | null {
  if (current.resource === 'cpu' && baseline.resource === 'cpu') {
    return { ...current, capCores: higherLimit(current.capCores, baseline.capCores) };
  }
  if (current.resource === 'network' && baseline.resource === 'network') {
    return {
      resource: 'network',
      inboundBytesPerSecond: higherLimit(current.inboundBytesPerSecond, baseline.inboundBytesPerSecond),
      outboundBytesPerSecond: higherLimit(current.outboundBytesPerSecond, baseline.outboundBytesPerSecond),
    };
  }
  if (current.resource === 'disk' && baseline.resource === 'disk') {
    return {
      resource: 'disk',
      bytesPerSecond: higherLimit(current.bytesPerSecond, baseline.bytesPerSecond),
      iops: higherLimit(current.iops, baseline.iops),
    };
  }
  assert(current.resource === baseline.resource, `a baseline of ${baseline.resource} for ${current.resource}`);
  return null;
}

/** null is no limit, the highest there is. */
function higherLimit(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : Math.max(a, b);
}

export interface HungryVm {
  vm: VmId;
  /** What it may hold now: the larger of balloon and target. */
  heldMiB: number;
  baselineMiB: number;
}

/** One growth while the lease is out is at most this share of the baseline, so that several VMs share what room there is. */
const GROWTH_SHARE = 0.25;
/** Growth smaller than this is not worth a write. */
const GROWTH_MIB_MIN = 16;

/**
 * The next VM below its baseline to grow, drawn at random so that hosts and VMs do not all act alike, and its new memory;
 * null when none is below or no room is left.
 */
export function growTowardsBaseline(vms: readonly HungryVm[], roomMiB: number, random: Prng): { vm: VmId; memoryMiB: number } | null {
  const hungry = vms.filter((vm) => vm.baselineMiB - vm.heldMiB > 1);
  const chosen = hungry[random.below(Math.max(1, hungry.length))];
  if (chosen === undefined) return null;
  const missingMiB = chosen.baselineMiB - chosen.heldMiB;
  const growthMiB = Math.min(missingMiB, Math.max(GROWTH_MIB_MIN, chosen.baselineMiB * GROWTH_SHARE), Math.floor(roomMiB));
  if (growthMiB < Math.min(GROWTH_MIB_MIN, missingMiB)) return null;
  return { vm: chosen.vm, memoryMiB: chosen.heldMiB + growthMiB };
}

/** Pause until the next growth, ms: `perMinute` of them on average, each between half and one and a half times the mean apart. */
export function growthPauseMs(perMinute: number, random: Prng): number {
  return (60_000 / perMinute) * (0.5 + random.next());
}

/** Resources whose caps the fail-safe lifts. */
export const CAPPED: readonly Resource[] = ['cpu', 'network', 'disk'];
