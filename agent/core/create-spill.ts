/**
 * A disk ring as what a sample buffer spills to. Input: segment files, the records' form, limits; output: a Spill. Apart from
 * the buffer, which most guests use without a disk.
 */
import type { BlockPacking, RingTag, Spill } from './backlog.ts';
import { DiskRing, type DiskRingLimits, type SegmentFiles } from './disk-ring.ts';

/** A second flush after rows turned old, so that each record holds the rows of several seconds. */
const SPILL_AFTER_MS = 15_000;

export function createSpill(files: SegmentFiles, packing: BlockPacking, limits: DiskRingLimits, recordBytesMax: number): Spill {
  const ring = new DiskRing<RingTag>(files, limits, (receipts) => {
    for (const receipt of receipts) receipt(false);
  });
  return { ring, packing, afterMs: SPILL_AFTER_MS, recordBytesMax };
}
