/**
 * What to do about a group now: make members, call back those on their way out, let go of those that are not needed and will not
 * be. Input: its policy, its size as forecast and as wanted now, its members, hosts' room, budgets; output: decisions with their
 * reasons, and why what should be done is not. It never lets go of the last healthy member, of more than leaves the least, or of a
 * VM that Headroom did not make. Pure.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { GroupPolicy } from '../plan/group-policy.ts';
import { chooseHost, type HostRoom, type RoomAsked } from './choose-host.ts';
import { type GroupDemand, type GroupSize, type GroupSizing, groupSize } from './group-size.ts';
import type { SpawnRecord } from './spawn-record.ts';

export interface GroupMember {
  vm: VmId;
  host: HostId;
  /** Null: counted with the group, and not made by Headroom. */
  record: SpawnRecord | null;
  /** It serves, and its host says so lately. */
  healthy: boolean;
  /** Of the first resource the group is sized by; null = unknown. */
  demand: number | null;
}

export interface GroupSituation {
  policy: GroupPolicy;
  /** Policy's, narrowed by whoever set bounds by the API. */
  least: number;
  most: number;
  /** Those that serve or are to. */
  members: readonly GroupMember[];
  /** On their way out, newest first; they can be called back. */
  leaving: readonly SpawnRecord[];
  demands: readonly GroupDemand[];
  sizing: Pick<GroupSizing, 'leadSteps' | 'holdSteps'>;
  /** Since when fewer would be enough, UTC ms; null = they are not. */
  surplusSinceMs: number | null;
  /** Why nothing is done about any group now; null = nothing speaks against it. */
  barred: string | null;
  /** Members that may still be made: by the hour, by the fleet. */
  budget: { left: number; reason: string };
  /** None is made before, after one that failed. */
  retryAtMs: number;
  /** Stopped members that its template's warm pool lacks. */
  poolLacks: number;
  rooms: readonly HostRoom[];
  asked: RoomAsked;
  nowMs: number;
}

export interface GroupDecision {
  desired: GroupSize;
  spawn: { host: HostId; reason: string }[];
  /** For the warm pool: made when nothing else is to be done. */
  spares: { host: HostId; reason: string }[];
  callBack: { vm: VmId; reason: string }[];
  retire: { vm: VmId; reason: string }[];
  surplusSinceMs: number | null;
  /** Why less is done than should be; null = all is. */
  notDone: string | null;
}

export function decideGroup(situation: GroupSituation): GroupDecision {
  const { members, barred, nowMs, policy, demands, sizing, least, most } = situation;
  const desired = groupSize(members.length, demands, { least, most, ...sizing });
  const surplus = members.length - desired.size;
  const surplusSinceMs = surplus > 0 ? (situation.surplusSinceMs ?? nowMs) : null;
  const nothing: GroupDecision = { desired, spawn: [], spares: [], callBack: [], retire: [], surplusSinceMs, notDone: null };
  if (surplus === 0 && situation.poolLacks === 0) return nothing;
  if (policy.mode !== 'auto') return { ...nothing, notDone: `its mode is ${policy.mode}` };
  if (barred !== null) return { ...nothing, notDone: barred };
  if (surplus < 0) return grow(situation, nothing, -surplus);
  const decision = surplus > 0 ? shrink(situation, nothing, surplus) : nothing;
  return decision.retire.length === 0 && situation.poolLacks > 0 ? prefill(situation, decision) : decision;
}

function grow(situation: GroupSituation, nothing: GroupDecision, missing: number): GroupDecision {
  const { reason } = nothing.desired;
  const { back, rooms } = calledBack(situation, missing);
  const callBack = back.map(({ vm }) => ({ vm, reason: `called back: ${reason}` }));
  const wanted = missing - callBack.length;
  if (wanted === 0) return { ...nothing, callBack };
  const { placed, notDone } = place({ ...situation, rooms }, wanted, reason);
  return { ...nothing, callBack, spawn: placed, notDone };
}

/** What drains still runs; what is stopped wants its memory again, where its disk lies. */
function calledBack({ leaving, rooms: from, asked }: GroupSituation, missing: number): { back: SpawnRecord[]; rooms: readonly HostRoom[] } {
  let rooms = from;
  const back: SpawnRecord[] = [];
  for (const record of leaving) {
    if (back.length === missing) break;
    const own = rooms.filter(({ host }) => host === record.host);
    if (record.phase === 'stopped') {
      if (chooseHost(own, asked).host === null) continue;
      rooms = rooms.map((room) => (room.host === record.host ? taken(room, asked) : room));
    }
    back.push(record);
  }
  return { back, rooms };
}

/** Only when nothing else is to be done: what is wanted now comes first, in budget and room. */
function prefill(situation: GroupSituation, decision: GroupDecision): GroupDecision {
  const { placed, notDone } = place(situation, situation.poolLacks, 'kept ready for the next rise');
  return { ...decision, spares: placed, notDone: decision.notDone ?? (notDone === null ? null : `the warm pool is not full: ${notDone}`) };
}

/** Hosts for so many new ones, within budget, room and time; or why there are fewer. */
function place(situation: GroupSituation, wanted: number, reason: string): { placed: GroupDecision['spawn']; notDone: string | null } {
  const { nowMs, retryAtMs, budget, asked } = situation;
  if (nowMs < retryAtMs) {
    return { placed: [], notDone: `the last one failed: the next is made in ${Math.ceil((retryAtMs - nowMs) / 1000)} s` };
  }
  const placed: GroupDecision['spawn'] = [];
  let rooms = situation.rooms;
  let notDone: string | null = null;
  for (let i = 0; i < wanted && notDone === null; i++) {
    if (placed.length >= budget.left) {
      notDone = budget.reason;
      break;
    }
    const choice = chooseHost(rooms, asked);
    if (choice.host === null) {
      notDone = `no host can take it: ${choice.reason}`;
      break;
    }
    placed.push({ host: choice.host, reason: `${reason}; ${choice.reason}` });
    rooms = rooms.map((room) => (room.host === choice.host ? taken(room, asked) : room));
  }
  return { placed, notDone };
}

const taken = (room: HostRoom, asked: RoomAsked): HostRoom => ({
  ...room,
  freeMemoryMiB: room.freeMemoryMiB - asked.memoryMiB,
  freeCores: room.freeCores - asked.cores,
  members: room.members + 1,
});

function shrink(situation: GroupSituation, nothing: GroupDecision, surplus: number): GroupDecision {
  const { policy, members, nowMs, least } = situation;
  const { idleMs } = policy;
  const forMs = nowMs - (nothing.surplusSinceMs ?? nowMs);
  if (forMs < idleMs) return { ...nothing, notDone: `fewer are enough, for ${seconds(forMs)} of the ${seconds(idleMs)} asked for` };
  const healthy = members.filter((member) => member.healthy);
  const spare = Math.min(surplus, healthy.length - Math.max(1, least));
  const ours = healthy.flatMap((member) => {
    const { record } = member;
    // One that was called back, or would not shut down, is left in peace as long as an idle group is.
    return record?.phase === 'serving' && nowMs - record.sinceMs >= idleMs ? [{ ...member, record }] : [];
  });
  const going = ours.toSorted((a, b) => (a.demand ?? 0) - (b.demand ?? 0) || b.record.orderedAtMs - a.record.orderedAtMs);
  const retire = going.slice(0, Math.max(0, spare)).map(({ vm }) => ({ vm, reason: nothing.desired.reason }));
  if (retire.length === surplus) return { ...nothing, retire };
  const why =
    spare < surplus
      ? `${healthy.length} members are healthy, and ${Math.max(1, least)} stay`
      : 'the others are not for Headroom to end now';
  return { ...nothing, retire, notDone: why };
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
