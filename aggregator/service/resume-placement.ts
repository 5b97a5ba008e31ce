/**
 * Where a suspended VM is brought back when any host will do: what each host has free, now and by forecast, and which of the VM's chunks it
 * holds, put before the choice. Input: live state; output: a host and why.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId, VmId } from '../../shared/ids.ts';
import { SUSPEND_MOVE_CAPABILITY } from '../../shared/protocol/suspend-frames.ts';
import { chooseResumeHost, type ResumeCandidate, type ResumePlacement } from '../core/resume/choose-host.ts';
import type { ChunkLocality } from './chunk-locality.ts';

export interface PlacementGround {
  hosts: () => readonly { id: HostId; connected: boolean }[];
  understands: (host: HostId, capability: string) => boolean;
  /** Memory a host has free beyond its reserve, MiB; null = unknown. */
  freeMiB: (host: HostId) => number | null;
  /** What hosts have free at the highest forecast of the coming hour, beyond their reserve; a host of which too little is known is absent. */
  peaks: () => ReadonlyMap<string, { freeMiB: number; freeCores: number }>;
  locality: Pick<ChunkLocality, 'bytes' | 'held'>;
}

export interface PlacementAsked {
  vm: VmId;
  holder: HostId;
  memoryMiB: number;
  cores: number | null;
  /** What its agent must understand beside moving VMs; null = nothing. */
  capability: string | null;
}

export function placeResume(ground: PlacementGround, { vm, holder, memoryMiB, cores, capability }: PlacementAsked): ResumePlacement {
  const peaks = ground.peaks();
  const mayMove = movesFrom(ground, holder);
  const candidates = ground.hosts().map(({ id, connected }): ResumeCandidate => {
    const peak = peaks.get(id) ?? null;
    const own = id === holder;
    const barred = connected ? (own ? null : (mayMove ?? lacks(ground, id, capability))) : 'it is not connected';
    return {
      ...{ host: id, own, barred, freeMiB: ground.freeMiB(id) },
      ...{ peakFreeMiB: peak?.freeMiB ?? null, peakFreeCores: peak?.freeCores ?? null },
      held: own ? { first: 1, rest: 1 } : ground.locality.held(vm, id),
    };
  });
  const placed = chooseResumeHost(candidates, { memoryMiB, cores, bytes: ground.locality.bytes(vm) });
  if (placed === null) throw new HeadroomError('NOT_FOUND', 'no host is known');
  return placed;
}

function movesFrom({ understands }: PlacementGround, holder: HostId): string | null {
  return understands(holder, SUSPEND_MOVE_CAPABILITY) ? null : `${holder}, which holds the snapshot, lends none (snapshotDir)`;
}

function lacks({ understands }: PlacementGround, host: HostId, capability: string | null): string | null {
  const all = [SUSPEND_MOVE_CAPABILITY, ...(capability === null ? [] : [capability])];
  return all.every((one) => understands(host, one))
    ? null
    : 'its agent takes no snapshots of other hosts (snapshotDir), or is of an older release';
}
