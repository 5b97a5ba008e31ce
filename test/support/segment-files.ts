/**
 * Segment files in memory with a disk's vices: a volume that is full, writes that end half way, files that cannot be read
 * or removed, tails torn and bits flipped by the test. Input: faults; output: SegmentFiles.
 */
import type { SegmentFiles } from '../../agent/core/disk-ring.ts';

export class MemorySegmentFiles implements SegmentFiles {
  readonly files = new Map<number, Buffer>();
  capacityBytes = Number.POSITIVE_INFINITY;
  readFails = false;
  removeFails = false;
  /** True: the volume tells how much is free; false: one learns it by writing. */
  tellsFree = true;

  /** With the same files as another, as a process finds them that starts now. */
  constructor(like?: MemorySegmentFiles) {
    for (const [id, bytes] of like?.files ?? []) this.files.set(id, Buffer.from(bytes));
  }

  get bytes(): number {
    return [...this.files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  list(): { id: number; bytes: number }[] {
    return [...this.files].map(([id, { length }]) => ({ id, bytes: length })).sort((a, b) => a.id - b.id);
  }

  append(id: number, bytes: Uint8Array): void {
    const room = Math.max(0, this.capacityBytes - this.bytes);
    const written = Buffer.from(bytes.subarray(0, room));
    this.files.set(id, Buffer.concat([this.files.get(id) ?? Buffer.alloc(0), written]));
    if (written.length < bytes.length) throw new Error('ENOSPC: no space left on device, write');
  }

  seal(): void {}

  read(id: number): Uint8Array {
    const bytes = this.files.get(id);
    if (this.readFails || !bytes) throw new Error('EIO: i/o error, read');
    return Buffer.from(bytes);
  }

  remove(id: number): void {
    if (this.removeFails) throw new Error('EROFS: read-only file system, unlink');
    this.files.delete(id);
  }

  freeBytes(): number {
    return this.tellsFree ? this.capacityBytes - this.bytes : Number.NaN;
  }

  /** What a power cut may leave of the newest file. */
  tear(bytes: number): void {
    const newest = this.list().at(-1);
    if (newest) this.files.set(newest.id, this.files.get(newest.id)!.subarray(0, Math.max(0, newest.bytes - bytes)));
  }

  /** Flips one bit of one file; `at` counts through all bytes there are. */
  flip(at: number): void {
    let left = at % Math.max(1, this.bytes);
    for (const bytes of this.files.values()) {
      if (left < bytes.length) {
        bytes[left]! ^= 1 << (at % 8);
        return;
      }
      left -= bytes.length;
    }
  }
}
