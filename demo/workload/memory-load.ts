/**
 * Holds memory at an offered size. Input: MiB wanted and MiB the guest has left; effect: one buffer that is grown and
 * written to, or shrunk. A resizable buffer gives its pages back to the kernel the moment it shrinks, without waiting for
 * a garbage collection, so the guest's available memory really falls and rises.
 */
const BYTES_PER_MIB = 1024 * 1024;
/** Per slice of 20 ms: 50 MiB/s, so that filling stays a fraction of what an emulated CPU can write and is no load of its own. */
const GROW_MIB_MAX = 1;
/** With less left the guest would start to reclaim its programs' own pages: the load waits, as a service sheds requests. */
const LEFT_MIB_MIN = 10;
const PAGE_BYTES = 4096;

export interface MemoryLoad {
  readonly heldMiB: number;
  /** One small move toward the wanted size. */
  step(wantedMiB: number, leftMiB: () => number): void;
}

export function createMemoryLoad(memoryMiBMax: number): MemoryLoad {
  const buffer = new ArrayBuffer(0, { maxByteLength: memoryMiBMax * BYTES_PER_MIB });
  const bytes = new Uint8Array(buffer);
  let heldMiB = 0;
  return {
    get heldMiB() {
      return heldMiB;
    },
    step(wantedMiB, leftMiB) {
      const wanted = Math.min(memoryMiBMax, Math.max(0, Math.round(wantedMiB)));
      if (wanted < heldMiB) {
        buffer.resize(wanted * BYTES_PER_MIB);
        heldMiB = wanted;
        return;
      }
      const next = Math.min(wanted, heldMiB + GROW_MIB_MAX);
      if (next === heldMiB || leftMiB() < LEFT_MIB_MIN + next - heldMiB) return;
      buffer.resize(next * BYTES_PER_MIB);
      for (let at = heldMiB * BYTES_PER_MIB; at < next * BYTES_PER_MIB; at += PAGE_BYTES) bytes[at] = 1;
      heldMiB = next;
    },
  };
}
