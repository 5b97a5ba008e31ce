/**
 * Rows of one series and one five-minute bin that are not sealed yet, held in memory as they came (the batch log has them
 * on disk). Input: runs of rows. Output: merged columns. Rows of the same time are one row; where a field was written
 * twice the later write wins; unknown (NaN) is no write.
 */
import { assert } from '../../../shared/assert.ts';
import { type ColumnRoom, newColumn } from './column-room.ts';
import { type Layout, RowSegment } from './row-segment.ts';

export interface Columns {
  timesMs: Float64Array;
  columns: Map<string, Float64Array>;
}

export class OpenBin {
  readonly startMs: number;
  /** Oldest entry of the batch log that holds rows of this bin: the log must be kept from there. */
  readonly oldestEntry: number;
  /** Memory held, bytes. */
  bytes = 0;
  readonly #segments: RowSegment[] = [];

  constructor(startMs: number, oldestEntry: number) {
    this.startMs = startMs;
    this.oldestEntry = oldestEntry;
  }

  /** Adds `count` rows: times from `timesAt`, values (row-major) from `valuesAt` of `numbers`. `tight`: memory is short. */
  add(layout: Layout, numbers: Float64Array, timesAt: number, valuesAt: number, count: number, tight = false): void {
    const segment = this.#segmentFor(layout, count);
    const before = segment.bytes;
    segment.add(numbers, timesAt, valuesAt, count, tight);
    this.bytes += segment.bytes - before;
  }

  /** What was stored before, then everything here, merged; only the fields asked for when `fields` is given. */
  merge(stored: Columns | null, fields: readonly string[] | null, room: ColumnRoom = newColumn): Columns {
    const [only] = this.#segments;
    if (!stored && this.#segments.length === 1 && only?.ascending) return asWritten(only, fields, room);
    const timesOf = this.#segments.map((segment) => segment.times(room));
    const timesMs = union(stored ? [stored.timesMs, ...timesOf] : timesOf);
    const out: Columns = { timesMs, columns: new Map() };
    const add = (name: string, values: Float64Array, at: Uint32Array) => copyKnown(values, columnOf(out, name, room), at);
    if (stored) {
      const at = positions(stored.timesMs, timesMs);
      for (const [name, values] of stored.columns) if (!fields || fields.includes(name)) add(name, values, at);
    }
    for (const [i, segment] of this.#segments.entries()) {
      // The rule for a VM: its rows have every time there is, and a row of forecasts joins one of them.
      const whole = segment.ascending && segment.rows === timesMs.length;
      let at: Uint32Array | null = null;
      for (const [place, name] of segment.layout.fields.entries()) {
        if (fields && !fields.includes(name)) continue;
        if (whole && !out.columns.has(name)) {
          out.columns.set(name, segment.values(place, room));
          continue;
        }
        at ??= positions(timesOf[i]!, timesMs);
        add(name, segment.values(place, room), at);
      }
    }
    return out;
  }

  /**
   * The segment that takes rows of this layout. An older one than the last may take them only if no younger one has a
   * field in common, since the order of writes decides which value stands.
   */
  #segmentFor(layout: Layout, rowsFirst: number): RowSegment {
    for (let i = this.#segments.length - 1; i >= 0; i--) {
      const segment = this.#segments[i]!;
      if (segment.layout === layout) return segment;
      if (layout.fields.some((field) => segment.layout.names.has(field))) break;
    }
    const segment = new RowSegment(layout, rowsFirst);
    this.#segments.push(segment);
    this.bytes += segment.bytes;
    return segment;
  }
}

function asWritten(segment: RowSegment, fields: readonly string[] | null, room: ColumnRoom): Columns {
  const columns = new Map<string, Float64Array>();
  for (const [place, name] of segment.layout.fields.entries()) {
    if (!fields || fields.includes(name)) columns.set(name, segment.values(place, room));
  }
  return { timesMs: segment.times(room), columns };
}

/** Distinct times of all lists, ascending. Mostly one of them has all there are. */
function union(lists: readonly Float64Array[]): Float64Array {
  const longest = lists.reduce((a, b) => (b.length > a.length ? b : a));
  if (ascends(longest) && lists.every((list) => list === longest || list.every((time) => longest[firstNotBefore(longest, time)] === time)))
    return longest;
  const all = new Float64Array(lists.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const list of lists) {
    all.set(list, at);
    at += list.length;
  }
  return distinct(all.sort());
}

function ascends(times: Float64Array): boolean {
  for (let i = 1; i < times.length; i++) if (!(times[i]! > times[i - 1]!)) return false;
  return true;
}

function columnOf(out: Columns, name: string, room: ColumnRoom): Float64Array {
  let column = out.columns.get(name);
  if (!column) {
    column = room(out.timesMs.length).fill(Number.NaN);
    out.columns.set(name, column);
  }
  return column;
}

/** `at[i]` = row of the i-th value in the target. */
function copyKnown(from: Float64Array, to: Float64Array, at: Uint32Array): void {
  for (let i = 0; i < from.length; i++) {
    const value = from[i]!;
    if (!Number.isNaN(value)) to[at[i]!] = value;
  }
}

/** Where each time stands in `all`: it is there, since `all` is the union. */
function positions(timesMs: Float64Array, all: Float64Array): Uint32Array {
  const out = new Uint32Array(timesMs.length);
  let cursor = 0;
  for (let i = 0; i < timesMs.length; i++) {
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
