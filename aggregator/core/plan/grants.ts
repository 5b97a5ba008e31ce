/**
 * What each host's fast guard may do until the next lease: a reserve, and a ceiling per VM. Input: rooms left after the
 * plan's growth; output: one grant per connected host. Half of what is left is given: the other half is what the guard may
 * still be using of the last lease when this one arrives, so that sums hold whichever frames are late or lost.
 */

import type { HostRooms } from './allot.ts';
import { boundsOf } from './amounts.ts';
import type { HostGrant, VmSnapshot } from './plan.ts';
import type { PlanContext } from './planning.ts';
import { guardCeiling } from './repayment.ts';

const SHARE_GIVEN = 0.5;

export function grantsOf(
  context: PlanContext,
  byHost: ReadonlyMap<string, readonly VmSnapshot[]>,
  rooms: ReadonlyMap<string, HostRooms>,
): HostGrant[] {
  const grants: HostGrant[] = [];
  for (const host of context.snapshot.hosts) {
    if (!host.connected) continue;
    const room = rooms.get(host.id);
    const killed = context.snapshot.killSwitch || context.policy.killSwitch || host.killSwitch;
    const allowances = killed ? [] : (byHost.get(host.id) ?? []).flatMap((vm) => allowanceOf(vm, context));
    const stale = host.ageMs > context.policy.staleAfterMs || room === undefined || allowances.length === 0;
    grants.push({
      host: host.id,
      reserveCores: stale ? 0 : SHARE_GIVEN * room.cpu.leftCores,
      reserveMiB: stale || host.swapping ? 0 : Math.floor(SHARE_GIVEN * room.memory.leftMiB),
      allowances,
    });
  }
  return grants;
}

/** VMs in auto, with the ceiling of each resource that is ours to grow. */
function allowanceOf(vm: VmSnapshot, { policy, loans }: PlanContext): HostGrant['allowances'] {
  if (vm.state !== 'ready' && vm.state !== 'launching') return [];
  const ceiling = (resource: 'cpu' | 'memory'): number | null => {
    if (policy.resolve(vm, resource).mode !== 'auto' || !vm.eligibility[resource].allowed) return null;
    if (vm.holds.some((hold) => hold.resource === resource)) return null;
    return guardCeiling(loans, vm, resource, boundsOf(resource, vm, policy.resolve(vm, resource))?.ceiling ?? null);
  };
  const cpuCeilingCores = policy.resolve(vm, 'cpu').cpuEnforcement === 'weight' ? null : ceiling('cpu');
  const memoryCeilingMiB = ceiling('memory');
  return cpuCeilingCores === null && memoryCeilingMiB === null ? [] : [{ vm: vm.id, cpuCeilingCores, memoryCeilingMiB }];
}
