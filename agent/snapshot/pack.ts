/**
 * Many sealed records in one file, since a file and a sync for each 64 KiB would cost more than the bytes. Pure. Layout: records
 * one after another; parity over them; twice an index of (digest, offset, length) each; twice a trailer with the index's length, its
 * digest and a mark. Everything is little-endian. What the records hold is guarded by their own seals, the digest in the trailer guards
 * the index, and a bit that flips anywhere can be mended.
 */
import { createHash } from 'node:crypto';
import { parityOf } from './parity.ts';
import { DIGEST_BYTES } from './sealed-sizes.ts';

const MARK = Buffer.from('HRpack02');
const ENTRY_BYTES = DIGEST_BYTES + 8;
const INDEX_DIGEST_BYTES = 32;
const TRAILER_BYTES = 4 + INDEX_DIGEST_BYTES + MARK.length;
/** 24 bits of entries are a terabyte of chunks in one file: more is not an index. */
const ENTRIES_MAX = 2 ** 24;

export interface PackEntry {
  /** Of what the record holds, hexadecimal. */
  digest: string;
  offset: number;
  length: number;
}

export interface PackDraft {
  readonly bytes: number;
  readonly records: number;
  has(digest: string): boolean;
  /** As it was added. */
  get(digest: string): Buffer | undefined;
  add(digest: string, sealed: Buffer): void;
  /** The file, in parts, and where each record lies in it. */
  finish(): { parts: Buffer[]; entries: PackEntry[] };
}

export function createPackDraft(): PackDraft {
  const parts: Buffer[] = [];
  const sealedBy = new Map<string, Buffer>();
  const entries = new Map<string, PackEntry>();
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    get records() {
      return entries.size;
    },
    has: (digest) => entries.has(digest),
    get: (digest) => sealedBy.get(digest),
    add(digest, sealed) {
      sealedBy.set(digest, sealed);
      entries.set(digest, { digest, offset: bytes, length: sealed.length });
      parts.push(sealed);
      bytes += sealed.length;
    },
    finish() {
      const all = [...entries.values()];
      const index = Buffer.alloc(all.length * ENTRY_BYTES);
      for (const [place, { digest, offset, length }] of all.entries()) {
        const from = place * ENTRY_BYTES;
        index.write(digest, from, 'hex');
        index.writeUInt32LE(offset, from + DIGEST_BYTES);
        index.writeUInt32LE(length, from + DIGEST_BYTES + 4);
      }
      const count = Buffer.alloc(4);
      count.writeUInt32LE(all.length);
      const trailer = Buffer.concat([count, indexDigest(index), MARK]);
      return { parts: [...parts, ...parityOf(parts), index, index, trailer, trailer], entries: all };
    },
  };
}

/** The end of a pack, as far as its index; null = there is no more than `bytes` of it. */
export type ReadEnd = (bytes: number) => Promise<Buffer | null>;

/** What lies where; `whole`: both copies are as they were written. Null: neither is. */
export async function readIndex(readEnd: ReadEnd): Promise<{ entries: PackEntry[]; whole: boolean } | null> {
  const trailers = await readEnd(2 * TRAILER_BYTES);
  if (trailers === null) return null;
  const trailer = [trailers.subarray(TRAILER_BYTES), trailers.subarray(0, TRAILER_BYTES)];
  for (const one of trailer) {
    const length = indexBytes(one);
    const end = length === null ? null : await readEnd(2 * TRAILER_BYTES + 2 * length);
    if (length === null || end === null) continue;
    const digest = one.subarray(4, 4 + INDEX_DIGEST_BYTES);
    const copies = [end.subarray(length, 2 * length), end.subarray(0, length)];
    const right = copies.filter((index) => indexDigest(index).equals(digest));
    if (right[0] !== undefined) return { entries: entriesOf(right[0]), whole: right.length === 2 && trailer[0]!.equals(trailer[1]!) };
  }
  return null;
}

/** Null = not the end of a pack. */
function indexBytes(trailer: Buffer): number | null {
  if (!trailer.subarray(-MARK.length).equals(MARK)) return null;
  const count = trailer.readUInt32LE(0);
  return count > ENTRIES_MAX ? null : count * ENTRY_BYTES;
}

function entriesOf(index: Buffer): PackEntry[] {
  return Array.from({ length: index.length / ENTRY_BYTES }, (_, place) => {
    const from = place * ENTRY_BYTES;
    return {
      digest: index.toString('hex', from, from + DIGEST_BYTES),
      offset: index.readUInt32LE(from + DIGEST_BYTES),
      length: index.readUInt32LE(from + DIGEST_BYTES + 4),
    };
  });
}

const indexDigest = (index: Buffer): Buffer => createHash('sha256').update(index).digest();
