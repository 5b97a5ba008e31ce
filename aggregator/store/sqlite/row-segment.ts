/**
 * Rows of one field list in the order they were written, held in memory until they are sealed. Input: rows, one or a few at
 * a time; output: their times and columns. The newest rows lie as they came. Where memory is short (`pack`) full runs of
 * them are packed by the column codec, which keeps what most telemetry is (constant, whole, rounded) in a tenth of the room:
 * ten thousand hosts at 1 Hz have 1.5 GB of numbers in a bin of five minutes.
 */
import { assert } from '../../../shared/assert.ts';
import { decodeColumn, encodeColumn, encodedBytesMax, NOISE_BYTES_MIN, type Sections } from './column-codec.ts';
import { type ColumnRoom, newColumn } from './column-room.ts';

/** A field list, one object per distinct list, so that lists compare by identity. */
export interface Layout {
  fields: readonly string[];
  names: Set<string>;
}

/** Rows packed together. Longer runs pack a little better, shorter ones leave less unpacked; and none has a noise section. */
const RUN_ROWS = 32;
assert(RUN_ROWS < NOISE_BYTES_MIN, 'runs are too short to have noise');
/** The first rows get as much room as they need, so that series of one row a bin stay small. */
const ROOM_GROWTH = 4;
/** What the objects around a segment weigh, about. */
const SEGMENT_BYTES = 600;
/** Place of the times among a run's columns; fields follow. */
const TIMES = 0;
const OFFSET_BYTES = 4;

/** Scratch of packing, grown as needed; packing is synchronous and never nested. */
const column = new Float64Array(RUN_ROWS);
const sections: Sections = { plain: new Uint8Array(16 * 1024), plainAt: 0, noise: new Uint8Array(RUN_ROWS * 8), noiseAt: 0 };

export class RowSegment {
  readonly layout: Layout;
  readonly #width: number;
  rows = 0;
  /** Each time is above the one before. */
  ascending = true;
  /** Memory held, bytes. */
  bytes = SEGMENT_BYTES;
  #newestMs = Number.NEGATIVE_INFINITY;
  /** Rows not packed yet: a time, then its values. */
  #tail: Float64Array;
  #tailRows = 0;
  /** Full runs one after the other, each offsets (u32) of its columns and then the columns. */
  #packed: Uint8Array = new Uint8Array(0);
  readonly #runsAt: number[] = [];

  constructor(layout: Layout, rowsFirst: number) {
    this.layout = layout;
    this.#width = 1 + layout.fields.length;
    this.#tail = new Float64Array(Math.max(1, rowsFirst) * this.#width);
    this.bytes += this.#tail.byteLength;
  }

  /**
   * Adds `count` rows: times from `timesAt`, values (row-major) from `valuesAt` of `numbers`. `tight`: memory is short, what can be
   * packed is, and no more room is made than a run needs.
   */
  add(numbers: Float64Array, timesAt: number, valuesAt: number, count: number, tight = false): void {
    if (tight) this.#pack();
    const fields = this.#width - 1;
    for (let row = 0, from = valuesAt; row < count; row++, from += fields) {
      if ((this.#tailRows + 1) * this.#width > this.#tail.length) this.#makeRoom(tight);
      const timeMs = numbers[timesAt + row]!;
      if (!(timeMs > this.#newestMs)) this.ascending = false;
      this.#newestMs = timeMs;
      const tail = this.#tail;
      const at = this.#tailRows++ * this.#width;
      tail[at] = timeMs;
      // A row of some dozen numbers is copied faster one by one than through a view.
      for (let i = 0; i < fields; i++) tail[at + 1 + i] = numbers[from + i]!;
    }
    this.rows += count;
  }

  times(room: ColumnRoom = newColumn): Float64Array {
    return this.#column(TIMES, room);
  }

  /** Values of the field at this place of the layout. */
  values(field: number, room: ColumnRoom = newColumn): Float64Array {
    return this.#column(1 + field, room);
  }

  #makeRoom(tight: boolean): void {
    if (tight && this.#tailRows >= RUN_ROWS) this.#pack();
    else this.#resize(tight ? Math.min(RUN_ROWS, ROOM_GROWTH * this.#tailRows) : ROOM_GROWTH * this.#tailRows, this.#tail);
  }

  /** Packs full runs, if there are any. */
  #pack(): void {
    const runs = Math.floor(this.#tailRows / RUN_ROWS);
    if (runs === 0) return;
    for (let run = 0; run < runs; run++) this.#packRun(run * RUN_ROWS);
    const left = this.#tail.subarray(runs * RUN_ROWS * this.#width, this.#tailRows * this.#width);
    this.#tailRows -= runs * RUN_ROWS;
    this.#resize(RUN_ROWS, left);
  }

  #column(index: number, room: ColumnRoom): Float64Array {
    const out = room(this.rows);
    const offsets = new DataView(this.#packed.buffer);
    let at = 0;
    for (const runAt of this.#runsAt) {
      const offset = offsets.getUint32(runAt + index * OFFSET_BYTES, true);
      decodeColumn(this.#packed, runAt + offset, this.#packed, out, at, RUN_ROWS);
      at += RUN_ROWS;
    }
    for (let from = index; at < this.rows; at++, from += this.#width) out[at] = this.#tail[from]!;
    return out;
  }

  /** Room for so many rows that are not packed; those given are there already. */
  #resize(rows: number, given: Float64Array): void {
    const tail = new Float64Array(rows * this.#width);
    tail.set(given);
    this.bytes += tail.byteLength - this.#tail.byteLength;
    this.#tail = tail;
  }

  #packRun(firstRow: number): void {
    const width = this.#width;
    const most = width * (OFFSET_BYTES + encodedBytesMax(RUN_ROWS));
    if (sections.plain.length < most) sections.plain = new Uint8Array(most);
    const offsets = new DataView(sections.plain.buffer);
    sections.plainAt = width * OFFSET_BYTES;
    for (let index = 0; index < width; index++) {
      offsets.setUint32(index * OFFSET_BYTES, sections.plainAt, true);
      for (let row = 0, from = firstRow * width + index; row < RUN_ROWS; row++, from += width) column[row] = this.#tail[from]!;
      encodeColumn(column, sections);
    }
    const packed = new Uint8Array(this.#packed.length + sections.plainAt);
    packed.set(this.#packed);
    packed.set(sections.plain.subarray(0, sections.plainAt), this.#packed.length);
    this.#runsAt.push(this.#packed.length);
    this.bytes += sections.plainAt;
    this.#packed = packed;
  }
}
