/**
 * What happens when leases run out: caps of CPU, network and disk are lifted, VMs below their baseline grow a little at a
 * time into free room, memory is never shrunk, the rest holds. Input: lease frames and the clock that counts through
 * suspend; output: writes through the one writer, events.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { CAPPED, growTowardsBaseline, growthPauseMs, type HungryVm, leaseExpired, liftCaps, renewLease } from '../core/lease.ts';
import { memoryRefusal } from '../core/memory-guard.ts';
import { guardedHost, type HostContext, statsAgeMsMax, tell } from './host-context.ts';
import { handsOff, isUp, type VmEntry, vouchedMemory } from './vm-table.ts';
import { carryOutLocally } from './writer.ts';

export interface FailSafeLoop {
  /** A renewal from the aggregator, with the fast guard's allowances. */
  renew(frame: FrameOf<'lease'>): void;
  /** A command counts as a lease where none is running yet. */
  begin(epoch: number, leaseMs: number): void;
  /** Once a second. */
  tick(): void;
}

/** Wait before a cap whose lifting failed is tried again. */
const RETRY_MS = 5000;

export function createFailSafeLoop(context: HostContext): FailSafeLoop {
  const { clock, host, settings } = context;
  const random = context.prng.stream('fail-safe');
  let nextGrowthAtMs = 0;
  const retryAtMs = new Map<string, number>();

  const expire = (): void => {
    host.leaseOut = true;
    nextGrowthAtMs = clock.monotonicMs() + growthPauseMs(settings.failSafeGrowthsPerMinute, random);
    tell(context, 'lease-expired', 'the lease ran out: caps are lifted, memory is not shrunk, the rest holds');
  };

  const liftAll = (): void => {
    for (const entry of context.table.values()) {
      if (!mayAct(context, entry)) continue;
      for (const resource of CAPPED) {
        const key = `${entry.id}/${resource}`;
        if ((retryAtMs.get(key) ?? 0) > clock.monotonicMs() || toLift(entry, resource) === null) continue;
        retryAtMs.set(key, clock.monotonicMs() + RETRY_MS);
        start(context, entry, resource, 'its cap was lifted', () => toLift(entry, resource));
      }
    }
  };

  const growOne = (): void => {
    if (clock.monotonicMs() < nextGrowthAtMs) return;
    nextGrowthAtMs = clock.monotonicMs() + growthPauseMs(settings.failSafeGrowthsPerMinute, random);
    const sums = guardedHost(context);
    if (sums.usableMiB === null || sums.freeMiB === null || sums.balloonManager !== null) return;
    const roomMiB = Math.min(sums.usableMiB - sums.exposureMiB, sums.freeMiB);
    const growth = growTowardsBaseline(hungryVms(context), roomMiB, random);
    const entry = growth && context.table.get(growth.vm);
    if (!entry) return;
    const target: Setting = { resource: 'memory', memoryMiB: Math.floor(growth.memoryMiB) };
    const memory = vouchedMemory(entry, clock.monotonicMs(), statsAgeMsMax(settings));
    if (memoryRefusal(target.memoryMiB, memory, sums) !== null) return;
    start(context, entry, 'memory', 'it grew towards its baseline', () => stillGrows(entry, target));
  };

  return {
    renew(frame) {
      const renewed = renewLease(host.lease, frame.epoch, frame.leaseMs, clock.bootMs());
      if (renewed === host.lease) return;
      host.lease = renewed;
      host.leaseOut = false;
      host.reserveCores = frame.reserveCores;
      host.reserveMiB = frame.reserveMiB;
      host.allowances = new Map(frame.allowances.map(({ vm, ...allowance }) => [vm as VmEntry['id'], allowance]));
    },
    begin(epoch, leaseMs) {
      if (host.lease !== null && !leaseExpired(host.lease, clock.bootMs())) return;
      const begun = renewLease(host.lease, epoch, leaseMs, clock.bootMs());
      if (begun === host.lease) return;
      host.lease = begun;
      host.leaseOut = false;
    },
    tick() {
      if (host.lease === null || !leaseExpired(host.lease, clock.bootMs())) return;
      if (!host.leaseOut) expire();
      if (host.killed.host !== null) return;
      liftAll();
      growOne();
    },
  };
}

/** Only what Headroom wrote is lifted, and only where it may write at all. */
function toLift(entry: VmEntry, resource: Resource): Setting | null {
  const current = entry.current[resource];
  const baseline = entry.record.adopted[resource] ?? entry.record.entries[resource]?.originalSetting;
  if (entry.record.entries[resource] === undefined || current === undefined || baseline === undefined) return null;
  if (!entry.eligibility[resource].allowed || handsOff(entry, resource) !== null || entry.writing.has(resource)) return null;
  return liftCaps(current, baseline);
}

/** Never a shrink, whatever happened while it waited. */
function stillGrows(entry: VmEntry, target: Setting): Setting | null {
  const current = entry.current.memory;
  return current?.resource === 'memory' && target.resource === 'memory' && target.memoryMiB > current.memoryMiB ? target : null;
}

function mayAct(context: HostContext, entry: VmEntry): boolean {
  return entry.managed && isUp(entry) && !entry.stuck && !entry.jobActive && !context.host.killed.vms.has(entry.id);
}

function hungryVms(context: HostContext): HungryVm[] {
  const hungry: HungryVm[] = [];
  for (const entry of context.table.values()) {
    const baseline = entry.baseline.memory;
    const current = entry.current.memory;
    const ours = entry.record.entries.memory !== undefined && entry.eligibility.memory.allowed && handsOff(entry, 'memory') === null;
    if (!ours || !mayAct(context, entry) || entry.writing.has('memory')) continue;
    if (baseline?.resource !== 'memory' || current?.resource !== 'memory') continue;
    hungry.push({ vm: entry.id, heldMiB: current.memoryMiB, baselineMiB: baseline.memoryMiB });
  }
  return hungry;
}

/** `target` is asked again at its turn: the aggregator may be back by then, or someone else may have written. */
function start(context: HostContext, entry: VmEntry, resource: Resource, what: string, target: () => Setting | null): void {
  context.queues.add(entry.id, async () => {
    const done = await carryOutLocally(context, entry, resource, () => (context.host.leaseOut ? target() : null));
    if (done === null) return;
    const { result, pair, setting } = done;
    if (result.outcome !== 'applied') {
      context.log.warn('the fail-safe could not act', { vm: entry.id, resource, reason: result.reason });
      return;
    }
    tell(context, 'lease-expired', `${entry.name}: ${what}, no aggregator renewed the lease`, {
      vm: entry.id,
      resource,
      setting: result.readBack ?? setting,
      pair,
    });
  });
}
