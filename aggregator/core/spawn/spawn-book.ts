/**
 * Everything that spawning must not forget when the aggregator dies: the VMs it made, what it decided about each group, how long
 * boots took. Plain data; every change makes a new book, so that one can be written down before it counts. Pure.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { KeptBoots } from './boot-times.ts';
import { nextOfSpawn, type SpawnOrder, type SpawnRecord, type SpawnSeen, type SpawnTerms } from './spawn-record.ts';

/** Set by whoever else scales this group, within the policy's. */
export interface GroupBounds {
  least: number;
  most: number;
  by: string;
}

export interface GroupMemory {
  bounds: GroupBounds | null;
  surplusSinceMs: number | null;
  /** When its members were ordered, within the last hour, UTC ms. */
  orderedAtMs: number[];
  /** Failures in a row. */
  failures: number;
  retryAtMs: number;
}

export interface SpawnBook {
  records: readonly SpawnRecord[];
  groups: Readonly<Record<string, GroupMemory>>;
  boots: KeptBoots;
}

/** In place of `name@version`. */
const HANDED_TEMPLATE = 'handed over';

export const EMPTY_BOOK: SpawnBook = { records: [], groups: {}, boots: {} };
export const NEW_GROUP: GroupMemory = { bounds: null, surplusSinceMs: null, orderedAtMs: [], failures: 0, retryAtMs: 0 };

const HOUR_MS = 3_600_000;
/** After a failure the next is made after a minute, then two, up to an hour: a broken image is not tried all night. */
const RETRY_MS = 60_000;

/** What became of one VM in this look. */
export interface SpawnChange {
  before: SpawnRecord;
  /** Null: nothing of it is left. */
  after: SpawnRecord | null;
  reason: string;
}

export interface SpawnSending {
  record: SpawnRecord;
  order: SpawnOrder;
}

export interface LivedOn {
  book: SpawnBook;
  changes: SpawnChange[];
  /** To be sent once the book is written. */
  orders: SpawnSending[];
}

/** Each VM's next moment. */
export function liveOn(
  book: SpawnBook,
  seenOf: (record: SpawnRecord) => SpawnSeen,
  termsOf: (record: SpawnRecord) => SpawnTerms,
  nowMs: number,
): LivedOn {
  const changes: SpawnChange[] = [];
  const orders: SpawnSending[] = [];
  let groups = book.groups;
  const records = book.records.flatMap((before) => {
    const { record: after, order, told } = nextOfSpawn(before, seenOf(before), termsOf(before), nowMs);
    if (told !== null) {
      changes.push({ before, after, reason: told });
      groups = { ...groups, [before.group]: noted(groups[before.group] ?? NEW_GROUP, before, after, nowMs) };
    }
    if (after !== null && order !== null) orders.push({ record: after, order });
    return after ?? [];
  });
  return { book: { ...book, records, groups }, changes, orders };
}

/** It came from its boot to where it was made for. */
export const hasBooted = (after: SpawnRecord | null): boolean => after?.phase === 'serving' || after?.phase === 'stopping';

/** A member that failed makes the group wait before the next; one that serves ends that. */
function noted(group: GroupMemory, before: SpawnRecord, after: SpawnRecord | null, nowMs: number): GroupMemory {
  if (before.phase === 'booting' && hasBooted(after)) return { ...group, failures: 0, retryAtMs: 0 };
  if (after?.failed !== true || before.failed) return group;
  const failures = group.failures + 1;
  return { ...group, failures, retryAtMs: nowMs + Math.min(HOUR_MS, RETRY_MS * 2 ** (failures - 1)) };
}

export function withGroup(book: SpawnBook, name: string, change: Partial<GroupMemory>): SpawnBook {
  return { ...book, groups: { ...book.groups, [name]: { ...(book.groups[name] ?? NEW_GROUP), ...change } } };
}

export function withRecord(book: SpawnBook, record: SpawnRecord): SpawnBook {
  const others = book.records.filter(({ vm }) => vm !== record.vm);
  return { ...book, records: [...others, record] };
}

export interface Ordered {
  vm: VmId;
  host: HostId;
  vcpus: number;
  memoryMiB: number;
  pool: string;
  template: string;
  reason: string;
  /** For the warm pool; absent = to serve. */
  spare?: boolean;
}

/** A new VM begins its life on record. */
export function ordered(book: SpawnBook, group: string, { vm, reason, spare = false, ...made }: Ordered, nowMs: number): SpawnBook {
  const record: SpawnRecord = {
    ...{ vm, name: `${group}-${vm.slice(0, 8)}`.slice(-128), orderId: `spawn/${vm}`, group, reason, ...made },
    ...{
      phase: 'building',
      generation: 1,
      sinceMs: nowMs,
      orderedAtMs: nowMs,
      sentAtMs: null,
      warm: false,
      spare,
      handed: false,
      failed: false,
    },
  };
  const memory = book.groups[group] ?? NEW_GROUP;
  const orderedAtMs = [...memory.orderedAtMs.filter((atMs) => nowMs - atMs < HOUR_MS), nowMs];
  return withGroup({ ...book, records: [...book.records, record] }, group, { orderedAtMs });
}

export interface HandedOver extends Pick<SpawnRecord, 'vm' | 'name' | 'host' | 'vcpus' | 'memoryMiB' | 'reason'> {
  group: string;
}

/** What others made goes on being what it is: its life on record begins with its host's mark, and no template stands for it. */
export function handedOver(book: SpawnBook, { vm, ...made }: HandedOver, nowMs: number): SpawnBook {
  const record: SpawnRecord = {
    ...{ vm, ...made, orderId: `hand/${vm}/${nowMs}`, template: HANDED_TEMPLATE, pool: '' },
    ...{ phase: 'building', generation: 1, sinceMs: nowMs, orderedAtMs: nowMs, sentAtMs: null },
    ...{ warm: true, spare: false, handed: true, failed: false },
  };
  return withRecord(book, record);
}

/** Members of a group that may still be ordered now. */
export function budgetOf(
  book: SpawnBook,
  group: string,
  limits: { perHour: number; fleet: number },
  nowMs: number,
): { left: number; reason: string } {
  const lately = (book.groups[group] ?? NEW_GROUP).orderedAtMs.filter((atMs) => nowMs - atMs < HOUR_MS).length;
  const byHour = limits.perHour - lately;
  const made = book.records.filter(({ handed }) => !handed).length;
  const byFleet = limits.fleet - made;
  return byHour <= byFleet
    ? { left: Math.max(0, byHour), reason: `${lately} were made within an hour, and the policy allows ${limits.perHour}` }
    : {
        left: Math.max(0, byFleet),
        reason: `${made} VMs of Headroom's making are there, and the policy allows ${limits.fleet}`,
      };
}
