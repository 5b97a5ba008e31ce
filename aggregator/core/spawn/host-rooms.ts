/**
 * What each host has left for a new VM of a group, once what was ordered there and is not seen yet has its part. Input: hosts as they
 * are seen, records, what they lack for the template; output: rooms to choose from, and why some are barred. Pure.
 */
import type { HostId } from '../../../shared/ids.ts';
import { overheadOf } from '../plan/processors.ts';
import type { HostRoom } from './choose-host.ts';
import type { SightHost } from './group-sight.ts';
import type { SpawnRecord } from './spawn-record.ts';

export interface RoomGround {
  hosts: readonly SightHost[];
  records: readonly SpawnRecord[];
  group: string;
  /** What it lacks to make one of this template, in words; null = nothing. */
  lacks: (host: SightHost) => string | null;
}

/** With what the hypervisor takes beside the guest's memory. */
export const memoryOfNew = (memoryMiB: number): number => memoryMiB + overheadOf(null, memoryMiB);

export function hostRooms({ hosts, records, group, lacks }: RoomGround): HostRoom[] {
  const recordsOf = Map.groupBy(
    records.filter(({ phase }) => phase !== 'stopped' && phase !== 'removing'),
    ({ host }): HostId => host,
  );
  return hosts.map((host) => {
    const own = recordsOf.get(host.id) ?? [];
    const coming = own.filter(({ vm }) => !host.running.includes(vm));
    return {
      host: host.id,
      barred: host.barred ?? lacks(host),
      freeMemoryMiB: host.freeMemoryMiB - coming.reduce((sum, { memoryMiB }) => sum + memoryOfNew(memoryMiB), 0),
      freeCores: host.freeCores - coming.reduce((sum, { vcpus }) => sum + vcpus, 0),
      members: own.filter((record) => record.group === group).length,
    };
  });
}
