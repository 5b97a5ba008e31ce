/**
 * Model state as bytes and back, exactly. Every forecaster keeps all it has learnt in typed arrays; this writes them in
 * order behind a header that names the format, and refuses bytes of another format, size or content. Little-endian, as every
 * machine Node 24 runs on.
 */
import { crc32 } from 'node:zlib';
import { HeadroomError } from '../../../shared/errors.ts';

export type StateArray = Float64Array | Float32Array | Uint16Array | Int32Array;

/** Magic, checksum, length of the tag; the tag itself follows, padded to 8 bytes. */
const HEADER_BYTES = 12;
/** "HRFC": the checksum is CRC-32, which the machine reckons a hundred times as fast as we can. */
const MAGIC = 0x43465248;
/** "HRFM": what older programs wrote, with a checksum of their own. */
const OLDER_MAGIC = 0x4d465248;

/** `tag` names forecaster, format version and everything the layout depends on (step, seasons). */
export function packState(tag: string, arrays: readonly StateArray[]): Uint8Array {
  const tagBytes = bytesOfTag(tag);
  const start = padded(HEADER_BYTES + tagBytes.length);
  let size = start;
  for (let i = 0; i < arrays.length; i++) size += padded(arrays[i]!.byteLength);
  const bytes = new Uint8Array(size);
  bytes.set(tagBytes, HEADER_BYTES);
  let at = start;
  for (let i = 0; i < arrays.length; i++) {
    const array = arrays[i]!;
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += padded(array.byteLength);
  }
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(8, tagBytes.length, true);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** Fills `arrays` from bytes that `packState` made with the same tag. STORE_CORRUPT otherwise; then nothing was changed. */
export function unpackState(tag: string, bytes: Uint8Array, arrays: readonly StateArray[]): void {
  const tagBytes = bytesOfTag(tag);
  const start = padded(HEADER_BYTES + tagBytes.length);
  const size = start + arrays.reduce((sum, array) => sum + padded(array.byteLength), 0);
  const refuse = (why: string): never => {
    throw new HeadroomError('STORE_CORRUPT', `model state cannot be read: ${why}; start this series' model afresh`);
  };
  if (bytes.byteLength < HEADER_BYTES) refuse(`only ${bytes.byteLength} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const magic = view.getUint32(0, true);
  if (magic !== MAGIC && magic !== OLDER_MAGIC) refuse('it is not model state');
  const tagLength = view.getUint32(8, true);
  const found = new TextDecoder().decode(bytes.subarray(HEADER_BYTES, Math.min(bytes.byteLength, HEADER_BYTES + tagLength)));
  if (found !== tag) refuse(`it was written as "${found.slice(0, 80)}", expected "${tag}"`);
  if (bytes.byteLength !== size) refuse(`${bytes.byteLength} bytes, expected ${size}`);
  const checksum = magic === MAGIC ? crc32 : olderChecksum;
  if (view.getUint32(4, true) !== checksum(bytes.subarray(8))) refuse('its checksum does not match');
  let at = start;
  for (const array of arrays) {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(bytes.subarray(at, at + array.byteLength));
    at += padded(array.byteLength);
  }
}

/** A fleet's models share a few tags, and each is written thousands of times: one for each family, step and season. */
const TAG_BYTES = new Map<string, Uint8Array>();
/** More tags than any configuration has: then one makes them up. */
const TAGS_MAX = 256;

function bytesOfTag(tag: string): Uint8Array {
  const known = TAG_BYTES.get(tag);
  if (known !== undefined) return known;
  if (TAG_BYTES.size >= TAGS_MAX) TAG_BYTES.clear();
  const bytes = new TextEncoder().encode(tag);
  TAG_BYTES.set(tag, bytes);
  return bytes;
}

export function bytesOf(arrays: readonly StateArray[]): number {
  return arrays.reduce((sum, array) => sum + array.byteLength, 0);
}

/** Arrays begin at multiples of eight. */
export const padded = (bytes: number): number => (bytes + 7) & ~7;

/** FNV-1a over bytes, 32 bits. Like CRC-32 against truncation and bit rot, not against malice. */
function olderChecksum(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}
