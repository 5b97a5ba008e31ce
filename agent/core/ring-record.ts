/**
 * How one record lies in a segment of the disk ring: a header with checksums of itself and of its payload, then the
 * payload. Input: payloads; output: bytes, and from a segment's bytes every record that is whole, with what is known of
 * those that are not. A torn tail, a flipped bit or a hole costs the records it touches and no others. Pure.
 */
import { crc32 } from 'node:zlib';

/** "HRR1" in a file read from its start. */
const MAGIC = 0x31525248;
/** Magic, payload bytes, rows, rows of the segment before this record, checksum of the payload, checksum of the header. */
export const RECORD_HEADER_BYTES = 24;
const HEADER_CHECKED_BYTES = 20;

export interface RecordPlace {
  /** Of the payload, in the segment. */
  offset: number;
  length: number;
  rows: number;
}

export interface ScannedSegment {
  records: RecordPlace[];
  /** Rows of damaged records, as whole headers before and after the damage tell; a tail without a header has unknown rows. */
  lostRows: number;
  /** Bytes that belong to no whole record. */
  lostBytes: number;
}

/** `rowsBefore`: rows in the segment so far. */
export function encodeRecord(payload: Uint8Array, rows: number, rowsBefore: number): Uint8Array {
  const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + payload.length);
  record.writeUInt32LE(MAGIC, 0);
  record.writeUInt32LE(payload.length, 4);
  record.writeUInt32LE(rows, 8);
  record.writeUInt32LE(rowsBefore, 12);
  record.writeUInt32LE(crc32(payload), 16);
  record.writeUInt32LE(crc32(record.subarray(0, HEADER_CHECKED_BYTES)), HEADER_CHECKED_BYTES);
  record.set(payload, RECORD_HEADER_BYTES);
  return record;
}

export function scanSegment(bytes: Uint8Array): ScannedSegment {
  const segment = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: RecordPlace[] = [];
  let lostRows = 0;
  let lostBytes = 0;
  /** Rows accounted for, whole or lost. */
  let known = 0;
  let at = 0;
  while (at < segment.length) {
    const header = headerAt(segment, at);
    if (header === null) {
      const next = nextHeader(segment, at + 1);
      lostBytes += next - at;
      at = next;
      continue;
    }
    const { length, rows, rowsBefore, checksum } = header;
    // What lies between a hole's two ends was there, and this header says how much of it.
    lostRows += Math.max(0, rowsBefore - known);
    known = Math.max(known, rowsBefore) + rows;
    const offset = at + RECORD_HEADER_BYTES;
    const end = offset + length;
    if (end <= segment.length && crc32(segment.subarray(offset, end)) === checksum) {
      records.push({ offset, length, rows });
      at = end;
      continue;
    }
    lostRows += rows;
    // The payload may be short, with the next record's header inside of where it should have been.
    const next = nextHeader(segment, offset);
    lostBytes += next - at;
    at = next;
  }
  return { records, lostRows, lostBytes };
}

function headerAt(segment: Buffer, at: number): { length: number; rows: number; rowsBefore: number; checksum: number } | null {
  if (at + RECORD_HEADER_BYTES > segment.length || segment.readUInt32LE(at) !== MAGIC) return null;
  const checked = segment.subarray(at, at + HEADER_CHECKED_BYTES);
  if (crc32(checked) !== segment.readUInt32LE(at + HEADER_CHECKED_BYTES)) return null;
  return {
    length: segment.readUInt32LE(at + 4),
    rows: segment.readUInt32LE(at + 8),
    rowsBefore: segment.readUInt32LE(at + 12),
    checksum: segment.readUInt32LE(at + 16),
  };
}

/** Where the next whole header begins at or after `from`; the segment's end when there is none. */
function nextHeader(segment: Buffer, from: number): number {
  let at = from;
  for (;;) {
    at = segment.indexOf('HRR1', at, 'latin1');
    if (at < 0) return segment.length;
    if (headerAt(segment, at) !== null) return at;
    at++;
  }
}
