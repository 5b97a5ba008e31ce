/**
 * Telemetry blocks as one self-contained buffer and back: what crosses to the store's worker and what the batch log keeps,
 * so that blocks are laid out once. Field lists and series are named once per buffer. Numbers are little-endian Float64
 * at offsets divisible by eight: whoever reads them does so in place, and no object is made per block.
 *
 *     u32 version, u32 bytes of names, u32 blocks, u32 rows, f64 least time, f64 greatest time,
 *     names (JSON {layouts, series}) padded to 8,
 *     then per block: u32 series, u32 layout, u32 rows, u32 0, times, values (row-major)
 */
import { assert } from '../../../shared/assert.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import { type Source, type Subject, seriesKey, type TelemetryBlock } from '../../../shared/telemetry.ts';
import { checkShape } from '../blocks.ts';

const VERSION = 2;
const HEADER_BYTES = 32;
/** In numbers of eight bytes. */
const BLOCK_HEADER = 2;
/** Fewer numbers than this are copied faster one by one than by a call. */
const COPIED_SINGLY_MAX = 32;

interface Names {
  layouts: (readonly string[])[];
  series: [kind: Subject['kind'], id: string, source: Source][];
}

/** A buffer looked into; blocks are found by `eachBlock`. */
export interface BlockGroup {
  readonly layouts: readonly (readonly string[])[];
  readonly series: readonly { subject: Subject; source: Source }[];
  readonly blocks: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** All of the buffer. */
  readonly numbers: Float64Array;
  readonly bodyAt: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Throws FRAME_INVALID when a block's arrays do not fit together or a time is not a whole number of milliseconds. */
export function encodeBlocks(blocks: readonly TelemetryBlock[]): Uint8Array<ArrayBuffer> {
  const names: Names = { layouts: [], series: [] };
  const layoutNumbers = new Map<readonly string[], number>();
  const seriesNumbers = new Map<string, number>();
  const heads = new Uint32Array(blocks.length * 2);
  let length = 0;
  let rows = 0;
  let leastMs = Number.POSITIVE_INFINITY;
  let mostMs = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i]!;
    const { timesMs } = block;
    checkShape(block);
    for (let row = 0; row < timesMs.length; row++) {
      const timeMs = timesMs[row]!;
      if (timeMs < leastMs) leastMs = timeMs;
      if (timeMs > mostMs) mostMs = timeMs;
    }
    heads[2 * i] = seriesNumber(block, names, seriesNumbers);
    heads[2 * i + 1] = layoutNumber(block, names, layoutNumbers);
    rows += timesMs.length;
    length += BLOCK_HEADER + timesMs.length + block.values.length;
  }
  const named = encoder.encode(JSON.stringify(names));
  const bodyAt = (HEADER_BYTES + named.length + 7) >> 3;
  const out = new Uint8Array(8 * (bodyAt + length));
  const numbers = new Float64Array(out.buffer);
  const words = new Uint32Array(out.buffer);
  words.set([VERSION, named.length, blocks.length, rows]);
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

/** Looks into bytes (copied only when they do not lie at a multiple of eight). Throws STORE_CORRUPT on bytes that `encodeBlocks` did not write. */
export function openGroup(bytes: Uint8Array): BlockGroup {
  try {
    return opened(bytes.byteOffset % 8 === 0 ? bytes : bytes.slice());
  } catch (error) {
    throw new HeadroomError('STORE_CORRUPT', 'an entry of the batch log is damaged; its rows are left out', { cause: error });
  }
}

function opened(bytes: Uint8Array): BlockGroup {
  const numbers = new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3);
  const [version, namesBytes, blocks] = new Uint32Array(bytes.buffer, bytes.byteOffset, 4) as unknown as [number, number, number];
  assert(version === VERSION, `block bytes of version ${version}`);
  const names: Names = JSON.parse(decoder.decode(bytes.subarray(HEADER_BYTES, HEADER_BYTES + namesBytes)));
  const group: BlockGroup = {
    layouts: names.layouts,
    series: names.series.map(([kind, id, source]) => ({ subject: { kind, id }, source })),
    blocks,
    leastMs: numbers[2]!,
    mostMs: numbers[3]!,
    numbers,
    bodyAt: (HEADER_BYTES + namesBytes + 7) >> 3,
  };
  let end = group.bodyAt;
  eachBlock(group, (series, layout, rows, timesAt) => {
    assert(series < group.series.length, `series ${series} has no name`);
    end = timesAt + rows * (1 + group.layouts[layout]!.length);
  });
  assert(end === numbers.length, `${numbers.length} numbers where ${end} belong`);
  return group;
}

/** Calls back for each block: places of its names, its rows, and where its times begin in `numbers`; values (row-major) follow them. */
export function eachBlock(group: BlockGroup, use: (series: number, layout: number, rows: number, timesAt: number) => void): void {
  const { numbers, layouts } = group;
  const words = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length * 2);
  let at = group.bodyAt;
  for (let i = 0; i < group.blocks; i++) {
    const series = words[2 * at]!;
    const layout = words[2 * at + 1]!;
    const rows = words[2 * at + 2]!;
    const timesAt = at + BLOCK_HEADER;
    use(series, layout, rows, timesAt);
    at = timesAt + rows * (1 + layouts[layout]!.length);
  }
}

/** Blocks as views into the group's numbers; blocks of one field list share one array. */
export function blocksOf(group: BlockGroup): TelemetryBlock[] {
  const { numbers, layouts, series } = group;
  const blocks: TelemetryBlock[] = [];
  eachBlock(group, (name, layout, rows, timesAt) => {
    const fields = layouts[layout]!;
    const valuesAt = timesAt + rows;
    const timesMs = numbers.subarray(timesAt, valuesAt);
    const values = numbers.subarray(valuesAt, valuesAt + rows * fields.length);
    blocks.push({ ...series[name]!, fields, timesMs, values });
  });
  return blocks;
}

function seriesNumber(block: TelemetryBlock, names: Names, numbers: Map<string, number>): number {
  const key = seriesKey(block.subject, block.source);
  let number = numbers.get(key);
  if (number === undefined) {
    number = names.series.length;
    numbers.set(key, number);
    names.series.push([block.subject.kind, block.subject.id, block.source]);
  }
  return number;
}

/** Field lists are told apart by identity first: blocks of one connection share their list. */
function layoutNumber(block: TelemetryBlock, names: Names, numbers: Map<readonly string[], number>): number {
  let number = numbers.get(block.fields);
  if (number !== undefined) return number;
  number = names.layouts.findIndex((other) => sameNames(other, block.fields));
  if (number < 0) {
    number = names.layouts.length;
    names.layouts.push(block.fields);
  }
  numbers.set(block.fields, number);
  return number;
}

function sameNames(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((name, i) => name === b[i]);
}
