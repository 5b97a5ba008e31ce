/**
 * What the host agent knows of each VM at this moment: filled by discovery, sampling and statistics, read by guards and
 * inventory. Input: facts and readings as they come; output: the views that the pure core decides on.
 */
import type { VmId } from '../../shared/ids.ts';
import { type EligibilityMap, RESOURCES, type Resource, type Setting } from '../../shared/resources.ts';
import { sameValue } from '../../shared/same-value.ts';
import type { Hurry } from '../actuators/hurry.ts';
import type { CommandResult, GuardedVm } from '../core/command-guard.ts';
import { isGrowOnly } from '../core/eligibility.ts';
import { notBackAtMiB, sizesSent, type Watch } from '../core/foreign-writer.ts';
import { emptyRecord, type VmRecord } from '../core/journal.ts';
import type { VouchedMemory } from '../core/memory-guard.ts';
import { createMemoryTrend } from '../core/memory-trend.ts';
import { memoryMiBMax, memoryMiBToCome } from '../core/plugged-memory.ts';
import type { Probe } from '../core/readiness.ts';
import { NO_HOLD, type VcpuHold } from '../core/vcpu-hold.ts';
import { unknownVmRow } from '../core/vm-columns.ts';
import { NO_COUNTERS, type VmCounters, type VmFastSample } from '../core/vm-counters.ts';
import type { PowerState, VmFacts } from '../hypervisor/hypervisor.ts';

/** Balloon statistics and other slow readings; NaN = unknown. */
export interface SlowReadings {
  balloonMiB: number;
  /** When statistics told its size last, whatever the guest's driver told, by our monotonic clock. */
  sizeToldAtMs: number;
  availableMiB: number;
  unusedMiB: number;
  swapInMiBPerSecond: number;
  /** When the guest's driver last told, by our monotonic clock; NaN = never. */
  toldAtMs: number;
  /** What the guest uses by that message, whatever its balloon did since, and how fast that grows. */
  workingSetMiB: number;
  growthMiBPerSecond: number;
  /** Resident memory of its process when that message was read first. */
  rssAtToldMiB: number;
}

export type ToMemoryTrend = ReturnType<typeof createMemoryTrend>;
export type ToRates = (counters: VmCounters, nowMs: number) => VmFastSample;

export interface VmEntry {
  id: VmId;
  name: string;
  /** False for VMs outside the configured patterns: counted in the host's sums, never touched or reported. */
  managed: boolean;
  power: PowerState;
  processId: number | null;
  facts: VmFacts | null;
  eligibility: EligibilityMap;
  baseline: Partial<Record<Resource, Setting>>;
  /** As read last; for memory the size that counts (see `memoryInForce`). Undefined = unknown. */
  readonly current: Record<Resource, Setting | undefined>;
  readonly watches: Record<Resource, Watch | undefined>;
  /** Rises with each write: a reading begun before the newest write says nothing about it. */
  writes: number;
  writing: ReadonlySet<Resource>;
  /** The fast guard has a growth of these under way. */
  guarding: Set<Resource>;
  /** Ends the wait of the write under way for a balloon; null = none waits. */
  hurry: Hurry | null;
  /** When memory was taken from it last, by our monotonic clock; NaN = never. */
  inflatedAtMs: number;
  /** A growth under way that current does not show yet, MiB. */
  pendingMiB: number;
  /** What our last write of memory left requested of its memory device; NaN = it has none, or none was written since this agent began. */
  requestedMiB: number;
  record: VmRecord;
  results: CommandResult[];
  /** Since when we know it to run, by our monotonic clock. */
  runningSinceMs: number;
  /** Since when the guest lives, by our monotonic clock: before we were there, or minus infinity where it came here alive. */
  aliveSinceMs: number;
  guestAgent: boolean;
  /** What of its vCPUs its guest agent holds offline for us. */
  vcpuHold: VcpuHold;
  /** A guest agent spoke since it was started: Headroom's runs on Linux only. */
  guestAgentSeen: boolean;
  /** The application's newest word since the guest was started. */
  applicationReady: Probe;
  /** It passed its template's probe since it was started. */
  serves: boolean;
  jobActive: boolean;
  stuck: boolean;
  /** Rates since the last look, for guards. */
  toRates: ToRates;
  /** Rates since the last sample, for the aggregator; null = a sample is taken at every look. */
  toSampleRates: ToRates | null;
  counters: VmCounters;
  /** As of the last look. */
  fast: VmFastSample | null;
  slow: SlowReadings;
  toMemoryTrend: ToMemoryTrend;
  /** Slow values not yet part of a row, by column (`VM_COLUMN`); NaN = none. */
  readonly fresh: Float64Array;
  /** Last problem per signal, for the inventory's missing signals. */
  missing: Map<string, string>;
  /** Values in force whose last reading failed, and may not fail again. */
  readonly unread: Set<Resource>;
}

/** Results remembered per VM: repeats come within a few plans. */
export const RESULTS_MAX = 32;
/** Hypervisor processes take this much beside guest memory until it was measured: buffers, device models, libraries. */
const OVERHEAD_MIB_ASSUMED = 48;
const OVERHEAD_SHARE_ASSUMED = 0.02;
/** Unknown facts are never eligible. */
const UNKNOWN = { allowed: false, reason: 'nothing is known of this VM yet' } as const;

export const NO_SLOW_READINGS: Readonly<SlowReadings> = {
  balloonMiB: Number.NaN,
  sizeToldAtMs: Number.NaN,
  availableMiB: Number.NaN,
  unusedMiB: Number.NaN,
  swapInMiBPerSecond: Number.NaN,
  toldAtMs: Number.NaN,
  workingSetMiB: Number.NaN,
  growthMiBPerSecond: 0,
  rssAtToldMiB: Number.NaN,
};

export function createVmEntry(
  id: VmId,
  name: string,
  managed: boolean,
  record: VmRecord | undefined,
  rates: Pick<VmEntry, 'toRates' | 'toSampleRates'>,
): VmEntry {
  return {
    id,
    name,
    managed,
    power: 'unknown',
    processId: null,
    facts: null,
    eligibility: { cpu: UNKNOWN, memory: UNKNOWN, network: UNKNOWN, disk: UNKNOWN },
    baseline: {},
    // All four from the start: what loses a part is slow to read ever after, and readings fail now and then.
    current: { cpu: undefined, memory: undefined, network: undefined, disk: undefined },
    watches: { cpu: undefined, memory: undefined, network: undefined, disk: undefined },
    writes: 0,
    writing: new Set(),
    guarding: new Set(),
    hurry: null,
    inflatedAtMs: Number.NaN,
    pendingMiB: 0,
    requestedMiB: Number.NaN,
    record: record ?? emptyRecord(id, name, null),
    results: [],
    runningSinceMs: Number.NaN,
    aliveSinceMs: Number.NaN,
    guestAgent: false,
    vcpuHold: NO_HOLD,
    guestAgentSeen: false,
    applicationReady: null,
    serves: false,
    jobActive: false,
    stuck: false,
    ...rates,
    counters: NO_COUNTERS,
    fast: null,
    slow: { ...NO_SLOW_READINGS },
    toMemoryTrend: createMemoryTrend(),
    fresh: unknownVmRow(),
    missing: new Map(),
    unread: new Set(),
  };
}

/** Holds memory and may be written to. */
export const isUp = (entry: VmEntry): boolean => entry.power === 'running';
/** Has a process that holds memory: a paused VM keeps what it has. */
export const holdsMemory = (power: PowerState): boolean => !['shutoff', 'crashed', 'unknown'].includes(power);

export function rememberResult(entry: VmEntry, result: CommandResult): void {
  entry.results.push(result);
  if (entry.results.length > RESULTS_MAX) entry.results.shift();
}

/** Overhead as far as it was seen: resident memory beyond what the guest can hold; null = not known. */
export function overheadMiB(entry: VmEntry): number | null {
  const beyond = (entry.fast?.rssMiB ?? Number.NaN) - entry.slow.balloonMiB;
  return beyond > 0 ? beyond : null;
}

/** The most this VM may come to hold without anybody asking again, hypervisor included, MiB. */
export function exposureMiB(entry: VmEntry): number {
  if (!holdsMemory(entry.power)) return 0;
  const boot = entry.facts === null ? 0 : memoryMiBMax(entry.facts);
  const current = entry.current.memory?.resource === 'memory' ? entry.current.memory.memoryMiB : boot;
  const held = Math.max(current, Number.isNaN(entry.slow.balloonMiB) ? 0 : entry.slow.balloonMiB, entry.pendingMiB);
  return held + (overheadMiB(entry) ?? OVERHEAD_MIB_ASSUMED + OVERHEAD_SHARE_ASSUMED * boot);
}

/** A balloon that rests this near its target has arrived. */
const ARRIVED_MIB = 4;

/**
 * The memory in force: the target once the balloon arrived there; before that the larger of size and target, since that is
 * what the VM may hold.
 */
export function memoryInForce(entry: VmEntry, sizeMiB: number): Setting {
  const watch = entry.watches.memory;
  const target = watch?.target;
  const toCome = toComeMiB(entry, sizeMiB);
  if (target?.resource !== 'memory' || toCome > sizeMiB || Math.abs(sizeMiB - target.memoryMiB) > ARRIVED_MIB) {
    return { resource: 'memory', memoryMiB: Math.max(toCome, ...(watch ? sizesSent(watch) : [])) };
  }
  return { resource: 'memory', memoryMiB: target.memoryMiB };
}

/** What others asked the guest to plug counts before it does; what we asked for is where we sent it. */
function toComeMiB({ facts, record }: VmEntry, sizeMiB: number): number {
  return facts === null || record.entries.memory !== undefined ? sizeMiB : memoryMiBToCome(sizeMiB, facts);
}

/**
 * Takes over a value as read: one that is as it was stays the same object. A reading that comes after its VM went off is of a
 * machine that is no more.
 */
export function noteInForce(entry: VmEntry, seen: Setting): void {
  if (!holdsMemory(entry.power)) return;
  if (seen.resource === 'memory') entry.slow.balloonMiB = seen.memoryMiB;
  const inForce = seen.resource === 'memory' ? memoryInForce(entry, seen.memoryMiB) : seen;
  if (!sameValue(entry.current[inForce.resource], inForce)) entry.current[inForce.resource] = inForce;
}

/** PSI above this share, or any swap-in, is a guest short of memory (the fast guard acts from the same value). */
const PRESSURE_MIN = 0.05;

/** Memory as the host vouches for it; statistics older than `statsAgeMsMax` are unknown. */
export function vouchedMemory(entry: VmEntry, nowMs: number, statsAgeMsMax: number): VouchedMemory {
  const { slow, fast } = entry;
  const fresh = nowMs - slow.toldAtMs <= statsAgeMsMax;
  const watch = entry.watches.memory;
  return {
    targetMiB: watch?.target.resource === 'memory' ? watch.target.memoryMiB : null,
    fromMiB: watch?.before.resource === 'memory' ? watch.before.memoryMiB : null,
    balloonMiB: known(slow.balloonMiB),
    availableMiB: fresh ? known(slow.availableMiB) : null,
    // Older drivers tell no total: then size and available memory stand for it, though they are not of one moment.
    workingSetMiB: fresh ? (known(slow.workingSetMiB) ?? known(slow.balloonMiB - slow.availableMiB)) : null,
    growthMiBPerSecond: slow.growthMiBPerSecond,
    toldAgeMs: nowMs - slow.toldAtMs,
    rssMiB: known(fast?.rssMiB ?? Number.NaN),
    pressure: (fast?.memorySomeFraction ?? 0) >= PRESSURE_MIN || (fresh && slow.swapInMiBPerSecond > 0),
  };
}

export const known = (value: number): number | null => (Number.isNaN(value) ? null : value);

/**
 * Why nothing may be written to this resource, null = it may be. A value that moved where nobody here sent it is left alone
 * until it is certain whose it is: a write in between would wipe out what somebody else just set.
 */
export function handsOff(entry: VmEntry, resource: Resource): string | null {
  const hold = entry.record.holds[resource];
  if (hold) return hold.reason;
  const watch = entry.watches[resource];
  if (watch?.suspect) return `it is at ${watch.suspect.memoryMiB} MiB, where it was not sent: somebody else may be changing it`;
  // What a guest holds while it boots again is not what it had before the first write, and would be put back as that.
  const restedMiB = watch === undefined || entry.record.entries[resource] !== undefined ? null : notBackAtMiB(watch);
  return restedMiB === null ? null : `its guest rebooted, and its balloon is not back at ${restedMiB} MiB yet`;
}

export function guardedVm(entry: VmEntry, killed: string | null, nowMs: number, statsAgeMsMax: number): GuardedVm {
  const holds: Partial<Record<Resource, string>> = {};
  for (const resource of RESOURCES) {
    const reason = handsOff(entry, resource);
    if (reason !== null) holds[resource] = reason;
  }
  return {
    running: isUp(entry),
    vcpus: entry.facts?.vcpusOnline ?? 0,
    eligibility: entry.eligibility,
    growOnly: entry.facts !== null && isGrowOnly(entry.facts),
    current: entry.current,
    pairs: entry.record.pairs,
    results: entry.results,
    holds,
    jobActive: entry.jobActive,
    killed,
    memory: vouchedMemory(entry, nowMs, statsAgeMsMax),
  };
}
