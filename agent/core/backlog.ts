/**
 * What could not be sent in time, in the order of its time: first what came back unconfirmed, then the disk ring's, then
 * what waits in memory. Input: entries of the sample buffer; output: entries to send, and entries let go. With a ring, what
 * waited long enough moves to disk, so that memory stays small through an outage and a killed process loses seconds only.
 * Pure over the ring.
 */
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { DiskRing } from './disk-ring.ts';

/** Told once what became of a block: true when the store has it, false when it was dropped here. */
export type Receipt = (stored: boolean) => void;

/** One block with its share of the books. */
export interface Entry {
  block: TelemetryBlock;
  rows: number;
  bytes: number;
  /** When its first row was appended. */
  sinceMs: number;
  receipts: Receipt[];
  /** It lies on disk as well, until it is released. */
  onDisk: boolean;
}

/** The receipts of a record's blocks, kept in memory while the rows are on disk. */
export type RingTag = readonly Receipt[];

/** Blocks as the payload of one record. `unpack` throws when the bytes make no sound blocks. */
export interface BlockPacking {
  pack(blocks: readonly TelemetryBlock[]): Uint8Array;
  unpack(payload: Uint8Array): TelemetryBlock[];
}

export interface Spill {
  ring: DiskRing<RingTag>;
  packing: BlockPacking;
  /** Rows that waited this long go to disk, ms: what a killed process may lose. */
  afterMs: number;
  /** Bytes of rows in one record, and thereby the least of a backlog batch. */
  recordBytesMax: number;
}

export class Backlog {
  readonly #spill: Spill | null;
  readonly #cost: (block: TelemetryBlock) => number;
  /** Came back unconfirmed: older than all else. */
  #returned: Entry[] = [];
  #waiting: Entry[] = [];
  /** First entry of `#waiting` not yet taken: shifting a long array is slow. */
  #head = 0;
  /** In memory, not on disk. */
  rows = 0;
  /** Rows of records on disk whose payload made no sense. */
  unreadableRows = 0;

  /** `cost`: what a block takes in memory, bytes. */
  constructor(spill: Spill | null, cost: (block: TelemetryBlock) => number) {
    this.#spill = spill;
    this.#cost = cost;
  }

  push(entry: Entry): void {
    this.#waiting.push(entry);
    this.rows += entry.rows;
  }

  /** Oldest first, in front of everything. */
  putBack(entries: readonly Entry[]): void {
    this.#returned.unshift(...entries);
    for (const { rows } of entries) this.rows += rows;
  }

  /** The oldest entries that fit, at least one where there is any; `readIn` are those that came from disk just now. */
  take(nowMs: number, bytesMax: number, rowsMax: number): { entries: Entry[]; readIn: Entry[] } {
    const entries: Entry[] = [];
    const readIn: Entry[] = [];
    let bytes = 0;
    let rows = 0;
    const fits = (more: { bytes: number; rows: number }): boolean =>
      entries.length === 0 || (bytes + more.bytes <= bytesMax && rows + more.rows <= rowsMax);
    const add = (entry: Entry): void => {
      entries.push(entry);
      bytes += entry.bytes;
      rows += entry.rows;
    };
    for (;;) {
      const next = this.#returned[0];
      if (!next || !fits(next)) break;
      add(next);
      this.#returned.shift();
      this.rows -= next.rows;
    }
    if (this.#returned.length > 0) return { entries, readIn };
    // A record is taken whole: only where one of the largest size still fits.
    while (this.#spill && fits({ bytes: this.#spill.recordBytesMax, rows: 1 })) {
      const read = this.#readRecord(this.#spill, nowMs);
      if (read === null) break;
      for (const entry of read) add(entry);
      readIn.push(...read);
    }
    if (this.#spill && !this.#spill.ring.drained) return { entries, readIn };
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head]!;
      if (!fits(next)) break;
      add(next);
      this.#head++;
      this.rows -= next.rows;
    }
    this.#compact();
    return { entries, readIn };
  }

  /** Moves what waited `afterMs` to disk; answers what memory no longer holds. Entries that do not fit on it stay. */
  toDisk(nowMs: number, afterMs = this.#spill?.afterMs ?? 0): Entry[] {
    const spill = this.#spill;
    if (spill === null) return [];
    const isDue = (entry: Entry): boolean => !entry.onDisk && entry.sinceMs <= nowMs - afterMs;
    const due = [...this.#returned.filter(isDue), ...this.#dueWaiting(isDue)];
    const gone: Entry[] = [];
    while (gone.length < due.length) {
      const record = recordOf(due, gone.length, spill.recordBytesMax);
      const rows = record.reduce((sum, entry) => sum + entry.rows, 0);
      const tag = record.flatMap((entry) => entry.receipts);
      if (!spill.ring.append(spill.packing.pack(record.map(({ block }) => block)), rows, tag, nowMs)) break;
      gone.push(...record);
    }
    if (gone.length > 0) this.#forget(new Set(gone));
    return gone;
  }

  /** The next to give up when memory is full; undefined when nothing waits in memory. */
  dropOldest(): Entry | undefined {
    const entry = this.#returned.shift() ?? this.#waiting[this.#head];
    if (entry === undefined) return undefined;
    if (entry === this.#waiting[this.#head]) {
      this.#head++;
      this.#compact();
    }
    this.rows -= entry.rows;
    return entry;
  }

  get drained(): boolean {
    return this.rows === 0 && (this.#spill?.ring.drained ?? true);
  }

  /** One record as entries that settle it together; null when the ring has none. */
  #readRecord(spill: Spill, nowMs: number): Entry[] | null {
    for (;;) {
      const record = spill.ring.next();
      if (record === null) return null;
      const tag = record.tag ?? [];
      let blocks: TelemetryBlock[];
      try {
        blocks = spill.packing.unpack(record.payload);
        if (blocks.length === 0) throw new Error('no blocks');
      } catch {
        this.unreadableRows += record.rows;
        spill.ring.settle(record.segment);
        for (const receipt of tag) receipt(false);
        continue;
      }
      let left = blocks.length;
      let lost = false;
      const settle: Receipt = (stored) => {
        lost ||= !stored;
        if (--left > 0) return;
        spill.ring.settle(record.segment);
        for (const receipt of tag) receipt(!lost);
      };
      return blocks.map((block) => ({
        block,
        rows: block.timesMs.length,
        bytes: this.#cost(block),
        sinceMs: nowMs,
        receipts: [settle],
        onDisk: true,
      }));
    }
  }

  /** They were pushed in the order of their time, more or less: the scan ends at the first that is young. */
  #dueWaiting(isDue: (entry: Entry) => boolean): Entry[] {
    let end = this.#head;
    while (end < this.#waiting.length && isDue(this.#waiting[end]!)) end++;
    return this.#waiting.slice(this.#head, end);
  }

  #forget(gone: ReadonlySet<Entry>): void {
    this.#returned = this.#returned.filter((entry) => !gone.has(entry));
    this.#waiting = this.#waiting.slice(this.#head).filter((entry) => !gone.has(entry));
    this.#head = 0;
    for (const { rows } of gone) this.rows -= rows;
  }

  #compact(): void {
    // Half of it taken: moving the rest costs no more than taking it did.
    if (this.#head * 2 < this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#head = 0;
  }
}

/** Entries from `from` on that fit one record, at least one. */
function recordOf(due: readonly Entry[], from: number, bytesMax: number): Entry[] {
  const record: Entry[] = [];
  let bytes = 0;
  for (const entry of due.slice(from)) {
    if (record.length > 0 && bytes + entry.bytes > bytesMax) break;
    record.push(entry);
    bytes += entry.bytes;
  }
  return record;
}
