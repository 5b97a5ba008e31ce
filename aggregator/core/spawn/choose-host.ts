/**
 * The host for a new VM: one that has what it is made from, room for what it may come to hold and for the peak that is forecast there,
 * apart from the others of its group, and where it leaves the least room that fits nothing else. Input: hosts as
 * they are, what is asked; output: a host, or why each cannot. Pure.
 */
import type { HostId } from '../../../shared/ids.ts';

export interface HostRoom {
  host: HostId;
  /** Why nothing is started there now (away, stale, killed, without the image); null = nothing speaks against it. */
  barred: string | null;
  /** Capacity less reserve less what VMs there may come to hold, orders under way included. */
  freeMemoryMiB: number;
  /** Capacity times the policy's overcommitment less the highest forecast of the coming hours, orders under way included. */
  freeCores: number;
  /** Members of the group there, orders under way included. */
  members: number;
}

export interface RoomAsked {
  memoryMiB: number;
  /** What a member is expected to want at most. */
  cores: number;
  /** Members of the group that one host may have. */
  membersPerHostMax: number;
}

export type HostChoice = { host: HostId; reason: string } | { host: null; reason: string };

export function chooseHost(hosts: readonly HostRoom[], asked: RoomAsked): HostChoice {
  const against = hosts.map((room) => ({ room, why: objection(room, asked) }));
  const fit = against.flatMap(({ room, why }) => (why === null ? [room] : []));
  const best = fit.toSorted((a, b) => better(a, b))[0];
  if (best === undefined) {
    const reasons = against.map(({ room, why }) => `${room.host}: ${why}`);
    return { host: null, reason: hosts.length === 0 ? 'no host is known' : reasons.join('; ') };
  }
  const members = best.members === 0 ? 'none of its group is there' : `${best.members} of its group are there`;
  return {
    host: best.host,
    reason: `${best.host} has ${Math.floor(best.freeMemoryMiB)} MiB and ${best.freeCores.toFixed(1)} cores free, ${members}`,
  };
}

function objection({ barred, freeMemoryMiB, freeCores, members }: HostRoom, asked: RoomAsked): string | null {
  if (barred !== null) return barred;
  if (members >= asked.membersPerHostMax) return `it has ${members} of the group already`;
  if (freeMemoryMiB < asked.memoryMiB) return `${Math.floor(freeMemoryMiB)} MiB are free, ${asked.memoryMiB} are needed`;
  if (freeCores < asked.cores) return `${freeCores.toFixed(1)} cores are free at the forecast peak, ${asked.cores.toFixed(1)} are needed`;
  return null;
}

/** Fewer of the group first, then the tighter fit; names last, so that choices are stable. */
function better(a: HostRoom, b: HostRoom): number {
  return a.members - b.members || a.freeMemoryMiB - b.freeMemoryMiB || (a.host < b.host ? -1 : Number(a.host > b.host));
}
