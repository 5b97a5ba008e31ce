/**
 * One column of numbers as bytes, without loss. Input: Float64 values, NaN = unknown. Output: bytes laid out so that a
 * general compressor finds the order in them (bytes of equal weight side by side: planes), and back. Most telemetry is
 * constant, whole, or rounded to some decimals: such columns become small integers first (the idea of ALP, Afroozeh and
 * Boncz, SIGMOD 2023, "ALP: Adaptive Lossless floating-Point Compression"); anything else keeps its eight bytes. Planes
 * that are noise go to a section of their own, which nobody tries to compress: mixed in, they spoil the rest.
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

/** Where columns are written: what may compress, and what will not. */
export interface Sections {
  plain: Uint8Array;
  plainAt: number;
  noise: Uint8Array;
  noiseAt: number;
}

/** A plane this close to the most entropy that so many bytes can show is noise: a compressor would gain under a tenth. */
const NOISE_SHARE = 0.9;
/** Fewer bytes show too little to tell: columns of fewer rows have nothing in the noise section. */
export const NOISE_BYTES_MIN = 64;

/** Scratch, grown as needed; the codec is synchronous and never nested. */
let known = new Float64Array(0);
let knownBytes = new Uint8Array(0);
let whole = new Float64Array(0);
let words = new Uint32Array(0);
let wordBytes = new Uint8Array(0);
const histogram = new Uint32Array(256);
const f64 = new Float64Array(1);
const f64Bytes = new Uint8Array(f64.buffer);

/** Bytes that `encodeColumn` may write at most for so many rows, to each section. */
export function encodedBytesMax(rows: number): number {
  return 32 + Math.ceil(rows / 8) + rows * 8;
}

function roomFor(rows: number): void {
  if (known.length >= rows) return;
  known = new Float64Array(rows);
  knownBytes = new Uint8Array(known.buffer);
  whole = new Float64Array(rows);
  words = new Uint32Array(rows);
  wordBytes = new Uint8Array(words.buffer);
}

/** Writes the column to both sections and moves their ends. */
export function encodeColumn(values: Float64Array, to: Sections): void {
  const rows = values.length;
  roomFor(rows);
  let count = 0;
  for (let i = 0; i < rows; i++) {
    const value = values[i]!;
    if (!Number.isNaN(value)) known[count++] = value;
  }
  const head = to.plainAt++;
  if (count === 0) {
    to.plain[head] = ALL_UNKNOWN;
    return;
  }
  const masked = count < rows ? MASKED : 0;
  if (masked) to.plainAt = writeMask(values, to.plain, to.plainAt);
  if (isConstant(count)) {
    to.plain[head] = CONSTANT | masked;
    to.plainAt = writeFloat(known[0]!, to.plain, to.plainAt);
    return;
  }
  const scale = findScale(count);
  if (scale >= 0) {
    to.plain[head] = SCALED | masked;
    writeScaled(count, scale, to);
  } else {
    to.plain[head] = PLANES | masked;
    writeFloats(count, to);
  }
}

/** Reads the column of `rows` values that begins at `offset` of the plain section into `out`, from `at` on. */
export function decodeColumn(plain: Uint8Array, offset: number, noise: Uint8Array, out: Float64Array, at: number, rows: number): void {
  const kind = plain[offset]! & 0x0f;
  const masked = (plain[offset]! & MASKED) !== 0;
  offset++;
  if (kind === ALL_UNKNOWN) {
    out.fill(Number.NaN, at, at + rows);
    return;
  }
  const maskAt = offset;
  let count = rows;
  if (masked) {
    offset += Math.ceil(rows / 8);
    count = 0;
    for (let i = maskAt; i < offset; i++) count += popCount(plain[i]!);
  }
  if (kind === CONSTANT) out.fill(readFloat(plain, offset), at, at + count);
  else if (kind === SCALED) readScaled(plain, offset, noise, out, at, count);
  else {
    assert(kind === PLANES, `column kind ${kind}`);
    readFloats(plain, offset, noise, out, at, count);
  }
  if (masked) spread(plain, maskAt, out, at, rows, count);
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

function writeScaled(count: number, scale: number, to: Sections): void {
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
  // Zigzag doubles a difference: differences must be well below the distances to be worth it.
  const differences = differenceSum * 2 < distanceSum;
  const base = differences ? whole[0]! : least;
  const width = byteWidth(differences ? differenceMost * 2 : most - least);
  to.plain[to.plainAt++] = scale;
  to.plain[to.plainAt++] = ((differences ? DIFFERENCES : FROM_LEAST) << 4) | width;
  to.plainAt = writeFloat(base, to.plain, to.plainAt);
  let before = base;
  for (let i = 0; i < count; i++) {
    const n = whole[i]!;
    if (differences) {
      const d = n - before;
      words[i] = d < 0 ? -2 * d - 1 : 2 * d;
      before = n;
    } else words[i] = n - base;
  }
  writePlanes(wordBytes, 4, width, count, to);
}

function readScaled(plain: Uint8Array, offset: number, noise: Uint8Array, out: Float64Array, at: number, count: number): void {
  const scale = SCALES[plain[offset]!]!;
  const differences = plain[offset + 1]! >> 4 === DIFFERENCES;
  const width = plain[offset + 1]! & 0x0f;
  const base = readFloat(plain, offset + 2);
  roomFor(count);
  words.fill(0, 0, count);
  readPlanes(plain, offset + 10, noise, wordBytes, 4, width, count);
  let before = base;
  for (let i = 0; i < count; i++) {
    const word = words[i]!;
    if (differences) {
      before += word % 2 === 1 ? -(word + 1) / 2 : word / 2;
      out[at + i] = before / scale;
    } else out[at + i] = (base + word) / scale;
  }
}

function byteWidth(most: number): number {
  return most < 2 ** 8 ? 1 : most < 2 ** 16 ? 2 : most < 2 ** 24 ? 3 : 4;
}

function writeFloats(count: number, to: Sections): void {
  writePlanes(knownBytes, 8, 8, count, to);
}

function readFloats(plain: Uint8Array, offset: number, noise: Uint8Array, out: Float64Array, at: number, count: number): void {
  readPlanes(plain, offset, noise, new Uint8Array(out.buffer, out.byteOffset + at * 8, count * 8), 8, 8, count);
}

/**
 * The lowest `width` bytes of `count` little-endian numbers of `size` bytes, plane by plane. First a byte that says which
 * planes are in the noise section, then, if any are, where (u32).
 */
function writePlanes(bytes: Uint8Array, size: number, width: number, count: number, to: Sections): void {
  const maskAt = to.plainAt++;
  const noiseFrom = to.noiseAt;
  // Room for the place in the noise section; given back when nothing goes there.
  let at = to.plainAt + 4;
  let mask = 0;
  for (let plane = 0; plane < width; plane++) {
    for (let i = 0, from = plane; i < count; i++, from += size) to.plain[at + i] = bytes[from]!;
    if (isNoise(to.plain, at, count)) {
      mask |= 1 << plane;
      to.noise.set(to.plain.subarray(at, at + count), to.noiseAt);
      to.noiseAt += count;
    } else at += count;
  }
  to.plain[maskAt] = mask;
  if (mask === 0) to.plain.copyWithin(to.plainAt, to.plainAt + 4, at);
  else writeUint32(noiseFrom, to.plain, to.plainAt);
  to.plainAt = mask === 0 ? at - 4 : at;
}

function readPlanes(
  plain: Uint8Array,
  offset: number,
  noise: Uint8Array,
  bytes: Uint8Array,
  size: number,
  width: number,
  count: number,
): void {
  const mask = plain[offset++]!;
  let noiseAt = 0;
  if (mask !== 0) {
    noiseAt = readUint32(plain, offset);
    offset += 4;
  }
  for (let plane = 0; plane < width; plane++) {
    const noisy = (mask & (1 << plane)) !== 0;
    const source = noisy ? noise : plain;
    const from = noisy ? noiseAt : offset;
    for (let i = 0, to = plane; i < count; i++, to += size) bytes[to] = source[from + i]!;
    if (noisy) noiseAt += count;
    else offset += count;
  }
}

/** Shannon's entropy of the bytes, against the most that so many bytes could have. */
function isNoise(bytes: Uint8Array, from: number, count: number): boolean {
  if (count < NOISE_BYTES_MIN) return false;
  histogram.fill(0);
  for (let i = from; i < from + count; i++) histogram[bytes[i]!]!++;
  let sum = 0;
  for (let i = 0; i < 256; i++) {
    const n = histogram[i]!;
    if (n > 1) sum += n * Math.log2(n);
  }
  return Math.log2(count) - sum / count >= NOISE_SHARE * Math.log2(Math.min(256, count));
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
function spread(source: Uint8Array, maskAt: number, out: Float64Array, at: number, rows: number, count: number): void {
  for (let row = rows - 1, from = count - 1; row >= 0; row--) {
    out[at + row] = source[maskAt + (row >> 3)]! & (1 << (row & 7)) ? out[at + from--]! : Number.NaN;
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

function writeUint32(value: number, target: Uint8Array, offset: number): void {
  for (let i = 0; i < 4; i++) target[offset + i] = value >>> (8 * i);
}

function readUint32(source: Uint8Array, offset: number): number {
  return (source[offset]! | (source[offset + 1]! << 8) | (source[offset + 2]! << 16) | (source[offset + 3]! << 24)) >>> 0;
}
