/**
 * Telemetry blocks as one self-contained buffer and back: what crosses to the store's worker and what the batch log keeps,
 * so that blocks are laid out once. Field lists and series are named once per buffer. Numbers are little-endian Float64
 * at offsets divisible by eight: reading makes views, no copies.
 *
 *     u32 version, u32 bytes of names, u32 blocks, u32 rows, names (JSON {layouts, series}) padded to 8,
 *     then per block: u32 series, u32 layout, u32 rows, u32 0, times, values (row-major)
 */
import { assert } from '../../../shared/assert.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import { type Source, type Subject, seriesKey, type TelemetryBlock } from '../../../shared/telemetry.ts';
import { checkShape } from '../blocks.ts';

const VERSION = 1;
const HEADER_BYTES = 16;
const BLOCK_HEADER_BYTES = 16;

interface Names {
  layouts: (readonly string[])[];
  series: [kind: Subject['kind'], id: string, source: Source][];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Throws FRAME_INVALID when a block's arrays do not fit together or a time is not a whole number of milliseconds. */
export function encodeBlocks(blocks: readonly TelemetryBlock[]): Uint8Array<ArrayBuffer> {
  const names: Names = { layouts: [], series: [] };
  const layoutNumbers = new Map<readonly string[], number>();
  const seriesNumbers = new Map<string, number>();
  const heads = new Uint32Array(blocks.length * 2);
  let bytes = 0;
  let rows = 0;
  for (let i = 0; i < blocks.length; i++) {
    const block = blocks[i]!;
    checkShape(block);
    heads[2 * i] = seriesNumber(block, names, seriesNumbers);
    heads[2 * i + 1] = layoutNumber(block, names, layoutNumbers);
    rows += block.timesMs.length;
    bytes += BLOCK_HEADER_BYTES + 8 * (block.timesMs.length + block.values.length);
  }
  const named = encoder.encode(JSON.stringify(names));
  const bodyAt = (HEADER_BYTES + named.length + 7) & ~7;
  const out = new Uint8Array(bodyAt + bytes);
  new Uint32Array(out.buffer, 0, 4).set([VERSION, named.length, blocks.length, rows]);
  out.set(named, HEADER_BYTES);
  let at = bodyAt;
  for (let i = 0; i < blocks.length; i++) {
    const { timesMs, values } = blocks[i]!;
    new Uint32Array(out.buffer, at, 3).set([heads[2 * i]!, heads[2 * i + 1]!, timesMs.length]);
    at += BLOCK_HEADER_BYTES;
    new Float64Array(out.buffer, at, timesMs.length).set(timesMs);
    at += 8 * timesMs.length;
    new Float64Array(out.buffer, at, values.length).set(values);
    at += 8 * values.length;
  }
  return out;
}

/** Views into `bytes`; blocks of one field list share one array. Throws STORE_CORRUPT on bytes that `encodeBlocks` did not write. */
export function decodeBlocks(bytes: Uint8Array): TelemetryBlock[] {
  try {
    return readBlocks(bytes.byteOffset % 8 === 0 ? bytes : bytes.slice());
  } catch (error) {
    throw new HeadroomError('STORE_CORRUPT', 'an entry of the batch log is damaged; its rows are left out', { cause: error });
  }
}

function readBlocks(bytes: Uint8Array): TelemetryBlock[] {
  const [version, namesBytes, count] = new Uint32Array(bytes.buffer, bytes.byteOffset, 4) as unknown as [number, number, number];
  assert(version === VERSION, `block bytes of version ${version}`);
  const names: Names = JSON.parse(decoder.decode(bytes.subarray(HEADER_BYTES, HEADER_BYTES + namesBytes)));
  const subjects = names.series.map(([kind, id]): Subject => ({ kind, id }));
  let at = bytes.byteOffset + ((HEADER_BYTES + namesBytes + 7) & ~7);
  const blocks: TelemetryBlock[] = [];
  for (let i = 0; i < count; i++) {
    const [series, layout, rows] = new Uint32Array(bytes.buffer, at, 3) as unknown as [number, number, number];
    const fields = names.layouts[layout]!;
    at += BLOCK_HEADER_BYTES;
    const timesMs = new Float64Array(bytes.buffer, at, rows);
    at += 8 * rows;
    const values = new Float64Array(bytes.buffer, at, rows * fields.length);
    at += 8 * values.length;
    blocks.push({ subject: subjects[series]!, source: names.series[series]![2], fields, timesMs, values });
  }
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
