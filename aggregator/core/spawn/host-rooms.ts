/**
 * What each host has left for a new VM of a group: memory by the sums that hold for every other growth, CPU by what its VMs will
 * want, less what was ordered there and is not seen yet. Input: the fleet as it is, records, forecast peaks; output: rooms to
 * choose from, and why some are barred. Pure.
 */
import type { HostId } from '../../../shared/ids.ts';
import { MemoryRoom } from '../plan/memory-room.ts';
import type { FleetSnapshot, HostSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import { overheadOf } from '../plan/processors.ts';
import type { HostRoom } from './choose-host.ts';
import type { SpawnRecord } from './spawn-record.ts';

export interface RoomGround {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  records: readonly SpawnRecord[];
  group: string;
  /** Highest demand of a host's VMs together in the hour to come, cores; null = not known. */
  peakCores: (host: HostId) => number | null;
  /** Its administrator lets VMs be made there. */
  makesVms: (host: HostId) => boolean;
  /** What it lacks to make one of this template, in words; null = nothing. */
  lacks: (host: HostId) => string | null;
}

/** With what the hypervisor takes beside the guest's memory. */
export const memoryOfNew = (memoryMiB: number): number => memoryMiB + overheadOf(null, memoryMiB);

export function hostRooms(ground: RoomGround): HostRoom[] {
  const { snapshot, policy, records, group } = ground;
  const vmsOf = Map.groupBy(snapshot.vms, ({ host }) => host);
  return snapshot.hosts.map((host) => {
    const here = vmsOf.get(host.id) ?? [];
    const seen = new Set(here.filter(({ state }) => state !== 'stopped' && state !== 'error').map(({ id }) => id));
    const own = records.filter((record) => record.host === host.id && record.phase !== 'stopped' && record.phase !== 'removing');
    const coming = own.filter(({ vm }) => !seen.has(vm));
    const room = new MemoryRoom(host, here, policy);
    const sizes = here.filter(({ id }) => seen.has(id)).reduce((sum, { vcpus }) => sum + vcpus, 0);
    return {
      host: host.id,
      barred: barredBy(host, ground),
      freeMemoryMiB: room.leftMiB - coming.reduce((sum, { memoryMiB }) => sum + memoryOfNew(memoryMiB), 0),
      freeCores:
        host.cpuCores * policy.cpuOvercommit -
        policy.reserve.cpuCores -
        (ground.peakCores(host.id) ?? sizes) -
        coming.reduce((sum, { vcpus }) => sum + vcpus, 0),
      members: own.filter((record) => record.group === group).length,
    };
  });
}

function barredBy(host: HostSnapshot, { policy, makesVms, lacks }: RoomGround): string | null {
  if (!host.connected) return 'it is not connected';
  if (host.ageMs > policy.staleAfterMs) return 'its data are stale';
  if (host.killSwitch) return 'its kill switch is on';
  if (!makesVms(host.id)) return 'its agent makes no VMs';
  return host.swapping ? 'it swaps' : lacks(host.id);
}
