/**
 * What the programs that lend and borrow tell the host agent, by files: the words of those files, whether they can be believed,
 * and what they come to. Input: files' texts, the time on this host's clock since its boot; output: bytes lent, and for each borrowed slice where
 * it lies, in words. Pure. A file that is old says nothing about now.
 */
import { UUID_SOURCE, type VmId } from '../../shared/ids.ts';

export type SliceKind = 'memory' | 'storage';

/** Names of the exports that a guest's disks have as their sources, by which they are known in a definition. */
export const SLICE_NAMES: Readonly<Record<SliceKind, string>> = { memory: 'headroom-slice', storage: 'headroom-storage' };

/** Of a disk with this source; null = it is no slice. */
export function sliceKindOf(source: string | null): SliceKind | null {
  if (source === SLICE_NAMES.memory) return 'memory';
  return source === SLICE_NAMES.storage ? 'storage' : null;
}

/** Programs write every two seconds. */
export const STATE_FRESH_MS = 15_000;

interface Writer {
  /** Absent in what earlier versions wrote: memory. */
  of?: SliceKind;
  pid: number;
  /** Of that process, clock ticks after boot: a number given again is another process. */
  startTicks: number;
  /** When this was written, ms since boot. */
  bootMs: number;
}

export interface LentState extends Writer {
  kind: 'lent';
  sizeMiB: number;
  address: string;
  /** The VM that borrows it now; null = nobody does. */
  borrower: string | null;
}

export interface BorrowedState extends Writer {
  kind: 'borrowed';
  vm: VmId;
  sizeMiB: number;
  /** The disk's name in the VM's definition. */
  target: string;
  /** Where QEMU finds what is served. */
  socket: string;
  /** The file of the local copy; null = storage, which has none. */
  store: string | null;
  lender: {
    address: string;
    /** As the lender calls itself; null = it has never answered. */
    host: string | null;
    /** When it last answered, ms since boot. */
    heardBootMs: number | null;
    /** UTC ms; null = it is there. */
    awaySinceMs: number | null;
    /** Which disk of the lender it is; null or absent = memory, or never seen. */
    disk?: string | null;
  };
  writtenMiB: number;
  /** Of what is written, so much is read from the lender. */
  lenderMiB: number;
}

export type SliceState = LentState | BorrowedState;

/** What was found of a file: its state, and whether the process that wrote it still runs. */
export interface FoundSlice {
  state: SliceState;
  alive: boolean;
}

const UUID = new RegExp(`^${UUID_SOURCE}$`);

/** Null: not such a file. */
export function parseSliceState(text: string): SliceState | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(parsed) || !numbers(parsed, 'pid', 'startTicks', 'bootMs', 'sizeMiB')) return null;
  if (parsed.kind === 'lent') return texts(parsed, 'address') && textOrNull(parsed.borrower) ? (parsed as unknown as LentState) : null;
  if (parsed.of !== undefined && parsed.of !== 'memory' && parsed.of !== 'storage') return null;
  if (
    parsed.kind !== 'borrowed' ||
    !texts(parsed, 'vm', 'target', 'socket') ||
    !textOrNull(parsed.store) ||
    !numbers(parsed, 'writtenMiB', 'lenderMiB')
  ) {
    return null;
  }
  const { vm, lender } = parsed;
  const known = isObject(lender) && texts(lender, 'address') && textOrNull(lender.host) && textOrNull(lender.disk ?? null);
  if (!known || !numberOrNull(lender.heardBootMs) || !numberOrNull(lender.awaySinceMs)) return null;
  return UUID.test(String(vm)) ? (parsed as unknown as BorrowedState) : null;
}

/** Memory of this host that VMs cannot have, MiB. A lender that hangs holds it as well as one that writes. */
export function lentMiB(found: readonly FoundSlice[]): number {
  return found.reduce((sum, { state, alive }) => sum + (holdsMemory(state) && alive ? state.sizeMiB : 0), 0);
}

const holdsMemory = (state: SliceState): boolean => state.kind === 'lent' && state.of !== 'storage';

/** Steps in which ages are told, s: what is told is sent when it changes. */
const AGE_STEPS = [5, 15, 60];

/** Where a VM's slice of this target lies, in words. */
export function sliceWords(found: readonly FoundSlice[], vm: VmId, target: string, nowBootMs: number): string {
  const own = found.map(({ state }) => state).find((state) => state.kind === 'borrowed' && state.vm === vm && state.target === target);
  if (own?.kind !== 'borrowed') return 'unknown: nothing tells of its mirror';
  const ageMs = nowBootMs - own.bootMs;
  if (ageMs > STATE_FRESH_MS) return `unknown: its mirror was last heard of ${Math.floor(ageMs / 60_000)} min ago`;
  const { host, address, heardBootMs, awaySinceMs } = own.lender;
  const where = `${host ?? 'a host that never answered'} (${address})`;
  if (awaySinceMs !== null) {
    const meanwhile = own.of === 'storage' ? 'nothing can be read or written' : 'local copy';
    return `${meanwhile}; lender ${where} away since ${new Date(awaySinceMs).toISOString()}`;
  }
  const heardSeconds = heardBootMs === null ? Number.POSITIVE_INFINITY : (nowBootMs - heardBootMs) / 1000;
  const step = AGE_STEPS.find((seconds) => heardSeconds <= seconds);
  const fresh = step === undefined ? 'not heard of for over a minute' : `fresh: heard within ${step} s`;
  if (own.of === 'storage') return `disk space of ${where}, ${fresh}`;
  const part =
    own.lenderMiB < own.writtenMiB ? `; ${Math.round((100 * own.lenderMiB) / own.writtenMiB)} % of it, the rest in the local copy` : '';
  return `RAM of ${where}, ${fresh}${part}`;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
const numbers = (record: Record<string, unknown>, ...keys: string[]): boolean => keys.every((key) => Number.isFinite(record[key]));
const texts = (record: Record<string, unknown>, ...keys: string[]): boolean => keys.every((key) => typeof record[key] === 'string');
const textOrNull = (value: unknown): boolean => value === null || typeof value === 'string';
const numberOrNull = (value: unknown): boolean => value === null || Number.isFinite(value);
