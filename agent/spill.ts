/**
 * Puts the disk ring together: its files, its records' form, its limits. Input: a directory and a budget; output: what a
 * sample buffer spills to.
 */
import { createBlockPacking } from './block-packing.ts';
import type { Spill } from './core/backlog.ts';
import { createSpill } from './core/create-spill.ts';
import { DISK_RING_LIMITS } from './core/disk-ring.ts';
import type { SampleBufferLimits } from './core/sample-buffer.ts';
import { openSegmentDir } from './segment-dir.ts';

/** Four records to a batch: a batch is filled well, and one record more never makes it too large for the wire. */
const RECORDS_PER_BATCH = 4;

export function openSpill(directory: string, budgetMiB: number, { batchBytesMax }: SampleBufferLimits): Spill {
  const bytesMax = budgetMiB * 1024 * 1024;
  // A small ring in pieces of an eighth, so that little is given up at once.
  const segmentBytesMax = Math.min(DISK_RING_LIMITS.segmentBytesMax, Math.max(64 * 1024, bytesMax / 8));
  const limits = { ...DISK_RING_LIMITS, bytesMax, segmentBytesMax };
  return createSpill(openSegmentDir(directory), createBlockPacking(), limits, batchBytesMax / RECORDS_PER_BATCH);
}
