/**
 * A group of columns of equal length as one stored blob: each column by the column codec, what may compress through zstd,
 * with a checksum, since SQLite's pages have none. Reading one column costs one decompression of its group, no more.
 *
 *     byte 0     0 = as is, 1 = zstd
 *     bytes 1–4  CRC-32 of all that follows, little-endian
 *     u32        stored bytes of the plain section
 *     plain      u32 offset of each column, then the columns (as byte 0 says)
 *     noise      planes that do not compress
 */
import { constants, crc32, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { HeadroomError } from '../../../shared/errors.ts';
import { decodeColumn, encodeColumn, encodedBytesMax, type Sections } from './column-codec.ts';

const AS_IS = 0;
const ZSTD = 1;
const SUM_AT = 1;
const SUMMED_FROM = 5;
const HEADER_BYTES = 9;
/** Below this a compressor's own frame and call cost more than they save. */
const COMPRESS_BYTES_MIN = 96;
/** Level 1: higher levels gained under 2 % on telemetry, since the column codec has already laid out the order. */
const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_contentSizeFlag]: 1 } };

/** Scratch of the encoder, grown as needed. */
const sections: Sections = { plain: new Uint8Array(64 * 1024), plainAt: 0, noise: new Uint8Array(64 * 1024), noiseAt: 0 };

export function encodeGroup(columns: readonly Float64Array[]): Uint8Array {
  const rows = columns[0]?.length ?? 0;
  const most = columns.length * (4 + encodedBytesMax(rows));
  if (sections.plain.length < most) {
    sections.plain = new Uint8Array(most * 2);
    sections.noise = new Uint8Array(most * 2);
  }
  const offsets = new DataView(sections.plain.buffer);
  sections.plainAt = columns.length * 4;
  sections.noiseAt = 0;
  for (let i = 0; i < columns.length; i++) {
    offsets.setUint32(i * 4, sections.plainAt, true);
    encodeColumn(columns[i]!, sections);
  }
  const plain = sections.plain.subarray(0, sections.plainAt);
  const packed = plain.length < COMPRESS_BYTES_MIN ? plain : zstdCompressSync(plain, ZSTD_OPTIONS);
  const stored = packed.length < plain.length ? packed : plain;
  const out = new Uint8Array(HEADER_BYTES + stored.length + sections.noiseAt);
  const view = new DataView(out.buffer);
  out[0] = stored === plain ? AS_IS : ZSTD;
  view.setUint32(SUMMED_FROM, stored.length, true);
  out.set(stored, HEADER_BYTES);
  out.set(sections.noise.subarray(0, sections.noiseAt), HEADER_BYTES + stored.length);
  view.setUint32(SUM_AT, crc32(out.subarray(SUMMED_FROM)), true);
  return out;
}

/** The columns at the given positions, each `rows` long. Throws STORE_CORRUPT when the bytes are not what was written. */
export function decodeGroup(bytes: Uint8Array, rows: number, positions: readonly number[]): Float64Array[] {
  if (bytes.length < HEADER_BYTES || bytes[0]! > ZSTD) throw corrupt('no chunk header');
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (crc32(bytes.subarray(SUMMED_FROM)) !== view.getUint32(SUM_AT, true)) throw corrupt('its checksum differs');
  const noiseAt = HEADER_BYTES + view.getUint32(SUMMED_FROM, true);
  const stored = bytes.subarray(HEADER_BYTES, noiseAt);
  const plain = bytes[0] === ZSTD ? zstdDecompressSync(stored) : stored;
  const offsets = new DataView(plain.buffer, plain.byteOffset, plain.byteLength);
  const noise = bytes.subarray(noiseAt);
  return positions.map((position) => {
    const column = new Float64Array(rows);
    decodeColumn(plain, offsets.getUint32(position * 4, true), noise, column, 0, rows);
    return column;
  });
}

function corrupt(what: string): HeadroomError {
  return new HeadroomError('STORE_CORRUPT', `a stored chunk is damaged: ${what}; its rows are left out`);
}
