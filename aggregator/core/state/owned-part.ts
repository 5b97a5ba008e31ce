/** The part of a fleet that is ours to decide about. Input: a snapshot, which hosts are ours; output: the snapshot without the others. Pure. */
import type { HostId } from '../../../shared/ids.ts';
import type { FleetSnapshot } from '../plan/plan.ts';

export function ownedPart(snapshot: FleetSnapshot, owns: (host: HostId) => boolean): FleetSnapshot {
  const others = new Set(snapshot.hosts.filter(({ id }) => !owns(id)).map(({ id }) => id));
  if (others.size === 0) return snapshot;
  return {
    ...snapshot,
    hosts: snapshot.hosts.filter(({ id }) => !others.has(id)),
    vms: snapshot.vms.filter(({ host }) => !others.has(host)),
  };
}
