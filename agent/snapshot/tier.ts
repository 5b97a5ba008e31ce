/**
 * One place for packs: what it may take, what it holds, how quick it was. Input: its files, what is written and read there; output: room and
 * speeds. What is about to be written counts from before the first byte, so that no limit is passed at any moment.
 */
import type { StoreFiles } from './store-files.ts';

/** How much the newest measurement counts. */
const NEWEST_WEIGHT = 0.2;

export interface TierOptions {
  /** For people: the directory. */
  name: string;
  files: StoreFiles;
  capacityBytes: number;
  /** Nothing new goes there, and what is there goes away. */
  leaving: boolean;
}

export class Tier {
  readonly name: string;
  readonly files: StoreFiles;
  readonly capacityBytes: number;
  readonly leaving: boolean;
  /** In which names were given or taken away since they were synced. */
  readonly unsynced = new Set<string>();
  usedBytes = 0;
  /** Being written. */
  #reservedBytes = 0;
  /** Of packs written and synced, of records read; null = none was yet. */
  writeBytesPerSecond: number | null = null;
  readBytesPerSecond: number | null = null;
  /** What went wrong there last, in words; null = nothing since. */
  problem: string | null = null;

  constructor({ name, files, capacityBytes, leaving }: TierOptions) {
    this.name = name;
    this.files = files;
    this.capacityBytes = capacityBytes;
    this.leaving = leaving;
  }

  get freeBytes(): number {
    return this.leaving ? 0 : Math.max(0, this.capacityBytes - this.usedBytes - this.#reservedBytes);
  }

  /** With what is being written. */
  get takenBytes(): number {
    return this.usedBytes + this.#reservedBytes;
  }

  /** False: it does not fit. */
  reserve(bytes: number): boolean {
    if (bytes > this.freeBytes) return false;
    this.#reservedBytes += bytes;
    return true;
  }

  /** `kept`: it was written; else it came to nothing. */
  settle(bytes: number, kept: boolean): void {
    this.#reservedBytes -= bytes;
    if (kept) this.usedBytes += bytes;
  }

  noteWrite(bytes: number, ms: number): void {
    this.writeBytesPerSecond = smoothed(this.writeBytesPerSecond, bytes, ms);
  }

  noteRead(bytes: number, ms: number): void {
    this.readBytesPerSecond = smoothed(this.readBytesPerSecond, bytes, ms);
  }
}

/** What took no time that the clock can tell says nothing. */
function smoothed(before: number | null, bytes: number, ms: number): number | null {
  if (ms <= 0) return before;
  const newest = (bytes * 1000) / ms;
  return before === null ? newest : before + NEWEST_WEIGHT * (newest - before);
}
