/**
 * What of a VM's verdicts must outlive a restart, as text: how long it rests after harm, what is still to be given back, which targets
 * cannot be reached. Input: verdicts and the time, or the text of an earlier run; output: the other. Nothing in such text is believed
 * that an earlier run could not have written: each field is looked at by itself, no rest is longer than the longest there is from now
 * on, and time that passed meanwhile counts as it can, whichever way the wall clock was stepped.
 */
import { RESOURCES, type Resource, type Setting } from '../../../shared/resources.ts';
import type { Infeasible } from './verdicts.ts';

export interface GiveBack {
  to: Setting;
  reason: string;
}

/** Times are ours, as live state has them. */
export interface KeptRests {
  coolUntilMs: Partial<Record<Resource, number>>;
  rollback: Partial<Record<Resource, GiveBack>>;
  infeasible: Partial<Record<Resource, Infeasible & { rests: number }>>;
}

export interface RestLimits {
  nowMs: number;
  /** The longest a VM rests after harm, and for a target out of reach. */
  coolMsMax: number;
  infeasibleMsMax: number;
  restsMax: number;
  /** Could this have been in force before a shrink? */
  mayHaveHeld: (setting: Setting) => boolean;
}

type Fields = Record<string, unknown>;

/** Reasons are for people; a host's may be of any length. */
const REASON_CHARS_MAX = 200;

export const shortReason = (reason: string): string => reason.slice(0, REASON_CHARS_MAX);

export function isEmpty({ coolUntilMs, infeasible }: KeptRests): boolean {
  return Object.keys(coolUntilMs).length + Object.keys(infeasible).length === 0;
}

/** `writtenMs`: when the text was written, by our clock of then. What cannot be understood is left out. */
export function readRests(kept: unknown, writtenMs: unknown, limits: RestLimits): KeptRests {
  const found: KeptRests = { coolUntilMs: {}, rollback: {}, infeasible: {} };
  if (!isFields(kept) || !isTime(writtenMs)) return found;
  const until = (value: unknown, msMax: number): number | null => untilOf(value, writtenMs, limits.nowMs, msMax);
  for (const resource of RESOURCES) {
    const coolUntilMs = until(partOf(kept.coolUntilMs, resource), limits.coolMsMax);
    if (coolUntilMs !== null) found.coolUntilMs[resource] = coolUntilMs;
    // What is to be given back is given up with the rest: without one there is nothing to give.
    const back = coolUntilMs === null ? null : rollbackOf(partOf(kept.rollback, resource), resource, limits.mayHaveHeld);
    if (back !== null) found.rollback[resource] = back;
    const tried = partOf(kept.infeasible, resource);
    const untilMs = isFields(tried) ? until(tried.untilMs, limits.infeasibleMsMax) : null;
    const target = untilMs === null ? null : infeasibleOf(tried as Fields, untilMs, limits.restsMax);
    if (target !== null) found.infeasible[resource] = target;
  }
  return found;
}

/** Null: over, or no time at all. A wall clock that was set back lets no rest begin anew; one that was set ahead may end it early. */
function untilOf(value: unknown, writtenMs: number, nowMs: number, msMax: number): number | null {
  if (!isTime(value)) return null;
  const leftMs = Math.min(value - writtenMs, msMax) - Math.max(0, nowMs - writtenMs);
  return leftMs > 0 ? nowMs + leftMs : null;
}

function rollbackOf(back: unknown, resource: Resource, mayHaveHeld: RestLimits['mayHaveHeld']): GiveBack | null {
  if (!isFields(back) || !isReason(back.reason)) return null;
  const to = settingOf(back.to, resource);
  return to !== null && mayHaveHeld(to) ? { to, reason: shortReason(back.reason) } : null;
}

function infeasibleOf(
  { direction, target, reason, rests }: Fields,
  untilMs: number,
  restsMax: number,
): (Infeasible & { rests: number }) | null {
  if ((direction !== 'grow' && direction !== 'shrink') || !isAmount(target) || !isReason(reason)) return null;
  const known = Number.isSafeInteger(rests) ? Math.max(1, Math.min(rests as number, restsMax)) : 1;
  return { direction, target, reason: shortReason(reason), untilMs, rests: known };
}

/** Only its own fields are taken over. */
function settingOf(value: unknown, resource: Resource): Setting | null {
  if (!isFields(value) || value.resource !== resource) return null;
  if (resource === 'memory') return isAmount(value.memoryMiB) && value.memoryMiB > 0 ? { resource, memoryMiB: value.memoryMiB } : null;
  if (resource === 'cpu') {
    const { weight, capCores } = value;
    return isAmount(weight) && weight > 0 && isLimit(capCores) ? { resource, weight, capCores } : null;
  }
  if (resource === 'network') {
    const { inboundBytesPerSecond, outboundBytesPerSecond } = value;
    if (!isLimit(inboundBytesPerSecond) || !isLimit(outboundBytesPerSecond)) return null;
    return { resource, inboundBytesPerSecond, outboundBytesPerSecond };
  }
  const { bytesPerSecond, iops } = value;
  return isLimit(bytesPerSecond) && isLimit(iops) ? { resource, bytesPerSecond, iops } : null;
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
const isAmount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
const isLimit = (value: unknown): value is number | null => value === null || (isAmount(value) && value > 0);
const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isReason = (value: unknown): value is string => typeof value === 'string' && value.length > 0;

function partOf(parts: unknown, resource: Resource): unknown {
  return isFields(parts) && Object.hasOwn(parts, resource) ? parts[resource] : undefined;
}
