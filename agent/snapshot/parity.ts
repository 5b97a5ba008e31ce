/**
 * Bytes that mend others: one row of parity for every sixteen rows, each long enough for the longest record, so that whatever befalls
 * one record can be undone as long as its neighbours are whole (a sixteenth more disk; RAID 5's sum, within one file). Pure. Input: the
 * bytes to guard; output: their parity, and any range of them as it must have been. It does not tell what is right: seals do.
 */
import { CHUNK_BYTES } from './chunk.ts';
import { SEAL_BYTES } from './sealed-sizes.ts';

const ROWS = 16;
const WORD_BYTES = 4;
/** A record is one chunk at most, with its seal and the mark of how it was compressed. */
export const ROW_BYTES = Math.ceil((CHUNK_BYTES + SEAL_BYTES + 1) / WORD_BYTES) * WORD_BYTES;
export const GROUP_BYTES = ROWS * ROW_BYTES;

export interface ParityGroup {
  /** Guarded bytes of this group, from `offset` on. */
  offset: number;
  length: number;
  /** Its parity's place among all parity. */
  parityOffset: number;
  parityLength: number;
}

/** Groups that guard a range, in order. `total`: all the bytes there are. */
export function groupsOf(offset: number, length: number, total: number): ParityGroup[] {
  const groups: ParityGroup[] = [];
  for (let group = Math.floor(offset / GROUP_BYTES); group * GROUP_BYTES < offset + length; group++) {
    const from = group * GROUP_BYTES;
    const guarded = Math.min(GROUP_BYTES, total - from);
    groups.push({ offset: from, length: guarded, parityOffset: group * ROW_BYTES, parityLength: Math.min(ROW_BYTES, guarded) });
  }
  return groups;
}

/** One row for each group, the last as long as its longest. */
export function parityOf(parts: readonly Buffer[]): Buffer[] {
  const rows: Buffer[] = [];
  const scratch = Buffer.alloc(GROUP_BYTES);
  let filled = 0;
  const finish = (): void => {
    scratch.fill(0, filled);
    rows.push(sumOfRows(scratch).subarray(0, Math.min(ROW_BYTES, filled)));
    filled = 0;
  };
  for (const part of parts) {
    for (let from = 0; from < part.length; ) {
      const copied = part.copy(scratch, filled, from);
      filled += copied;
      from += copied;
      if (filled === GROUP_BYTES) finish();
    }
  }
  if (filled > 0) finish();
  return rows;
}

/**
 * A group's bytes with those of one range computed from the others.
 * @param range within the group, no longer than a row: two bytes of one column cannot be told apart
 */
export function mended(guarded: Buffer, parity: Buffer, range: { from: number; to: number }): Buffer {
  const rows = Buffer.alloc(GROUP_BYTES);
  guarded.copy(rows);
  rows.fill(0, range.from, range.to);
  const sum = sumOfRows(rows);
  for (let at = range.from; at < range.to; at++) {
    const column = at % ROW_BYTES;
    rows[at] = (sum[column] as number) ^ (parity[column] as number);
  }
  return rows.subarray(0, guarded.length);
}

/** Of a whole group of rows. */
function sumOfRows(rows: Buffer): Buffer {
  const words = new Uint32Array(rows.buffer, rows.byteOffset, GROUP_BYTES / WORD_BYTES);
  const perRow = ROW_BYTES / WORD_BYTES;
  const sum = new Uint32Array(perRow);
  for (let row = 0; row < ROWS; row++) {
    const from = row * perRow;
    for (let word = 0; word < perRow; word++) sum[word] = (sum[word] as number) ^ (words[from + word] as number);
  }
  return Buffer.from(sum.buffer);
}
