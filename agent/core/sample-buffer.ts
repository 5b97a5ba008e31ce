/**
 * What was measured and is not yet in the aggregator's store, in memory and bounded. Input: blocks of rows as they are
 * collected. Output: batches for two lanes, `live` (fresh) and `backlog` (what could not be sent in time), numbered per
 * lane and kept until acknowledged. A row leaves in one of two ways only: acknowledged, or dropped oldest first and counted
 * by reason. With a disk ring below, the backlog spills there. Pure: monotonic times come in as arguments.
 */
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { seriesKey, type TelemetryBlock } from '../../shared/telemetry.ts';
import { checkBlock } from '../../shared/telemetry-check.ts';
import { Backlog, type Entry, type Receipt, type Spill } from './backlog.ts';
import { BlockBuilder } from './block-builder.ts';

export type Lane = FrameOf<'telemetry'>['lane'];

export interface SampleBufferLimits {
  /** Memory for rows, acknowledged or not. 64 MiB hold an hour of 100 VMs at 1 Hz. */
  bytesMax: number;
  rowsMax: number;
  /** Rows older than this are no longer live, ms. */
  liveAgeMsMax: number;
  /** Size of one batch: well under the receiver's frame limit. */
  batchBytesMax: number;
  batchRowsMax: number;
}

export const HOST_BUFFER_LIMITS: SampleBufferLimits = {
  bytesMax: 64 * 1024 * 1024,
  rowsMax: 2_000_000,
  liveAgeMsMax: 5000,
  batchBytesMax: 1024 * 1024,
  batchRowsMax: 10_000,
};

/** A guest has one VM's rows, and memory that belongs to its tenant: 4 MiB hold five hours at 1 Hz. */
export const GUEST_BUFFER_LIMITS: SampleBufferLimits = {
  bytesMax: 4 * 1024 * 1024,
  rowsMax: 100_000,
  liveAgeMsMax: 5000,
  batchBytesMax: 128 * 1024,
  batchRowsMax: 1000,
};

/**
 * `byte-limit`, `row-limit`: memory was full. `invalid`: unsound when it came. `ring-limit`: the disk ring's budget was.
 * `ring-damaged`: on disk, and could not be read again.
 */
export type DropReason = 'byte-limit' | 'row-limit' | 'invalid' | 'ring-limit' | 'ring-damaged';

export interface Batch {
  lane: Lane;
  seq: number;
  blocks: readonly TelemetryBlock[];
  rows: number;
  bytes: number;
}

interface HeldBatch extends Batch {
  entries: Entry[];
  sentAtMs: number;
  /** Waits to be sent again on a new connection. */
  resend: boolean;
}

export interface SampleBufferStats {
  rows: number;
  bytes: number;
  /** Batches sent and not acknowledged. */
  unacknowledged: Record<Lane, number>;
  /** Waiting in the backlog, in memory. */
  backlogRows: number;
  appendedRows: number;
  acknowledgedRows: number;
  droppedRows: Record<DropReason, number>;
  /** The disk ring; null where there is none. `rows` wait there, `recoveredRows` an earlier process left. */
  ring: { rows: number; bytes: number; recoveredRows: number; writeFailures: number; lastError: string | null } | null;
}

/** Beside its numbers a block costs this much (objects, names, books), measured as heap per one-row block. */
const BLOCK_OVERHEAD_BYTES = 512;

export class SampleBuffer {
  readonly #limits: SampleBufferLimits;
  /** Blocks that still grow, by series; more than one per series when field lists differ. */
  readonly #open = new Map<string, BlockBuilder[]>();
  /** Blocks that are full or out of time order, before the open ones. */
  #ready: Entry[] = [];
  readonly #backlog: Backlog;
  readonly #spill: Spill | null;
  #connected = true;
  readonly #held: Record<Lane, Map<number, HeldBatch>> = { live: new Map(), backlog: new Map() };
  readonly #nextSeq: Record<Lane, number> = { live: 1, backlog: 1 };
  #rows = 0;
  #bytes = 0;
  /** Told of every block that is taken in: whoever sends may rest while there is nothing. */
  onRows: () => void = () => undefined;
  #appendedRows = 0;
  #acknowledgedRows = 0;
  readonly #droppedRows = { 'byte-limit': 0, 'row-limit': 0, invalid: 0 };

  constructor(limits: SampleBufferLimits, spill: Spill | null = null) {
    this.#limits = limits;
    this.#spill = spill;
    this.#backlog = new Backlog(spill, blockBytes);
  }

  /**
   * Takes rows in, as a copy unless they are `owned`: then nobody else writes to them any more. Unsound blocks are dropped and
   * counted: sent, they would cost the connection.
   */
  append(block: TelemetryBlock, nowMs: number, receipt?: Receipt, owned = false): void {
    const rows = block.timesMs.length;
    if (rows === 0) {
      receipt?.(true);
      return;
    }
    this.#appendedRows += rows;
    try {
      checkBlock(block);
    } catch {
      this.#droppedRows.invalid += rows;
      receipt?.(false);
      return;
    }
    const parts = this.#split(block);
    const partReceipt = receipt && parts.length > 1 ? jointReceipt(receipt, parts.length) : receipt;
    for (const part of parts) {
      const builder = this.#builderFor(part, nowMs, owned);
      const before = builder.bytes;
      builder.append(part);
      if (partReceipt) builder.receipts.push(partReceipt);
      this.#rows += part.timesMs.length;
      this.#bytes += builder.bytes - before;
    }
    this.#enforceLimits();
    this.onRows();
  }

  /** Moves what has grown too old to be live into the backlog, and from there to disk; call at every flush. */
  age(nowMs: number): void {
    this.#ageFresh(nowMs);
    if (!this.#connected) this.#ageHeld(nowMs);
    this.#toDisk(nowMs);
  }

  /** The process ends: what is not confirmed goes to disk, where there is one, for the next to send. */
  park(nowMs: number): void {
    for (const lane of ['live', 'backlog'] as const) {
      for (const batch of [...this.#held[lane].values()].reverse()) this.#returnToBacklog(batch);
    }
    for (const entry of this.#ready) this.#backlog.push(entry);
    this.#ready = [];
    for (const builders of this.#open.values()) for (const builder of builders) this.#backlog.push(this.#seal(builder));
    this.#open.clear();
    this.#toDisk(nowMs, 0);
  }

  #toDisk(nowMs: number, afterMs?: number): void {
    for (const entry of this.#backlog.toDisk(nowMs, afterMs)) {
      this.#rows -= entry.rows;
      this.#bytes -= entry.bytes;
    }
  }

  #ageFresh(nowMs: number): void {
    const oldest = nowMs - this.#limits.liveAgeMsMax;
    const isOld = (item: { sinceMs: number }): boolean => item.sinceMs < oldest;
    if (this.#ready.some(isOld)) {
      for (const entry of this.#ready) if (isOld(entry)) this.#backlog.push(entry);
      this.#ready = this.#ready.filter((entry) => !isOld(entry));
    }
    for (const [key, builders] of this.#open) {
      const young = builders.filter((builder) => !isOld(builder));
      if (young.length === builders.length) continue;
      for (const builder of builders) if (isOld(builder)) this.#backlog.push(this.#seal(builder));
      if (young.length > 0) this.#open.set(key, young);
      else this.#open.delete(key);
    }
  }

  /**
   * The next batch of a lane: first what a new connection must repeat, then new rows; null when there is nothing or
   * `windowMax` batches of the lane are unacknowledged. What is taken counts as sent at `nowMs`.
   */
  take(lane: Lane, nowMs: number, windowMax: number, rowsMax: number = this.#limits.batchRowsMax): Batch | null {
    const held = this.#held[lane];
    let repeated: HeldBatch | undefined;
    let underWay = 0;
    for (const batch of held.values()) {
      if (!batch.resend) underWay++;
      else repeated ??= batch;
    }
    if (underWay >= windowMax) return null;
    if (repeated) {
      repeated.resend = false;
      repeated.sentAtMs = nowMs;
      return repeated;
    }
    const entries = lane === 'live' ? this.#takeLive() : this.#takeBacklog(nowMs, rowsMax);
    if (entries.length === 0) return null;
    const batch: HeldBatch = { lane, seq: this.#nextSeq[lane]++, entries, sentAtMs: nowMs, resend: false, ...sum(entries) };
    held.set(batch.seq, batch);
    return batch;
  }

  /** The store has these batches. Numbers that are not held are ignored. Answers the rows let go. */
  acknowledge(lane: Lane, fromSeq: number, toSeq: number): number {
    const held = this.#held[lane];
    let rows = 0;
    for (const [seq, batch] of held) {
      if (seq > toSeq) break;
      if (seq < fromSeq) continue;
      held.delete(seq);
      rows += batch.rows;
      this.#release(batch.entries, true);
    }
    this.#acknowledgedRows += rows;
    return rows;
  }

  /**
   * A new connection: what is unacknowledged goes again, under its own numbers where it is still live, else through the
   * backlog.
   */
  reconnected(nowMs: number): void {
    this.#connected = true;
    for (const batch of this.#held.backlog.values()) batch.resend = true;
    for (const batch of [...this.#held.live.values()].reverse()) {
      if (batch.entries.every((entry) => nowMs - entry.sinceMs <= this.#limits.liveAgeMsMax)) batch.resend = true;
      else this.#returnToBacklog(batch);
    }
  }

  /** What is unacknowledged waits for `reconnected`; when that takes long, it waits in the backlog. */
  disconnected(): void {
    this.#connected = false;
  }

  /** On a connection that lives, what was not acknowledged within `timeoutMs` goes again through the backlog. */
  expire(nowMs: number, timeoutMs: number): void {
    for (const lane of ['live', 'backlog'] as const) {
      for (const batch of [...this.#held[lane].values()].reverse()) {
        if (!batch.resend && nowMs - batch.sentAtMs > timeoutMs) this.#returnToBacklog(batch);
      }
    }
  }

  /** True when nothing waits and nothing is unacknowledged. */
  get empty(): boolean {
    return this.#rows === 0 && this.#backlog.drained;
  }

  get stats(): SampleBufferStats {
    const ring = this.#spill?.ring.stats;
    return {
      rows: this.#rows,
      bytes: this.#bytes,
      unacknowledged: { live: this.#held.live.size, backlog: this.#held.backlog.size },
      backlogRows: this.#backlog.rows,
      appendedRows: this.#appendedRows,
      acknowledgedRows: this.#acknowledgedRows,
      droppedRows: {
        ...this.#droppedRows,
        'ring-limit': ring?.overflowRows ?? 0,
        'ring-damaged': (ring?.damagedRows ?? 0) + this.#backlog.unreadableRows,
      },
      ring: ring === undefined ? null : { ...ring },
    };
  }

  #builderFor(block: TelemetryBlock, nowMs: number, owned: boolean): BlockBuilder {
    const key = seriesKey(block.subject, block.source);
    let builders = this.#open.get(key);
    if (!builders) {
      builders = [];
      this.#open.set(key, builders);
    }
    const index = builders.findIndex((builder) => builder.sameFields(block.fields));
    const known = builders[index];
    const { batchBytesMax, batchRowsMax } = this.#limits;
    if (
      known?.follows(block) &&
      known.bytes + BlockBuilder.cost(block) <= batchBytesMax &&
      known.rows + block.timesMs.length <= batchRowsMax
    ) {
      return known;
    }
    if (known) {
      builders.splice(index, 1);
      this.#ready.push(this.#seal(known));
    }
    const fresh = new BlockBuilder(block, nowMs, BLOCK_OVERHEAD_BYTES, owned);
    this.#bytes += fresh.bytes;
    builders.push(fresh);
    return fresh;
  }

  /** A block too large for one batch goes in pieces. */
  #split(block: TelemetryBlock): TelemetryBlock[] {
    const rows = block.timesMs.length;
    const bytesPerRow = BlockBuilder.cost(block) / rows;
    const rowsMax = Math.max(1, Math.min(this.#limits.batchRowsMax, Math.floor(this.#limits.batchBytesMax / bytesPerRow)));
    if (rows <= rowsMax) return [block];
    const parts: TelemetryBlock[] = [];
    const width = block.fields.length;
    for (let from = 0; from < rows; from += rowsMax) {
      const to = Math.min(rows, from + rowsMax);
      parts.push({ ...block, timesMs: block.timesMs.subarray(from, to), values: block.values.subarray(from * width, to * width) });
    }
    return parts;
  }

  #seal(builder: BlockBuilder): Entry {
    const { rows, bytes, sinceMs, receipts } = builder;
    return { block: builder.build(), rows, bytes, sinceMs, receipts, onDisk: false };
  }

  /** Nobody will confirm these: with a disk below, they belong there. */
  #ageHeld(nowMs: number): void {
    const oldest = nowMs - this.#limits.liveAgeMsMax;
    for (const batch of [...this.#held.live.values()].reverse()) {
      if (batch.entries.every((entry) => entry.sinceMs < oldest)) this.#returnToBacklog(batch);
    }
  }

  #returnToBacklog(batch: HeldBatch): void {
    this.#held[batch.lane].delete(batch.seq);
    // To the front, oldest first: the order of time is kept, and what is dropped first is the oldest.
    this.#backlog.putBack(batch.entries);
  }

  #takeLive(): Entry[] {
    const { batchBytesMax, batchRowsMax } = this.#limits;
    const entries: Entry[] = [];
    let bytes = 0;
    let rows = 0;
    const fits = (item: { bytes: number; rows: number }): boolean =>
      entries.length === 0 || (bytes + item.bytes <= batchBytesMax && rows + item.rows <= batchRowsMax);
    let taken = 0;
    for (const entry of this.#ready) {
      if (!fits(entry)) break;
      entries.push(entry);
      bytes += entry.bytes;
      rows += entry.rows;
      taken++;
    }
    const left = this.#ready.length - taken;
    this.#ready.splice(0, taken);
    if (left > 0) return entries;
    for (const [key, builders] of this.#open) {
      if (!builders.every(fits)) break;
      for (const builder of builders) {
        entries.push(this.#seal(builder));
        bytes += builder.bytes;
        rows += builder.rows;
      }
      this.#open.delete(key);
    }
    return entries;
  }

  #takeBacklog(nowMs: number, rowsMax: number): Entry[] {
    const { entries, readIn } = this.#backlog.take(nowMs, this.#limits.batchBytesMax, rowsMax);
    for (const entry of readIn) {
      this.#rows += entry.rows;
      this.#bytes += entry.bytes;
    }
    return entries;
  }

  #enforceLimits(): void {
    const { bytesMax, rowsMax } = this.#limits;
    while (this.#bytes > bytesMax || this.#rows > rowsMax) {
      const reason = this.#bytes > bytesMax ? 'byte-limit' : 'row-limit';
      const entries = this.#oldest();
      if (entries.length === 0) return;
      for (const entry of entries) this.#droppedRows[reason] += entry.rows;
      this.#release(entries, false);
    }
  }

  /** Removes what to drop next: what waits in the backlog, then what was sent (it may yet arrive), then the fresh. */
  #oldest(): Entry[] {
    const waiting = this.#backlog.dropOldest();
    if (waiting) return [waiting];
    for (const lane of ['backlog', 'live'] as const) {
      for (const batch of this.#held[lane].values()) {
        this.#held[lane].delete(batch.seq);
        return batch.entries;
      }
    }
    const ready = this.#ready.shift();
    if (ready) return [ready];
    for (const [key, builders] of this.#open) {
      this.#open.delete(key);
      if (builders.length > 0) return builders.map((builder) => this.#seal(builder));
    }
    return [];
  }

  #release(entries: readonly Entry[], stored: boolean): void {
    for (const entry of entries) {
      this.#rows -= entry.rows;
      this.#bytes -= entry.bytes;
    }
    // After the books are right: a receipt may append again.
    for (const entry of entries) for (const receipt of entry.receipts) receipt(stored);
  }
}

/** What a block takes beside others: its numbers, its names, its books. */
function blockBytes(block: TelemetryBlock): number {
  return block.fields.reduce((bytes, field) => bytes + field.length, BLOCK_OVERHEAD_BYTES) + BlockBuilder.cost(block);
}

/** Stored once every piece is; dropped as soon as one is. */
function jointReceipt(receipt: Receipt, parts: number): Receipt {
  let left = parts;
  return (stored) => {
    if (left <= 0) return;
    left = stored ? left - 1 : 0;
    if (left === 0) receipt(stored);
  };
}

function sum(entries: readonly Entry[]): { blocks: TelemetryBlock[]; rows: number; bytes: number } {
  let rows = 0;
  let bytes = 0;
  for (const entry of entries) {
    rows += entry.rows;
    bytes += entry.bytes;
  }
  return { blocks: entries.map((entry) => entry.block), rows, bytes };
}
