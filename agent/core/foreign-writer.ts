/**
 * Tells our own writes from someone else's. Input: what we asked for and what is seen since, with times; output: the
 * foreign setting once it is certain. Exact values (weights, caps, limits) differ or do not. A balloon is a body in
 * motion: it moves towards our target for seconds, may settle short of it, and jumps to boot size when the guest reboots;
 * only a value that rests where we never sent it is someone else's. Pure: states go in and new states come out.
 */
import { type MemorySetting, type Setting, sameSetting } from '../../shared/resources.ts';

export interface Watch {
  /** What was asked for last. */
  target: Setting;
  /** What was read back after that, null = unknown (a crash between write and reading). */
  readBack: Setting | null;
  /** In force before that. */
  before: Setting;
  /** Memory only: where earlier writes sent the balloon, which hold still if this one never arrived. */
  formersMiB: readonly number[];
  /** Memory only: where the last of all these writes sends it. */
  newestMiB: number;
  /** Memory only: where it was first seen after a write whose end was not seen, NaN = not yet. */
  firstSeenMiB: number;
  /** Memory only: where the balloon was then; on its way elsewhere it may go on past that for a moment. NaN = anywhere in between. */
  startMiB: number;
  /** Memory only: the size nearest to the target that was seen since. */
  nearestMiB: number;
  /** Memory only: that size from before the guest rebooted, to which its balloon may come back; NaN = it did not. */
  restedMiB: number;
  /** Memory only: how far it had gone, away from the target, when the guest rebooted before it rested there; NaN = it had not. */
  strayedMiB: number;
  /** Memory only: a size moving away from the target, and since when it rests there. */
  suspect: { memoryMiB: number; sinceMs: number } | null;
}

export interface ForeignWriterOptions {
  /** A balloon away from its target counts as foreign once it has rested for this long. */
  restMs: number;
  /** The same for a balloon that jumped to the guest's boot size: a reboot holds it until the driver loads. */
  rebootRestMs: number;
}

/** Sizes within this distance are the same place: drivers move in pages and report a little late. */
const REST_EPSILON_MIB = 4;

/** Writes in a row whose ends were not seen: of more, the oldest have long been overtaken. */
export const FORMERS_MAX = 4;

/** Begins to watch after a write (or at first sight, with what is in force as target). `former`: the watch until then. */
export function watchWrite(before: Setting, target: Setting, readBack: Setting | null, former?: Watch): Watch {
  return {
    before,
    target,
    readBack,
    formersMiB: former === undefined ? [] : sentBefore(former, sizeOf(before)),
    newestMiB: sizeOf(target),
    firstSeenMiB: Number.NaN,
    startMiB: sizeOf(before),
    nearestMiB: sizeOf(readBack ?? before),
    restedMiB: Number.NaN,
    strayedMiB: Number.NaN,
    suspect: null,
  };
}

/** The same for a write whose end was not recorded: the balloon is anywhere between where it and those before it were sent. */
export function watchUnended(before: Setting, target: Setting, formersMiB: readonly number[]): Watch {
  return { ...watchWrite(before, target, null), ...(formersMiB.length > 0 ? { formersMiB, startMiB: Number.NaN } : {}) };
}

/** Of several writes whose ends were not seen the one that a balloon arrived by; all of them while it is nowhere near any. */
function sentBefore(former: Watch, sizeMiB: number): readonly number[] {
  const sent = sizesSent(former);
  const arrived = sent.filter((each) => Math.abs(each - sizeMiB) <= REST_EPSILON_MIB);
  return (arrived.length > 0 ? arrived : sent).slice(0, FORMERS_MAX);
}

const sizeOf = (setting: Setting | undefined): number => (setting?.resource === 'memory' ? setting.memoryMiB : Number.NaN);

/** The write is certain; what was seen while it was carried out still counts. */
export function watchReadBack(watch: Watch, readBack: Setting): Watch {
  const sizeMiB = sizeOf(readBack);
  const passedStart = Math.abs(sizeMiB - sizeOf(watch.target)) > Math.abs(watch.startMiB - sizeOf(watch.target));
  const nearestMiB = watch.suspect === null && passedStart ? sizeMiB : watch.nearestMiB;
  return { ...watch, readBack, formersMiB: [], nearestMiB };
}

/** A write of memory failed, or its answer was lost: the balloon goes on to where it was sent before, or to where this one sends it. */
export function watchFailure(watch: Watch): Watch {
  const [formerMiB, ...others] = watch.formersMiB;
  if (watch.target.resource !== 'memory' || watch.readBack !== null || formerMiB === undefined) return watch;
  const former: Setting = { ...watch.target, memoryMiB: formerMiB };
  const { newestMiB } = watch;
  return { ...watchWrite(watch.before, former, null), formersMiB: [watch.target.memoryMiB, ...others], newestMiB, startMiB: Number.NaN };
}

/** The sizes a balloon may be on its way to, MiB; empty for anything else. */
export function sizesSent({ target, readBack, formersMiB }: Watch): number[] {
  if (target.resource !== 'memory') return [];
  return readBack === null ? [target.memoryMiB, ...formersMiB] : [target.memoryMiB];
}

export interface Observation {
  watch: Watch;
  /** The setting somebody else wrote, null = all is as we left it or not certain yet. */
  foreign: Setting | null;
}

/** `bootMemoryMiB`: what the guest holds while it boots, NaN = unknown. `nowMs`: monotonic. */
export function observe(watch: Watch, seen: Setting, bootMemoryMiB: number, nowMs: number, options: ForeignWriterOptions): Observation {
  if (seen.resource === 'memory' && watch.target.resource === 'memory') {
    return observeBalloon(watch, watch.target, seen, bootMemoryMiB, nowMs, options);
  }
  const ours = sameSetting(seen, watch.target) || (watch.readBack === null ? isPartOf(watch, seen) : sameSetting(seen, watch.readBack));
  return { watch, foreign: ours ? null : seen };
}

/** What a write whose end was not seen may have left: each value is as it was, or as it was to be. Limits that the adapter shares out may lie in between. */
function isPartOf({ before, target }: Watch, seen: Setting): boolean {
  if (seen.resource === 'cpu' && before.resource === 'cpu' && target.resource === 'cpu') {
    const parts = [before, target, { ...before, weight: target.weight }, { ...before, capCores: target.capCores }];
    return parts.some((part) => sameSetting(seen, part));
  }
  if (seen.resource === 'network' && before.resource === 'network' && target.resource === 'network') {
    const { inboundBytesPerSecond, outboundBytesPerSecond } = seen;
    return (
      isBetween(inboundBytesPerSecond, before.inboundBytesPerSecond, target.inboundBytesPerSecond, SHARE_EPSILON_BYTES) &&
      isBetween(outboundBytesPerSecond, before.outboundBytesPerSecond, target.outboundBytesPerSecond, SHARE_EPSILON_BYTES)
    );
  }
  if (seen.resource === 'disk' && before.resource === 'disk' && target.resource === 'disk') {
    return (
      isBetween(seen.bytesPerSecond, before.bytesPerSecond, target.bytesPerSecond, SHARE_EPSILON_BYTES) &&
      isBetween(seen.iops, before.iops, target.iops, SHARE_EPSILON_IOPS)
    );
  }
  return sameSetting(seen, before);
}

/** Shares are rounded to whole KiB by libvirt, for each of a few devices. */
const SHARE_EPSILON_BYTES = 16 * 1024;
/** And to whole requests. */
const SHARE_EPSILON_IOPS = 16;

/** Null = no limit. */
function isBetween(seen: number | null, one: number | null, other: number | null, epsilon: number): boolean {
  const [a, b, value] = [one ?? Number.POSITIVE_INFINITY, other ?? Number.POSITIVE_INFINITY, seen ?? Number.POSITIVE_INFINITY];
  return value >= Math.min(a, b) - epsilon && value <= Math.max(a, b) + epsilon;
}

function observeBalloon(
  watch: Watch,
  target: MemorySetting,
  seen: MemorySetting,
  bootMemoryMiB: number,
  nowMs: number,
  options: ForeignWriterOptions,
): Observation {
  if (obeysTheNewest(watch, seen)) return { watch: certain(watch, seen), foreign: null };
  if (goesWhereSentBefore(watch, target, seen)) {
    const firstSeenMiB = Number.isNaN(watch.firstSeenMiB) ? seen.memoryMiB : watch.firstSeenMiB;
    return { watch: { ...watch, firstSeenMiB, suspect: null }, foreign: null };
  }
  const distance = Math.abs(seen.memoryMiB - target.memoryMiB);
  const nearest = Math.abs(watch.nearestMiB - target.memoryMiB);
  const sameSide = (seen.memoryMiB - target.memoryMiB) * (watch.nearestMiB - target.memoryMiB) >= 0;
  const strayed = isSamePlace(seen.memoryMiB, watch.strayedMiB);
  if (!strayed && (distance <= REST_EPSILON_MIB || (sameSide && distance <= nearest + REST_EPSILON_MIB))) {
    const nearer = distance <= nearest ? seen.memoryMiB : watch.nearestMiB;
    const asBefore = nearer === watch.nearestMiB && watch.suspect === null;
    return { watch: asBefore ? watch : { ...watch, nearestMiB: nearer, suspect: null }, foreign: null };
  }
  // Looked at last: sizes on the way to the target must go on counting as the nearest, or whoever moves it later goes unseen.
  if (isSamePlace(seen.memoryMiB, watch.restedMiB)) return { watch: { ...watch, suspect: null }, foreign: null };
  const { suspect } = watch;
  if (suspect === null || !isSamePlace(suspect.memoryMiB, seen.memoryMiB)) {
    return { watch: { ...watch, suspect: { memoryMiB: seen.memoryMiB, sinceMs: nowMs } }, foreign: null };
  }
  const booting = isSamePlace(seen.memoryMiB, bootMemoryMiB);
  const rested = nowMs - suspect.sinceMs >= (booting ? options.rebootRestMs : options.restMs);
  return { watch, foreign: rested ? seen : null };
}

/**
 * Of writes that are not certain the last was carried out: it is there, or on its way there from where it was first seen (and not past
 * it), and nothing else draws it that way.
 */
function obeysTheNewest(watch: Watch, seen: MemorySetting): boolean {
  const { newestMiB, firstSeenMiB } = watch;
  if (watch.readBack !== null || watch.formersMiB.length === 0 || !Number.isNaN(watch.startMiB)) return false;
  const others = sizesSent(watch).filter((size) => size !== newestMiB);
  const distanceMiB = Math.abs(seen.memoryMiB - newestMiB);
  const isPassedBy = (size: number): boolean => isWithin(newestMiB, sizeOf(watch.before), size);
  if (distanceMiB <= REST_EPSILON_MIB) return !others.some(isPassedBy);
  const leaves = (size: number): boolean => Math.abs(seen.memoryMiB - size) >= Math.abs(firstSeenMiB - size);
  const nearer = Math.abs(firstSeenMiB - newestMiB) - distanceMiB > REST_EPSILON_MIB;
  return nearer && isWithin(seen.memoryMiB, firstSeenMiB, newestMiB) && others.every(leaves);
}

/** Of a place that is not known (NaN) nothing is the same. */
const isSamePlace = (one: number, other: number): boolean => Math.abs(one - other) <= REST_EPSILON_MIB;

const isWithin = (sizeMiB: number, one: number, other: number): boolean =>
  sizeMiB >= Math.min(one, other) - REST_EPSILON_MIB && sizeMiB <= Math.max(one, other) + REST_EPSILON_MIB;

/** Writes are carried out in the order in which they were sent: those before the newest draw it no more. */
function certain(watch: Watch, seen: MemorySetting): Watch {
  const target: MemorySetting = { ...seen, memoryMiB: watch.newestMiB };
  return { ...watchWrite(watch.before, target, seen), restedMiB: watch.restedMiB };
}

/** A write that is not certain yet, and a balloon where the one before it sends it. */
function goesWhereSentBefore(watch: Watch, target: MemorySetting, seen: MemorySetting): boolean {
  const sent = sizesSent(watch);
  const between = isWithin(seen.memoryMiB, Math.min(...sent), Math.max(...sent));
  const passedMiB = Math.abs(seen.memoryMiB - target.memoryMiB) - Math.abs(watch.startMiB - target.memoryMiB);
  return sent.length > 1 && between && !(passedMiB < -REST_EPSILON_MIB);
}

/** Where the balloon rested before the guest rebooted, MiB, while it is not back there; null = it has been since. */
export function notBackAtMiB({ nearestMiB, restedMiB }: Watch): number | null {
  return Number.isNaN(restedMiB) || isSamePlace(nearestMiB, restedMiB) ? null : restedMiB;
}

/**
 * After a reboot the balloon starts from the boot size again: nearness to the target is counted anew, and where it rested still
 * counts. So does where it had been going away from the target: a guest that boots goes there again by the hand that sent it before.
 */
export function watchReboot(watch: Watch, bootMemoryMiB: number): Watch {
  if (watch.target.resource !== 'memory') return watch;
  const { suspect, nearestMiB } = watch;
  const restedMiB = isSamePlace(nearestMiB, bootMemoryMiB) ? watch.restedMiB : nearestMiB;
  const strayedMiB = suspect === null || isSamePlace(suspect.memoryMiB, bootMemoryMiB) ? watch.strayedMiB : suspect.memoryMiB;
  return { ...watch, nearestMiB: bootMemoryMiB, restedMiB, strayedMiB, suspect: null };
}
