/**
 * One column of numbers as bytes, without loss. Input: Float64 values, NaN = unknown. Output: bytes laid out so that a
 * general compressor finds the order in them (bytes of equal weight side by side), and back. Most telemetry is constant,
 * whole, or rounded to some decimals: such columns become small integers first (the idea of ALP, Afroozeh and Boncz,
 * SIGMOD 2023, "ALP: Adaptive Lossless floating-Point Compression"); anything else keeps its eight bytes.
 */
import { assert } from '../../../shared/assert.ts';

/** How the known values are kept. */
const ALL_UNKNOWN = 0;
const CONSTANT = 1;
const SCALED = 2;
const PLANES = 3;
/** Set when only some rows are known: a bitmap of the known ones comes first. */
const MASKED = 0x10;

/** Scaled integers: as distance from the least, or as differences from row to row (zigzag). */
const FROM_LEAST = 0;
const DIFFERENCES = 1;

/** What values are multiplied by to become whole: decimals that people and drivers round to, and KiB kept as MiB. */
const SCALES = [1, 10, 100, 1000, 1e4, 1024, 1e5, 1e6] as const;
/** Span of scaled integers: a difference within it still fits 32 bits after zigzag. */
const SPAN_MAX = 2 ** 31 - 1;

/** Scratch of the encoder, grown as needed; encoding is synchronous and never nested. */
let known = new Float64Array(0);
let whole = new Float64Array(0);
const f64 = new Float64Array(1);
const f64Bytes = new Uint8Array(f64.buffer);

/** Bytes that `encodeColumn` may write at most for so many rows. */
export function encodedBytesMax(rows: number): number {
  return 32 + Math.ceil(rows / 8) + rows * 8;
}

/** Writes the column at `offset`; answers the offset behind it. */
export function encodeColumn(values: Float64Array, target: Uint8Array, offset: number): number {
  const rows = values.length;
  if (known.length < rows) {
    known = new Float64Array(rows);
    whole = new Float64Array(rows);
  }
  let count = 0;
  for (let i = 0; i < rows; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) known[count++] = value;
  }
  if (count === 0) {
    target[offset] = ALL_UNKNOWN;
    return offset + 1;
  }
  const masked = count < rows ? MASKED : 0;
  const head = offset++;
  if (masked) offset = writeMask(values, target, offset);
  if (isConstant(count)) {
    target[head] = CONSTANT | masked;
    return writeFloat(known[0]!, target, offset);
  }
  const scale = findScale(count);
  if (scale >= 0) {
    target[head] = SCALED | masked;
    return writeScaled(count, scale, target, offset);
  }
  target[head] = PLANES | masked;
  return writePlanes(count, target, offset);
}

/** Reads a column of `rows` values that begins at `offset`. */
export function decodeColumn(source: Uint8Array, offset: number, rows: number): Float64Array {
  const out = new Float64Array(rows);
  const kind = source[offset]! & 0x0f;
  const masked = (source[offset]! & MASKED) !== 0;
  offset++;
  if (kind === ALL_UNKNOWN) return out.fill(Number.NaN);
  const maskAt = offset;
  let count = rows;
  if (masked) {
    offset += Math.ceil(rows / 8);
    count = 0;
    for (let i = maskAt; i < offset; i++) count += popCount(source[i]!);
  }
  if (kind === CONSTANT) out.fill(readFloat(source, offset), 0, count);
  else if (kind === SCALED) readScaled(source, offset, out, count);
  else {
    assert(kind === PLANES, `column kind ${kind}`);
    readPlanes(source, offset, out, count);
  }
  if (masked) spread(source, maskAt, out, count);
  return out;
}

/** Negative zero and other bit patterns count as different: nothing may change on the way through. */
function isConstant(count: number): boolean {
  const first = known[0]!;
  for (let i = 1; i < count; i++) if (known[i] !== first) return false;
  if (first !== 0) return true;
  for (let i = 1; i < count; i++) if (!Object.is(known[i], first)) return false;
  return true;
}

/** Index of the first scale that makes all known values whole and gives each back exactly; -1 = none. Fills `whole`. */
function findScale(count: number): number {
  for (let index = 0; index < SCALES.length; index++) if (scaleFits(count, SCALES[index]!)) return index;
  return -1;
}

function scaleFits(count: number, scale: number): boolean {
  let least = Number.POSITIVE_INFINITY;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    const value = known[i]!;
    const n = Math.round(value * scale);
    if (n / scale !== value || Math.abs(n) > Number.MAX_SAFE_INTEGER || (n === 0 && Object.is(value, -0))) return false;
    whole[i] = n;
    if (n < least) least = n;
    if (n > most) most = n;
  }
  return most - least <= SPAN_MAX;
}

function writeScaled(count: number, scale: number, target: Uint8Array, offset: number): number {
  let least = whole[0]!;
  let most = least;
  let differenceMost = 0;
  let differenceSum = 0;
  let distanceSum = 0;
  for (let i = 1; i < count; i++) {
    const n = whole[i]!;
    if (n < least) least = n;
    if (n > most) most = n;
    const difference = Math.abs(n - whole[i - 1]!);
    differenceSum += difference;
    if (difference > differenceMost) differenceMost = difference;
  }
  for (let i = 0; i < count; i++) distanceSum += whole[i]! - least;
  // Zigzag doubles a difference; half the span is what a distance costs on average when there is no order.
  const differences = differenceSum * 2 < distanceSum;
  const base = differences ? whole[0]! : least;
  const width = byteWidth(differences ? differenceMost * 2 : most - least);
  target[offset++] = scale;
  target[offset++] = ((differences ? DIFFERENCES : FROM_LEAST) << 4) | width;
  offset = writeFloat(base, target, offset);
  let before = base;
  for (let i = 0; i < count; i++) {
    const n = whole[i]!;
    let word: number;
    if (differences) {
      const d = n - before;
      word = d < 0 ? -2 * d - 1 : 2 * d;
      before = n;
    } else word = n - base;
    for (let plane = 0, at = offset + i; plane < width; plane++, at += count) {
      target[at] = word & 0xff;
      word >>>= 8;
    }
  }
  return offset + width * count;
}

function readScaled(source: Uint8Array, offset: number, out: Float64Array, count: number): void {
  const scale = SCALES[source[offset]!]!;
  const differences = source[offset + 1]! >> 4 === DIFFERENCES;
  const width = source[offset + 1]! & 0x0f;
  const base = readFloat(source, offset + 2);
  const at = offset + 10;
  let before = base;
  for (let i = 0; i < count; i++) {
    let word = source[at + i]!;
    if (width > 1) word |= source[at + count + i]! << 8;
    if (width > 2) word |= source[at + 2 * count + i]! << 16;
    if (width > 3) word += source[at + 3 * count + i]! * 0x1000000;
    if (differences) {
      before += word % 2 === 1 ? -(word + 1) / 2 : word / 2;
      out[i] = before / scale;
    } else out[i] = (base + word) / scale;
  }
}

function byteWidth(most: number): number {
  return most < 2 ** 8 ? 1 : most < 2 ** 16 ? 2 : most < 2 ** 24 ? 3 : 4;
}

function writePlanes(count: number, target: Uint8Array, offset: number): number {
  const bytes = new Uint8Array(known.buffer, 0, count * 8);
  for (let plane = 0; plane < 8; plane++) {
    for (let i = 0, from = plane; i < count; i++, from += 8) target[offset++] = bytes[from]!;
  }
  return offset;
}

function readPlanes(source: Uint8Array, offset: number, out: Float64Array, count: number): void {
  const bytes = new Uint8Array(out.buffer, 0, count * 8);
  for (let plane = 0; plane < 8; plane++) {
    for (let i = 0, to = plane; i < count; i++, to += 8) bytes[to] = source[offset++]!;
  }
}

function writeMask(values: Float64Array, target: Uint8Array, offset: number): number {
  const end = offset + Math.ceil(values.length / 8);
  target.fill(0, offset, end);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) target[offset + (i >> 3)]! |= 1 << (i & 7);
  }
  return end;
}

/** Moves the packed values to the rows of the mask, from the back so that nothing is overwritten too early. */
function spread(source: Uint8Array, maskAt: number, out: Float64Array, count: number): void {
  for (let row = out.length - 1, from = count - 1; row >= 0; row--) {
    out[row] = source[maskAt + (row >> 3)]! & (1 << (row & 7)) ? out[from--]! : Number.NaN;
  }
}

function popCount(byte: number): number {
  let bits = byte;
  let count = 0;
  for (; bits; bits &= bits - 1) count++;
  return count;
}

function writeFloat(value: number, target: Uint8Array, offset: number): number {
  f64[0] = value;
  target.set(f64Bytes, offset);
  return offset + 8;
}

function readFloat(source: Uint8Array, offset: number): number {
  for (let i = 0; i < 8; i++) f64Bytes[i] = source[offset + i]!;
  return f64[0]!;
}
