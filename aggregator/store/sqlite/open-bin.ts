/**
 * Rows of one series and one five-minute bin that are not sealed yet, held in memory as they came (the batch log has them
 * on disk). Input: runs of rows. Output: merged columns. Rows of the same time are one row; where a field was written
 * twice the later write wins; unknown (NaN) is no write.
 */
import { assert } from '../../../shared/assert.ts';

/** A field list, one object per distinct list, so that lists compare by identity. */
export interface Layout {
  fields: readonly string[];
  names: Set<string>;
}

export interface Columns {
  timesMs: Float64Array;
  columns: Map<string, Float64Array>;
}

/** Rows of one layout in the order they were written. */
interface Segment {
  layout: Layout;
  rows: number;
  timesMs: Float64Array;
  values: Float64Array;
  ascending: boolean;
}

/** Rows that a segment has room for at first: a few frames' worth. */
const ROWS_FIRST = 16;
/** What the objects around a segment weigh, about. */
const SEGMENT_BYTES = 400;

export class OpenBin {
  readonly startMs: number;
  /** Oldest entry of the batch log that holds rows of this bin: the log must be kept from there. */
  readonly oldestEntry: number;
  /** Memory held, bytes. */
  bytes = 0;
  readonly #segments: Segment[] = [];

  constructor(startMs: number, oldestEntry: number) {
    this.startMs = startMs;
    this.oldestEntry = oldestEntry;
  }

  /** Adds rows `from` to `to` (exclusive) of a block. */
  add(layout: Layout, timesMs: Float64Array, values: Float64Array, from: number, to: number): void {
    const segment = this.#segmentFor(layout);
    const width = layout.fields.length;
    const count = to - from;
    if (segment.rows + count > segment.timesMs.length) this.#grow(segment, segment.rows + count);
    for (let i = from, at = segment.rows; i < to; i++, at++) {
      const time = timesMs[i]!;
      if (at > 0 && time <= segment.timesMs[at - 1]!) segment.ascending = false;
      segment.timesMs[at] = time;
    }
    segment.values.set(values.subarray(from * width, to * width), segment.rows * width);
    segment.rows += count;
  }

  /** Rows held, repeated ones counted twice. */
  get rows(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.rows, 0);
  }

  /** Newest time held. */
  get newestMs(): number {
    let newest = Number.NEGATIVE_INFINITY;
    for (const { timesMs, rows } of this.#segments) for (let i = 0; i < rows; i++) newest = Math.max(newest, timesMs[i]!);
    return newest;
  }

  /** What was stored before, then everything here, merged; only the fields asked for when `fields` is given. */
  merge(stored: Columns | null, fields: readonly string[] | null): Columns {
    const timesMs = this.#times(stored?.timesMs ?? null);
    const out: Columns = { timesMs, columns: new Map() };
    if (stored) {
      for (const [name, from] of stored.columns) {
        if (fields && !fields.includes(name)) continue;
        const at = positions(stored.timesMs, stored.timesMs.length, timesMs);
        copyKnown(from, 0, 1, stored.timesMs.length, columnOf(out, name), at);
      }
    }
    for (const segment of this.#segments) {
      const at = segment.ascending && segment.rows === timesMs.length ? null : positions(segment.timesMs, segment.rows, timesMs);
      const names = segment.layout.fields;
      for (let field = 0; field < names.length; field++) {
        const name = names[field]!;
        if (fields && !fields.includes(name)) continue;
        copyKnown(segment.values, field, names.length, segment.rows, columnOf(out, name), at);
      }
    }
    return out;
  }

  /** Distinct times, ascending. */
  #times(stored: Float64Array | null): Float64Array {
    const only = this.#segments[0];
    if (!stored && this.#segments.length === 1 && only?.ascending) return only.timesMs.slice(0, only.rows);
    const all = new Float64Array((stored?.length ?? 0) + this.rows);
    let count = 0;
    if (stored) {
      all.set(stored);
      count = stored.length;
    }
    for (const segment of this.#segments) {
      all.set(segment.timesMs.subarray(0, segment.rows), count);
      count += segment.rows;
    }
    return distinct(all.sort());
  }

  /**
   * The segment that takes rows of this layout. An older one than the last may take them only if no younger one has a
   * field in common, since the order of writes decides which value stands.
   */
  #segmentFor(layout: Layout): Segment {
    for (let i = this.#segments.length - 1; i >= 0; i--) {
      const segment = this.#segments[i]!;
      if (segment.layout === layout) return segment;
      if (layout.fields.some((field) => segment.layout.names.has(field))) break;
    }
    const segment: Segment = { layout, rows: 0, timesMs: new Float64Array(0), values: new Float64Array(0), ascending: true };
    this.#segments.push(segment);
    this.bytes += SEGMENT_BYTES;
    return segment;
  }

  #grow(segment: Segment, rows: number): void {
    const room = Math.max(ROWS_FIRST, rows, Math.ceil(segment.timesMs.length * 1.5));
    const width = segment.layout.fields.length;
    const timesMs = new Float64Array(room);
    const values = new Float64Array(room * width);
    timesMs.set(segment.timesMs.subarray(0, segment.rows));
    values.set(segment.values.subarray(0, segment.rows * width));
    this.bytes += 8 * (room - segment.timesMs.length) * (1 + width);
    segment.timesMs = timesMs;
    segment.values = values;
  }
}

function columnOf(out: Columns, name: string): Float64Array {
  let column = out.columns.get(name);
  if (!column) {
    column = new Float64Array(out.timesMs.length).fill(Number.NaN);
    out.columns.set(name, column);
  }
  return column;
}

/** `at[i]` = row of the i-th value in the target; null = the same row. */
function copyKnown(from: Float64Array, first: number, stride: number, rows: number, to: Float64Array, at: Uint32Array | null): void {
  for (let i = 0, read = first; i < rows; i++, read += stride) {
    const value = from[read]!;
    if (!Number.isNaN(value)) to[at ? at[i]! : i] = value;
  }
}

/** Where each time stands in `all`: it is there, since `all` is the union. */
function positions(timesMs: Float64Array, rows: number, all: Float64Array): Uint32Array {
  const out = new Uint32Array(rows);
  let cursor = 0;
  for (let i = 0; i < rows; i++) {
    const time = timesMs[i]!;
    if (all[cursor]! > time) cursor = 0;
    if (all[cursor]! < time) cursor = firstNotBefore(all, time);
    assert(all[cursor] === time, `time ${time} is missing from the union`);
    out[i] = cursor;
    if (cursor + 1 < all.length) cursor++;
  }
  return out;
}

/** Index of the first element that is not below `value`; the length when all are. */
export function firstNotBefore(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Removes repeats from a sorted array. */
function distinct(sorted: Float64Array): Float64Array {
  let count = 0;
  for (let i = 0; i < sorted.length; i++) if (i === 0 || sorted[i] !== sorted[count - 1]) sorted[count++] = sorted[i]!;
  return sorted.slice(0, count);
}
