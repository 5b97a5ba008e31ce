/**
 * What waits for the aggregator on disk: records in segment files, written at one end and read at the other, oldest given
 * up first when the byte budget is reached. Input: payloads with their rows; output: the same, oldest first, until each is
 * settled. A record stays on disk until it is settled, so a killed process finds again all that nobody has confirmed.
 * A process never appends to a segment it did not begin: what a crash tore is only read. Pure over `SegmentFiles`.
 */
import { errorText } from '../../shared/errors.ts';
import { encodeRecord, type RecordPlace, scanSegment } from './ring-record.ts';

/** The files below. Calls may throw whatever the disk throws. */
export interface SegmentFiles {
  /** Segments there are, ascending. */
  list(): { id: number; bytes: number }[];
  /** Appends all of `bytes`, or throws (a part may have been written). */
  append(id: number, bytes: Uint8Array): void;
  /** Nothing more will be appended. */
  seal(id: number): void;
  read(id: number): Uint8Array;
  remove(id: number): void;
  /** Free bytes of the volume, NaN = unknown. */
  freeBytes(): number;
}

export interface DiskRingLimits {
  /** All segments together. */
  bytesMax: number;
  /** One segment: what is given up at once when the budget is reached, and read at once when it is replayed. */
  segmentBytesMax: number;
  /** The volume keeps this much for others: the ring must not be what fills a disk. */
  freeBytesMin: number;
  /** Pause after a write that failed. */
  retryMs: number;
}

export const DISK_RING_LIMITS: DiskRingLimits = {
  // An hour at 1 Hz of a host with 100 VMs takes about 150 MiB (measured: some 250 bytes a row of 30 values, two rows a VM).
  bytesMax: 256 * 1024 * 1024,
  segmentBytesMax: 1024 * 1024,
  freeBytesMin: 64 * 1024 * 1024,
  retryMs: 10_000,
};

export interface RingRecord<Tag> {
  payload: Uint8Array;
  rows: number;
  /** As given to `append` by this process; undefined for what an earlier one wrote. */
  tag: Tag | undefined;
  segment: number;
}

export interface DiskRingStats {
  /** On disk, settled or not. */
  bytes: number;
  /** Waiting to be read, as far as known: segments of an earlier process are counted when they are first read. */
  rows: number;
  /** Rows found of earlier processes. */
  recoveredRows: number;
  /** Given up because of the byte budget. */
  overflowRows: number;
  /** In records that cannot be read (torn, corrupt, unreadable files). */
  damagedRows: number;
  damagedBytes: number;
  writeFailures: number;
  removeFailures: number;
  lastError: string | null;
}

interface Segment<Tag> {
  id: number;
  bytes: number;
  /** Of an earlier process: its records are not known before it is read. */
  foreign: boolean;
  /** Rows of each record written by this process, with its tag. */
  written: { rows: number; tag: Tag }[];
  rowsWritten: number;
  /** Known once it was opened for reading. */
  places: RecordPlace[] | null;
  next: number;
  /** Read and not settled. */
  outstanding: number;
}

export class DiskRing<Tag> {
  readonly #files: SegmentFiles;
  readonly #limits: DiskRingLimits;
  /** Told of records given up, so that those who wait for them learn it. */
  readonly #onLost: (tag: Tag) => void;
  #segments: Segment<Tag>[] = [];
  #writer: Segment<Tag> | null = null;
  #reading: { id: number; bytes: Uint8Array } | null = null;
  /** Could not be removed yet. */
  #doomed: { id: number; bytes: number }[] = [];
  #nextId = 1;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  readonly #stats: DiskRingStats = {
    bytes: 0,
    rows: 0,
    recoveredRows: 0,
    overflowRows: 0,
    damagedRows: 0,
    damagedBytes: 0,
    writeFailures: 0,
    removeFailures: 0,
    lastError: null,
  };

  /** A directory that cannot be listed gives an empty ring, and the reason in `stats.lastError`. */
  constructor(files: SegmentFiles, limits: DiskRingLimits, onLost: (tag: Tag) => void) {
    this.#files = files;
    this.#limits = limits;
    this.#onLost = onLost;
    try {
      for (const { id, bytes } of files.list()) {
        this.#segments.push(newSegment(id, bytes, true));
        this.#stats.bytes += bytes;
        this.#nextId = Math.max(this.#nextId, id + 1);
      }
    } catch (error) {
      this.#stats.lastError = errorText(error);
    }
  }

  get stats(): Readonly<DiskRingStats> {
    return this.#stats;
  }

  /** True when no record waits to be read. */
  get drained(): boolean {
    return this.#segments.every((segment) => !hasUnread(segment));
  }

  /** False: it could not be written (full or failing disk, or a pause after such a failure); the caller keeps it. */
  append(payload: Uint8Array, rows: number, tag: Tag, nowMs: number): boolean {
    if (nowMs < this.#retryAtMs) return false;
    const { bytesMax, segmentBytesMax, freeBytesMin } = this.#limits;
    this.#retryRemovals();
    if (this.#writer && this.#writer.bytes + payload.length > segmentBytesMax) this.#sealWriter();
    const record = encodeRecord(payload, rows, this.#writer?.rowsWritten ?? 0);
    if (record.length > bytesMax) return this.#failed(nowMs, `a record of ${record.length} bytes is larger than the ring's ${bytesMax}`);
    while (this.#stats.bytes + record.length > bytesMax && this.#segments.length > 0) this.#giveUpOldest();
    if (this.#stats.bytes + record.length > bytesMax) return this.#failed(nowMs, 'segments that cannot be removed fill the ring');
    const writer = this.#writer ?? this.#beginSegment();
    // Giving up the oldest may have been giving up the writer: its record counts from zero again.
    const bytes = writer.rowsWritten === 0 ? encodeRecord(payload, rows, 0) : record;
    try {
      const freeBytes = this.#files.freeBytes();
      if (freeBytes - bytes.length < freeBytesMin) {
        return this.#failed(nowMs, `the volume has ${freeBytes} bytes free; ${freeBytesMin} are left to others`);
      }
      this.#files.append(writer.id, bytes);
    } catch (error) {
      // A part of it may be there.
      writer.bytes += bytes.length;
      this.#stats.bytes += bytes.length;
      return this.#failed(nowMs, errorText(error));
    }
    writer.bytes += bytes.length;
    writer.written.push({ rows, tag });
    writer.rowsWritten += rows;
    this.#stats.bytes += bytes.length;
    this.#stats.rows += rows;
    return true;
  }

  /** The oldest record not yet read, null when there is none. Each must be settled. */
  next(): RingRecord<Tag> | null {
    for (const segment of [...this.#segments]) {
      if (!hasUnread(segment)) continue;
      if (segment === this.#writer) this.#sealWriter();
      const bytes = this.#open(segment);
      const place = segment.places?.[segment.next];
      if (bytes === null || place === undefined) continue;
      const tag = segment.written[segment.next]?.tag;
      segment.next++;
      segment.outstanding++;
      this.#stats.rows -= place.rows;
      // A copy: the segment's bytes must not live as long as one of its records.
      return { payload: bytes.slice(place.offset, place.offset + place.length), rows: place.rows, tag, segment: segment.id };
    }
    return null;
  }

  /** A record of this segment is stored or given up by the one who read it. */
  settle(id: number): void {
    const segment = this.#segments.find((one) => one.id === id);
    if (segment === undefined) return;
    segment.outstanding--;
    this.#removeIfDone(segment);
  }

  #beginSegment(): Segment<Tag> {
    const segment = newSegment<Tag>(this.#nextId++, 0, false);
    this.#segments.push(segment);
    this.#writer = segment;
    return segment;
  }

  #sealWriter(): void {
    const segment = this.#writer;
    this.#writer = null;
    if (segment === null) return;
    try {
      this.#files.seal(segment.id);
    } catch (error) {
      this.#stats.lastError = errorText(error);
    }
    this.#removeIfDone(segment);
  }

  /** The segment written to may have a torn end now: the next record begins another. */
  #failed(nowMs: number, reason: string): false {
    this.#stats.writeFailures++;
    this.#stats.lastError = reason;
    this.#retryAtMs = nowMs + this.#limits.retryMs;
    this.#sealWriter();
    return false;
  }

  /** The segment's bytes, with its places known; null when it cannot be read (and is given up). */
  #open(segment: Segment<Tag>): Uint8Array | null {
    if (this.#reading?.id === segment.id) return this.#reading.bytes;
    let bytes: Uint8Array;
    try {
      bytes = this.#files.read(segment.id);
    } catch (error) {
      this.#stats.lastError = errorText(error);
      this.#stats.damagedBytes += segment.bytes;
      this.#giveUp(segment, 'damagedRows');
      return null;
    }
    this.#reading = { id: segment.id, bytes };
    if (segment.places === null) this.#learnPlaces(segment, bytes);
    this.#removeIfDone(segment);
    return bytes;
  }

  #learnPlaces(segment: Segment<Tag>, bytes: Uint8Array): void {
    const { records, lostRows, lostBytes } = scanSegment(bytes);
    this.#stats.damagedBytes += lostBytes;
    const found = records.reduce((sum, { rows }) => sum + rows, 0);
    if (segment.foreign) {
      this.#stats.recoveredRows += found + lostRows;
      this.#stats.rows += found;
      this.#stats.damagedRows += lostRows;
    } else if (records.length !== segment.written.length) {
      // Something damaged what this process wrote: which record is which can no longer be told by number.
      this.#stats.rows -= segment.rowsWritten - found;
      this.#stats.damagedRows += segment.rowsWritten - found;
      for (const { tag } of segment.written) this.#onLost(tag);
      segment.written = [];
      segment.foreign = true;
    }
    segment.places = records;
  }

  #giveUpOldest(): void {
    const segment = this.#segments[0]!;
    if (segment === this.#writer) this.#sealWriter();
    // A segment of an earlier process is read to know what is lost with it.
    if (segment.places === null && segment.foreign) this.#open(segment);
    if (this.#segments[0] === segment) this.#giveUp(segment, 'overflowRows');
  }

  /** Drops what is unread of it; what was read is in memory and in somebody else's books. */
  #giveUp(segment: Segment<Tag>, counter: 'overflowRows' | 'damagedRows'): void {
    const places = segment.places ?? segment.written;
    const unread = places.slice(segment.next);
    const rows = unread.reduce((sum, place) => sum + place.rows, 0);
    this.#stats[counter] += rows;
    this.#stats.rows -= rows;
    const lost = segment.written.slice(segment.next);
    this.#remove(segment);
    for (const { tag } of lost) this.#onLost(tag);
  }

  #removeIfDone(segment: Segment<Tag>): void {
    if (segment === this.#writer || hasUnread(segment) || segment.outstanding > 0) return;
    this.#remove(segment);
  }

  #remove(segment: Segment<Tag>): void {
    if (segment === this.#writer) this.#writer = null;
    if (this.#reading?.id === segment.id) this.#reading = null;
    this.#segments = this.#segments.filter((one) => one !== segment);
    this.#tryRemove(segment);
  }

  #tryRemove({ id, bytes }: { id: number; bytes: number }): void {
    try {
      this.#files.remove(id);
      this.#stats.bytes -= bytes;
    } catch (error) {
      this.#stats.removeFailures++;
      this.#stats.lastError = errorText(error);
      this.#doomed.push({ id, bytes });
    }
  }

  #retryRemovals(): void {
    const doomed = this.#doomed;
    this.#doomed = [];
    for (const segment of doomed) this.#tryRemove(segment);
  }
}

function newSegment<Tag>(id: number, bytes: number, foreign: boolean): Segment<Tag> {
  return { id, bytes, foreign, written: [], rowsWritten: 0, places: null, next: 0, outstanding: 0 };
}

function hasUnread<Tag>(segment: Segment<Tag>): boolean {
  if (segment.places !== null) return segment.next < segment.places.length;
  return segment.foreign || segment.written.length > 0;
}
