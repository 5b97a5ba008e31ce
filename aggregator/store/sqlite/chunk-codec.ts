/**
 * A group of columns of equal length as one stored blob: each column by the column codec, all together through zstd, with
 * a checksum, since SQLite's pages have none. Reading one column costs one decompression of its group, no more.
 *
 *     byte 0     0 = as is, 1 = zstd
 *     bytes 1–4  CRC-32 of what follows, little-endian
 *     payload    u32 offset of each column, then the columns
 */
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { HeadroomError } from '../../../shared/errors.ts';
import { decodeColumn, encodeColumn, encodedBytesMax } from './column-codec.ts';

const AS_IS = 0;
const ZSTD = 1;
const HEADER_BYTES = 5;
/** Below this a compressor's own frame and call cost more than they save. */
const COMPRESS_BYTES_MIN = 96;
/** Level 1: higher levels gained under 2 % on telemetry, since the column codec has already laid out the order. */
const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_contentSizeFlag]: 1 } };

let scratch = new Uint8Array(64 * 1024);

export function encodeGroup(columns: readonly Float64Array[]): Uint8Array {
  const rows = columns[0]?.length ?? 0;
  const most = columns.length * (4 + encodedBytesMax(rows));
  if (scratch.length < most) scratch = new Uint8Array(most * 2);
  const view = new DataView(scratch.buffer);
  let offset = columns.length * 4;
  for (let i = 0; i < columns.length; i++) {
    view.setUint32(i * 4, offset, true);
    offset = encodeColumn(columns[i]!, scratch, offset);
  }
  const plain = scratch.subarray(0, offset);
  const packed = offset < COMPRESS_BYTES_MIN ? plain : zstdCompressSync(plain, ZSTD_OPTIONS);
  const payload = packed.length < plain.length ? packed : plain;
  const out = new Uint8Array(HEADER_BYTES + payload.length);
  out[0] = payload === plain ? AS_IS : ZSTD;
  new DataView(out.buffer).setUint32(1, crc32(payload), true);
  out.set(payload, HEADER_BYTES);
  return out;
}

/** The columns at the given positions, each `rows` long. Throws STORE_CORRUPT when the bytes are not what was written. */
export function decodeGroup(bytes: Uint8Array, rows: number, positions: readonly number[]): Float64Array[] {
  const payload = openPayload(bytes);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  return positions.map((position) => decodeColumn(payload, view.getUint32(position * 4, true), rows));
}

function openPayload(bytes: Uint8Array): Uint8Array {
  if (bytes.length < HEADER_BYTES || bytes[0]! > ZSTD) throw corrupt('no chunk header');
  const stored = bytes.subarray(HEADER_BYTES);
  const sum = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true);
  if (crc32(stored) !== sum) throw corrupt('its checksum differs');
  return bytes[0] === ZSTD ? zstdDecompressSync(stored) : stored;
}

function corrupt(what: string): HeadroomError {
  return new HeadroomError('STORE_CORRUPT', `a stored chunk is damaged: ${what}; its rows are left out`);
}
