/**
 * One VM that Headroom makes for a group, from the order to its removal: what is known of it, and what happens next. Pure: a
 * record and what was seen go in, the record after it and what is to be done come out. Every order may be sent again, so that
 * an aggregator that died anywhere goes on from the records it kept.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { Outcome, VmState } from '../../../shared/resources.ts';

/**
 * building: the host makes and starts it; booting: started, not ready yet; serving; draining: its users are told, nothing new is
 * sent to it; stopping: asked to shut down; stopped: may still be called back; removing: definition and disk go.
 */
export const SPAWN_PHASES = ['building', 'booting', 'serving', 'draining', 'stopping', 'stopped', 'removing'] as const;
export type SpawnPhase = (typeof SPAWN_PHASES)[number];

export interface SpawnRecord {
  vm: VmId;
  name: string;
  orderId: string;
  group: string;
  /** `name@version`: what it is made from, whatever the template becomes meanwhile. */
  template: string;
  host: HostId;
  /** Its size: what it takes of its host before it is seen there. */
  vcpus: number;
  memoryMiB: number;
  /** Storage pool of that host in which its disk lies. */
  pool: string;
  phase: SpawnPhase;
  /** Counts its phases: hosts refuse late orders of an earlier one. */
  generation: number;
  /** Since when it is in this phase, UTC ms. */
  sinceMs: number;
  /** Why it is in it, in words. */
  reason: string;
  orderedAtMs: number;
  /** Last time its order was sent; null = not in this phase. */
  sentAtMs: number | null;
  /** Started from what was stopped: no measure of how long making one takes. */
  warm: boolean;
  /** Made by others and handed over: it is stopped and started, and never removed. */
  handed: boolean;
  /** Made for the warm pool: once it was ready it is stopped, and kept to be started. */
  spare: boolean;
  /** It never came to serve, or was lost: told apart from one that did its work. */
  failed: boolean;
  /** For the warm pool it is being suspended, or was; absent = it is shut down and boots. */
  rest?: 'suspending' | 'suspended';
}

/** What a group's policy says of the lives of its VMs. */
export interface SpawnTerms {
  readyWithinMs: number;
  /** Its host asks it whether it serves. */
  probed: boolean;
  /** Time for what uses it to leave. */
  drainMs: number;
  /** Time for the guest to shut down by itself. */
  graceMs: number;
  /** A guest that ignores the request to shut down: ended by force, or left to serve. */
  ignores: 'force' | 'leave';
  /** Time in which a stopped VM can be called back. */
  undoMs: number;
  /** The warm pool keeps it while it is stopped. */
  pooled: boolean;
  /** On its way into the warm pool it is suspended. */
  suspends: boolean;
  /** Why it is not, where the policy asks for it; empty = it is, or nobody asks. */
  cannotSuspend: string;
  /** A host that is away so long has lost what was being made there. */
  hostLostMs: number;
  /** An order that was not answered is sent again after so long. */
  retryMs: number;
}

/** What was seen of it since the last look. */
export interface SpawnSeen {
  hostConnected: boolean;
  /** Since when the host is away, UTC ms; null = it is there. */
  hostAwaySinceMs: number | null;
  /** As live state has it; null = no such VM is known. */
  state: VmState | null;
  /** Its probe, or the guest agent, says that it can serve. */
  ready: boolean;
  /** Why its host does not reach it yet, by the newest try; null = nothing was tried. */
  unreached: string | null;
  /** The newest answer to this phase's order. */
  answer: { outcome: Outcome; reason: string } | null;
  /** Whoever drains it says that it is empty. */
  drained: boolean;
}

export type SpawnOrder = 'build' | 'probe' | 'stop' | 'end' | 'remove' | 'suspend' | 'resume';

export interface SpawnNext {
  /** Null: nothing of it is left. */
  record: SpawnRecord | null;
  /** To be sent to its host now. */
  order: SpawnOrder | null;
  /** The phase changed: this is told and written down. */
  told: string | null;
}

/** What was just started may still be told as stopped: by a host that looked while it was being made. */
const STOPPED_BELIEVED_MS = 60_000;

export function nextOfSpawn(record: SpawnRecord, seen: SpawnSeen, terms: SpawnTerms, nowMs: number): SpawnNext {
  const look = { record, seen, terms, nowMs };
  switch (record.phase) {
    case 'building':
      return building(look);
    case 'booting':
      return booting(look);
    case 'serving':
      return serving(look);
    case 'draining':
      return draining(look);
    case 'stopping':
      return stopping(look);
    case 'stopped':
      return stopped(look);
    case 'removing':
      return removing(look);
  }
}

/** Its users are told and it goes, unless it never served: then it goes at once. */
export function giveUp(record: SpawnRecord, reason: string, nowMs: number): SpawnRecord {
  return to(record, record.phase === 'serving' ? 'draining' : 'removing', reason, nowMs);
}

/** To whom it belongs again, as it is now: nothing of it is stopped or removed. Null: Headroom made it. */
export function giveBack(record: SpawnRecord, reason: string, nowMs: number): SpawnRecord | null {
  return record.handed ? to(record, 'removing', reason, nowMs) : null;
}

/** Called back while it drains or is stopped; null: it is too late. */
export function callBack(record: SpawnRecord, reason: string, nowMs: number): SpawnRecord | null {
  if (record.phase === 'draining') return to(record, 'serving', reason, nowMs);
  // Its order to build starts what is there; one that was suspended is brought back.
  if (record.phase !== 'stopped') return null;
  return { ...to(record, 'building', reason, nowMs), orderedAtMs: nowMs, warm: true, spare: false };
}

interface Look {
  record: SpawnRecord;
  seen: SpawnSeen;
  terms: SpawnTerms;
  nowMs: number;
}

function to(record: SpawnRecord, phase: SpawnPhase, reason: string, nowMs: number): SpawnRecord {
  return { ...record, phase, reason, sinceMs: nowMs, sentAtMs: null, generation: record.generation + 1 };
}

const moved = ({ record, nowMs }: Look, phase: SpawnPhase, reason: string): SpawnNext => ({
  record: to(record, phase, reason, nowMs),
  order: null,
  told: reason,
});

/** Suspended where the warm pool keeps it so, else asked to shut down. */
function goes(look: Look, reason: string): SpawnNext {
  const { suspends, cannotSuspend } = look.terms;
  const next = moved(look, 'stopping', cannotSuspend === '' ? reason : `${reason}; ${cannotSuspend}: it is shut down`);
  return suspends && next.record !== null ? { ...next, record: { ...next.record, rest: 'suspending' } } : next;
}

/** From here on as one that is shut down, and boots. */
const byBoot = (look: Look, phase: SpawnPhase, reason: string): SpawnNext => {
  const { rest: _, ...record } = look.record;
  return moved({ ...look, record }, phase, reason);
};

const failed = ({ record, nowMs }: Look, reason: string): SpawnNext => ({
  record: { ...to(record, 'removing', reason, nowMs), failed: true },
  order: null,
  told: reason,
});

const stays = ({ record }: Look): SpawnNext => ({ record, order: null, told: null });

/** Sent at once, and again until it is answered, while the host is there. */
function asks({ record, seen, terms, nowMs }: Look, order: SpawnOrder): SpawnNext {
  const due = seen.hostConnected && (record.sentAtMs === null || nowMs - record.sentAtMs >= terms.retryMs);
  return due ? { record: { ...record, sentAtMs: nowMs }, order, told: null } : { record, order: null, told: null };
}

const hostLost = ({ seen, terms, nowMs }: Look): boolean =>
  seen.hostAwaySinceMs !== null && nowMs - seen.hostAwaySinceMs >= terms.hostLostMs;
const inPhaseMs = ({ record, nowMs }: Look): number => nowMs - record.sinceMs;

function building(look: Look): SpawnNext {
  const { record, seen, terms } = look;
  if (record.rest === 'suspended') return comingBack(look);
  if (seen.answer?.outcome === 'applied')
    return moved(look, 'booting', `${record.handed ? 'handed over' : 'made and started'} on ${record.host}`);
  if (seen.answer !== null) return failed(look, `it could not be made on ${record.host}: ${seen.answer.reason}`);
  if (hostLost(look)) return failed(look, `host ${record.host} went away while it was being made`);
  if (inPhaseMs(look) >= terms.readyWithinMs) return failed(look, `it was not made within ${seconds(terms.readyWithinMs)}`);
  return asks(look, 'build');
}

function comingBack(look: Look): SpawnNext {
  const { record, seen, terms } = look;
  const { answer } = seen;
  if (answer?.outcome === 'applied') return byBoot(look, 'booting', `brought back on ${record.host}${instead(answer.reason)}`);
  if (answer !== null) return byBoot(look, 'building', `it could not be brought back (${answer.reason}): it boots`);
  if (hostLost(look)) return failed(look, `host ${record.host} went away while it was being brought back`);
  if (inPhaseMs(look) >= terms.readyWithinMs)
    return byBoot(look, 'building', `it was not brought back within ${seconds(terms.readyWithinMs)}: it boots`);
  return asks(look, 'resume');
}

function booting(look: Look): SpawnNext {
  const { record, seen, terms, nowMs } = look;
  if (seen.ready && seen.state === 'ready')
    return record.spare
      ? goes(look, readyIn(nowMs - record.orderedAtMs, record))
      : moved(look, 'serving', readyIn(nowMs - record.orderedAtMs, record));
  const stopped = seen.state === 'stopped' && inPhaseMs(look) >= STOPPED_BELIEVED_MS;
  if (stopped || seen.state === 'error') return failed(look, 'it stopped before it was ready');
  if (hostLost(look)) return failed(look, `host ${record.host} went away while it was booting`);
  if (inPhaseMs(look) >= terms.readyWithinMs)
    return failed(look, `it was not ready within ${seconds(terms.readyWithinMs)}${unreached(seen)}`);
  return terms.probed && seen.state !== null ? asks(look, 'probe') : stays(look);
}

function serving(look: Look): SpawnNext {
  const { record, seen } = look;
  if (hostLost(look)) return failed(look, `host ${record.host} is gone, and it with it`);
  if (seen.hostConnected && (seen.state === 'stopped' || seen.state === 'error')) return failed(look, 'it ended by itself');
  return stays(look);
}

function draining(look: Look): SpawnNext {
  const { seen, terms } = look;
  if (seen.drained) return goes(look, 'nothing uses it any more');
  if (inPhaseMs(look) >= terms.drainMs) return goes(look, `${seconds(terms.drainMs)} to leave it are over`);
  return stays(look);
}

/** The guest's memory is written meanwhile: that it stands is no sign of its end. */
function suspending(look: Look): SpawnNext {
  const { record, seen, terms, nowMs } = look;
  const { answer } = seen;
  if (answer?.outcome === 'applied') {
    const reason = `it is suspended${instead(answer.reason)}`;
    return { record: { ...to(record, 'stopped', reason, nowMs), rest: 'suspended' }, order: null, told: reason };
  }
  if (answer !== null) return byBoot(look, 'stopping', `it could not be suspended (${answer.reason}): it is shut down`);
  if (inPhaseMs(look) >= terms.readyWithinMs)
    return byBoot(look, 'stopping', `it was not suspended within ${seconds(terms.readyWithinMs)}: it is shut down`);
  return asks(look, 'suspend');
}

function stopping(look: Look): SpawnNext {
  const { record, seen, terms } = look;
  if (record.rest === 'suspending') return suspending(look);
  if (seen.state === 'stopped' || seen.state === 'error') return moved(look, 'stopped', 'it has shut down');
  if (inPhaseMs(look) < terms.graceMs) return asks(look, 'stop');
  // Nobody uses what was only made to be kept.
  if (terms.ignores === 'force' || record.spare) return asks(look, 'end');
  return moved(look, 'serving', `it did not shut down within ${seconds(terms.graceMs)}, and the policy leaves it running`);
}

function stopped(look: Look): SpawnNext {
  const { record, terms } = look;
  // It belongs to others: it stays until it is called back or given back.
  if (terms.pooled || record.handed) return stays(look);
  if (record.spare) return moved(look, 'removing', 'the warm pool keeps fewer');
  return inPhaseMs(look) >= terms.undoMs ? moved(look, 'removing', `${seconds(terms.undoMs)} to call it back are over`) : stays(look);
}

/** Until the host says that nothing is left: one that is away is asked when it comes back. */
function removing(look: Look): SpawnNext {
  const { record, seen } = look;
  if (seen.answer?.outcome === 'applied')
    return { record: null, order: null, told: `${record.handed ? 'given back' : 'removed'}: ${record.reason}` };
  return asks(look, 'remove');
}

const readyIn = (ms: number, { spare }: SpawnRecord): string =>
  `ready ${seconds(ms)} after it was ordered${spare ? '; kept for the next rise' : ''}`;
const instead = (reason: string): string => (reason === '' ? '' : `; ${reason}`);
const unreached = ({ unreached: reason }: SpawnSeen): string => (reason === null ? '' : `: ${reason}`);
const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`;
