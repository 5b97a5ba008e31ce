/**
 * Telemetry blocks as one buffer and back: what crosses to the store's worker and what the batch log keeps, so that blocks
 * are laid out once. Series and field lists are numbers (block-names.ts). Values are little-endian Float64 at offsets
 * divisible by eight: whoever reads them does so in place, and no object is made per block.
 *
 *     u32 version, u32 numbering, u32 bytes of new names, u32 blocks, f64 least time, f64 greatest time,
 *     new names (JSON, mostly none) padded to 8,
 *     then per block: u32 series, u32 layout, u32 rows, u32 0, times, values (row-major)
 */
import { assert } from '../../../shared/assert.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { TelemetryBlock } from '../../../shared/telemetry.ts';
import { checkShape } from '../blocks.ts';
import type { NameTable, NameWriter, NewNames } from './block-names.ts';

const VERSION = 3;
const HEADER_BYTES = 32;
/** In numbers of eight bytes. */
const BLOCK_HEADER = 2;
/** Fewer numbers than this are copied faster one by one than by a call. */
const COPIED_SINGLY_MAX = 32;

/** A buffer looked into; blocks are found by `eachBlock`. */
export interface BlockGroup {
  readonly bytes: Uint8Array;
  readonly names: NameTable;
  readonly blocks: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** All of the buffer. */
  readonly numbers: Float64Array;
  readonly words: Uint32Array;
  readonly bodyAt: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What `encodeBlocks` takes at most for these, without names. */
export function encodedBytes(blocks: readonly TelemetryBlock[]): number {
  let length = HEADER_BYTES >> 3;
  for (const { timesMs, values } of blocks) length += BLOCK_HEADER + timesMs.length + values.length;
  return 8 * length;
}

/**
 * Throws FRAME_INVALID when a block's arrays do not fit together or a time is not a whole number of milliseconds. Names
 * that are new are in the bytes: they must reach the reader, and in this order.
 */
export function encodeBlocks(blocks: readonly TelemetryBlock[], names: NameWriter): Uint8Array<ArrayBuffer> {
  let leastMs = Number.POSITIVE_INFINITY;
  let mostMs = Number.NEGATIVE_INFINITY;
  for (const block of blocks) {
    const { timesMs } = block;
    checkShape(block);
    for (let row = 0; row < timesMs.length; row++) {
      const timeMs = timesMs[row]!;
      if (timeMs < leastMs) leastMs = timeMs;
      if (timeMs > mostMs) mostMs = timeMs;
    }
  }
  names.begin();
  const heads = new Uint32Array(blocks.length * 2);
  for (let i = 0; i < blocks.length; i++) {
    heads[2 * i] = names.series(blocks[i]!);
    heads[2 * i + 1] = names.layout(blocks[i]!.fields);
  }
  const news = names.takeNews();
  const named = news === null ? new Uint8Array(0) : encoder.encode(news);
  const bodyAt = (HEADER_BYTES + named.length + 7) >> 3;
  const out = new Uint8Array(encodedBytes(blocks) - HEADER_BYTES + 8 * bodyAt);
  const numbers = new Float64Array(out.buffer);
  const words = new Uint32Array(out.buffer);
  words.set([VERSION, 0, named.length, blocks.length]);
  numbers[2] = leastMs;
  numbers[3] = mostMs;
  out.set(named, HEADER_BYTES);
  let at = bodyAt;
  for (let i = 0; i < blocks.length; i++) {
    const { timesMs, values } = blocks[i]!;
    words[2 * at] = heads[2 * i]!;
    words[2 * at + 1] = heads[2 * i + 1]!;
    words[2 * at + 2] = timesMs.length;
    at = copied(timesMs, numbers, at + BLOCK_HEADER);
    at = copied(values, numbers, at);
  }
  return out;
}

/** Answers where the next number goes. */
function copied(from: Float64Array, to: Float64Array, at: number): number {
  if (from.length > COPIED_SINGLY_MAX) to.set(from, at);
  else for (let i = 0; i < from.length; i++) to[at + i] = from[i]!;
  return at + from.length;
}

/** New names that came with the bytes, as they stand there; null when there are none. */
export function newNamesIn(bytes: Uint8Array): { text: string; news: NewNames } | null {
  const length = wordsOf(bytes, 4)[2]!;
  if (length === 0) return null;
  const text = decoder.decode(bytes.subarray(HEADER_BYTES, HEADER_BYTES + length));
  return { text, news: JSON.parse(text) };
}

/** The numbering that the bytes' numbers belong to, as the batch log has stamped it. */
export function numberingOf(bytes: Uint8Array): number {
  return wordsOf(aligned(bytes), 4)[1]!;
}

export function stampNumbering(bytes: Uint8Array, numbering: number): void {
  wordsOf(bytes, 4)[1] = numbering;
}

/** Looks into bytes (copied only when they do not lie at a multiple of eight). Throws STORE_CORRUPT on bytes that `encodeBlocks` did not write. */
export function openGroup(bytes: Uint8Array, names: NameTable): BlockGroup {
  try {
    return opened(aligned(bytes), names);
  } catch (error) {
    throw new HeadroomError('STORE_CORRUPT', 'an entry of the batch log is damaged; its rows are left out', { cause: error });
  }
}

function opened(bytes: Uint8Array, names: NameTable): BlockGroup {
  const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  const words = wordsOf(bytes, 2 * numbers.length);
  const [version, , namesBytes, blocks] = words as unknown as [number, number, number, number];
  assert(version === VERSION, `block bytes of version ${version}`);
  const bodyAt = (HEADER_BYTES + namesBytes + 7) >> 3;
  const group: BlockGroup = { bytes, names, blocks, leastMs: numbers[2]!, mostMs: numbers[3]!, numbers, words, bodyAt };
  let end = bodyAt;
  eachBlock(group, (series, layout, rows, timesAt) => {
    assert(series < names.series.length, `series ${series} has no name`);
    end = timesAt + rows * (1 + names.layouts[layout]!.length);
  });
  assert(end === numbers.length, `${numbers.length} numbers where ${end} belong`);
  return group;
}

/** Calls back for each block: its numbers, its rows, and where its times begin in `numbers`; values (row-major) follow them. */
export function eachBlock(group: BlockGroup, use: (series: number, layout: number, rows: number, timesAt: number) => void): void {
  const { words, names } = group;
  let at = group.bodyAt;
  for (let i = 0; i < group.blocks; i++) {
    const series = words[2 * at]!;
    const layout = words[2 * at + 1]!;
    const rows = words[2 * at + 2]!;
    const timesAt = at + BLOCK_HEADER;
    use(series, layout, rows, timesAt);
    at = timesAt + rows * (1 + names.layouts[layout]!.length);
  }
}

/** The group without rows before `leastMs` (counted as too late) or after `mostMs` (future). */
export function timelyGroup(group: BlockGroup, leastMs: number, mostMs: number, refused: Record<string, number>): BlockGroup {
  const { numbers, names } = group;
  // What is left takes no more room, new names stay where they are.
  const kept = new Float64Array(numbers.length);
  const words = new Uint32Array(kept.buffer);
  kept.set(numbers.subarray(0, group.bodyAt));
  let at = group.bodyAt;
  let blocks = 0;
  let oldestMs = Number.POSITIVE_INFINITY;
  let newestMs = Number.NEGATIVE_INFINITY;
  eachBlock(group, (series, layout, rows, timesAt) => {
    const width = names.layouts[layout]!.length;
    const timely: number[] = [];
    for (let row = 0; row < rows; row++) {
      const timeMs = numbers[timesAt + row]!;
      const reason = timeMs < leastMs ? 'too-late' : timeMs > mostMs ? 'future' : null;
      if (reason === null) timely.push(row);
      else refused[reason] = (refused[reason] ?? 0) + 1;
    }
    if (timely.length === 0) return;
    blocks++;
    words.set([series, layout, timely.length], 2 * at);
    at += BLOCK_HEADER;
    for (const row of timely) {
      const timeMs = numbers[timesAt + row]!;
      oldestMs = Math.min(oldestMs, timeMs);
      newestMs = Math.max(newestMs, timeMs);
      kept[at++] = timeMs;
    }
    for (const row of timely) {
      const from = timesAt + rows + row * width;
      kept.set(numbers.subarray(from, from + width), at);
      at += width;
    }
  });
  words[3] = blocks;
  kept[2] = oldestMs;
  kept[3] = newestMs;
  return opened(new Uint8Array(kept.buffer, 0, 8 * at), names);
}

function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 8 === 0 ? bytes : bytes.slice();
}

function wordsOf(bytes: Uint8Array, count: number): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, count);
}
