/**
 * Many sealed records in one file, since a file and a sync for each 64 KiB would cost more than the bytes. Pure. Layout: records
 * one after another; an index of (digest, offset, length) each; a trailer with the index's length, its digest and a mark.
 * Everything is little-endian. What the records hold is guarded by their own seals; the digest in the trailer guards the index.
 */
import { createHash } from 'node:crypto';
import { DIGEST_BYTES } from './seal.ts';

const MARK = Buffer.from('HRpack01');
const ENTRY_BYTES = DIGEST_BYTES + 8;
const INDEX_DIGEST_BYTES = 32;
export const TRAILER_BYTES = 4 + INDEX_DIGEST_BYTES + MARK.length;
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
  add(digest: string, sealed: Buffer): void;
  /** The file, in parts, and where each record lies in it. */
  finish(): { parts: Buffer[]; entries: PackEntry[] };
}

export function createPackDraft(): PackDraft {
  const parts: Buffer[] = [];
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
    add(digest, sealed) {
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
      return { parts: [...parts, index, count, indexDigest(index), MARK], entries: all };
    },
  };
}

/** Bytes of the index that a file with this trailer has before it; null = not the end of a pack. */
export function indexBytes(trailer: Buffer): number | null {
  if (trailer.length !== TRAILER_BYTES || !trailer.subarray(-MARK.length).equals(MARK)) return null;
  const count = trailer.readUInt32LE(0);
  return count > ENTRIES_MAX ? null : count * ENTRY_BYTES;
}

/** Null: the index is not the one the trailer speaks of. */
export function readIndex(index: Buffer, trailer: Buffer): PackEntry[] | null {
  if (indexBytes(trailer) !== index.length || !indexDigest(index).equals(trailer.subarray(4, 4 + INDEX_DIGEST_BYTES))) return null;
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
