/**
 * What the agent must not forget about one VM: the values that were there before its first write, what it wrote since, the
 * pairs it accepted, holds and reversals. Input and output: records (plain data, JSON) and the steps between them. Pure;
 * the state directory and the domain's metadata keep them.
 */
import type { VmId } from '../../shared/ids.ts';
import { comparePairs, type Pair, type Resource, type Setting } from '../../shared/resources.ts';
import { type ClockReading, type ForeignHold, holdLeftMs } from './foreign-hold.ts';
import { FORMERS_MAX } from './foreign-writer.ts';
import type { Isolation } from './isolation.ts';

/** Exact values in the hypervisor's own resolution; opaque here but for their keys. */
export interface NativeValues {
  adapter: string;
  values: Record<string, unknown>;
}

export interface JournalEntry {
  /** In force before the first write: what restore puts back. */
  original: NativeValues;
  originalSetting: Setting;
  /** Asked for, recorded before each write. */
  intended: Setting;
  /** In force when that was asked for, until its end is recorded: a write that failed leaves it. Absent for the first write. */
  before?: Setting;
  /** Memory only, and only beside `before`: where earlier writes sent the balloon, the newest first, MiB; it goes there if this one failed. */
  formersMiB?: number[];
  /** In force after the last write, null = its end was not recorded. */
  written: Setting | null;
  writtenNative: NativeValues | null;
}

export interface VmRecord {
  version: 1;
  vm: VmId;
  name: string;
  /** Hypervisor process the entries belong to; another one means the VM was started anew and nothing of ours is in force. */
  processId: number | null;
  entries: Partial<Record<Resource, JournalEntry>>;
  /** Period of the balloon statistics before ours; null = we never set it. */
  statsPeriodSecondsBefore: number | null;
  pairs: Partial<Record<Resource, Pair>>;
  holds: Partial<Record<Resource, ForeignHold>>;
  reversals: Partial<Record<Resource, number>>;
  /** Its network is cut off by us; absent = it is not. */
  isolation?: Isolation;
  /** Baselines taken over from foreign writers. */
  adopted: Partial<Record<Resource, Setting>>;
}

export function emptyRecord(vm: VmId, name: string, processId: number | null): VmRecord {
  return { version: 1, vm, name, processId, entries: {}, statsPeriodSecondsBefore: null, pairs: {}, holds: {}, reversals: {}, adopted: {} };
}

/** Is anything of ours in force that restore would have to put back? */
export function hasEntries(record: VmRecord): boolean {
  return Object.keys(record.entries).length > 0 || record.statsPeriodSecondsBefore !== null || record.isolation !== undefined;
}

/** Before a write: keeps the original of the first one, notes what is about to be asked for. */
export function withIntent(record: VmRecord, target: Setting, before: Setting, native: NativeValues): VmRecord {
  const { resource } = target;
  const known = record.entries[resource];
  const entry: JournalEntry = known
    ? { ...known, intended: target, before, ...sentBefore(known) }
    : { original: native, originalSetting: before, intended: target, written: null, writtenNative: null };
  return { ...record, entries: { ...record.entries, [resource]: entry } };
}

function sentBefore({ intended, before, formersMiB = [] }: JournalEntry): Pick<JournalEntry, 'formersMiB'> {
  if (intended.resource !== 'memory') return {};
  return { formersMiB: [intended.memoryMiB, ...(before === undefined ? [] : formersMiB)].slice(0, FORMERS_MAX) };
}

/** What was written last was never read, or what came of it never recorded: which of the values in force are ours is not known then. */
export function endsUnread(entry: JournalEntry | undefined): boolean {
  return entry !== undefined && (entry.written === null || entry.before !== undefined);
}

/** Nothing was written after all: the entry is again what it was before, absent when there was none. */
export function withoutIntent(record: VmRecord, resource: Resource, before: JournalEntry | undefined): VmRecord {
  const { [resource]: _intended, ...entries } = record.entries;
  return { ...record, entries: before === undefined ? entries : { ...entries, [resource]: before } };
}

/** After a write: what is in force now. */
export function withWritten(record: VmRecord, written: Setting, native: NativeValues | null): VmRecord {
  const known = record.entries[written.resource];
  if (known === undefined) return record;
  const { before: _ended, formersMiB: _overtaken, ...rest } = known;
  return { ...record, entries: { ...record.entries, [written.resource]: { ...rest, written, writtenNative: native } } };
}

/** Pairs only rise. */
export function withPair(record: VmRecord, resource: Resource, pair: Pair): VmRecord {
  const known = record.pairs[resource];
  if (known !== undefined && comparePairs(pair, known) <= 0) return record;
  return { ...record, pairs: { ...record.pairs, [resource]: { epoch: pair.epoch, generation: pair.generation } } };
}

/** Settings that a write whose end was not recorded may have left in parts, and the values it was written over; null = there is none. */
export function unended(entry: JournalEntry | undefined): { over: NativeValues; settings: Setting[] } | null {
  if (entry === undefined || !endsUnread(entry)) return null;
  const { original, writtenNative, before, intended } = entry;
  return { over: writtenNative ?? original, settings: before === undefined ? [intended] : [before, intended] };
}

/**
 * Someone else wrote: what they changed becomes the original, what is still ours keeps its own. With nothing of ours left
 * the entry goes. `left`: what a write whose end was not recorded may have left, beside what was written last.
 */
export function withForeign(
  record: VmRecord,
  seen: Setting,
  native: NativeValues,
  hold: ForeignHold,
  left: readonly NativeValues[] = [],
): VmRecord {
  const { resource } = seen;
  const known = record.entries[resource];
  const entries = { ...record.entries };
  if (known !== undefined) {
    const { before: _ended, formersMiB: _overtaken, ...rest } = known;
    const ours = [...(known.writtenNative === null ? [] : [known.writtenNative]), ...left].map(({ values }) => values);
    const merged = mergeForeign(known.original.values, ours, native.values);
    const original = { adapter: native.adapter, values: merged.original };
    if (merged.oursLeft) entries[resource] = { ...rest, original, intended: seen, written: seen, writtenNative: native };
    else delete entries[resource];
  }
  return {
    ...record,
    entries,
    holds: { ...record.holds, [resource]: hold },
    reversals: { ...record.reversals, [resource]: reversalsWith(record, resource) },
    adopted: { ...record.adopted, [resource]: seen },
  };
}

/** Something of this VM was kept here: the record is not one that was just begun. */
export function isKept({ entries, pairs, holds, reversals, adopted }: VmRecord): boolean {
  return [entries, pairs, holds, reversals, adopted].some((part) => Object.keys(part).length > 0);
}

/** Reversals of a resource once one more foreign write is counted; a write over nothing of ours reverses nothing. */
export function reversalsWith(record: VmRecord, resource: Resource): number {
  return (record.reversals[resource] ?? 0) + (record.entries[resource] === undefined ? 0 : 1);
}

/** Holds that have run out are gone; those until lifted stay. */
export function withoutExpiredHolds(record: VmRecord, now: ClockReading): VmRecord {
  if (Object.keys(record.holds).length === 0) return record;
  const holds = Object.entries(record.holds).filter(([, hold]) => holdLeftMs(hold, now) !== 0);
  return holds.length === Object.keys(record.holds).length ? record : { ...record, holds: Object.fromEntries(holds) };
}

/** An administrator lifts holds: the count of reversals begins anew too. `resource` null = all. */
export function lifted(record: VmRecord, resource: Resource | null): VmRecord {
  if (resource === null) return { ...record, holds: {}, reversals: {} };
  const { [resource]: _hold, ...holds } = record.holds;
  const { [resource]: _count, ...reversals } = record.reversals;
  return { ...record, holds, reversals };
}

/** The VM stopped: live values died with it. Pairs, holds and reversals outlive it; adopted baselines were live ones. */
export function withoutEntries(record: VmRecord, processId: number | null): VmRecord {
  const { isolation: _ended, ...rest } = record;
  return { ...rest, processId, entries: {}, statsPeriodSecondsBefore: null, adopted: {} };
}

/**
 * The VM came here alive, and its record with it, or it stayed and its metadata is all that is left of what this host knew: what is in
 * force is what was last written, so it is ours to restore from here. Of its metadata only originals are sure (later writes are not copied into it), so what is in force is told anew. A resource
 * whose values are its originals has nothing of ours. `kept`: what is known here of an earlier stay; of this one it is newer than the copy
 * in the metadata.
 */
export function arrived(
  carried: VmRecord,
  kept: VmRecord,
  processId: number | null,
  inForce: ReadonlyMap<Resource, { setting: Setting; native: NativeValues }>,
): VmRecord {
  const entries: VmRecord['entries'] = {};
  for (const [resource, entry] of Object.entries(carried.entries) as [Resource, JournalEntry][]) {
    const now = inForce.get(resource);
    if (now === undefined) continue;
    const mayMove = resource === 'memory' && carried.processId === processId;
    if (!mayMove && sameJson(now.native.values, entry.original.values)) continue;
    const { original, originalSetting } = entry;
    entries[resource] = { original, originalSetting, intended: now.setting, written: now.setting, writtenNative: now.native };
  }
  const [older, newer] = carried.processId === processId ? [carried, kept] : [kept, carried];
  const holds = { ...older.holds, ...newer.holds };
  const adopted = carried.processId === processId ? { ...carried.adopted, ...kept.adopted } : carried.adopted;
  const record: VmRecord = { ...carried, processId, entries, holds, adopted };
  return (Object.entries(kept.pairs) as [Resource, Pair][]).reduce((known, [resource, pair]) => withPair(known, resource, pair), record);
}

type Values = Readonly<Record<string, unknown>>;

/** Value by value, as deep as they are grouped: one that still is as we may have left it keeps its original, any other is theirs. */
function mergeForeign(original: Values, ours: readonly Values[], now: Values): { original: Record<string, unknown>; oursLeft: boolean } {
  const merged: Record<string, unknown> = {};
  let oursLeft = false;
  for (const [key, value] of Object.entries(now)) {
    const before = original[key];
    const left = ours.map((each) => each[key]);
    if (isGroup(value) && isGroup(before)) {
      const below = mergeForeign(before, left.filter(isGroup), value);
      merged[key] = below.original;
      oursLeft ||= below.oursLeft;
    } else if (left.some((each) => sameJson(value, each)) && !sameJson(value, before)) {
      merged[key] = before;
      oursLeft = true;
    } else {
      merged[key] = value;
    }
  }
  return { original: merged, oursLeft };
}

const isGroup = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
