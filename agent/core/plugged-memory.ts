/**
 * Memory of a guest that has some plugged in beside what it boots with (virtio-mem): one figure, what the guest has, parted into the
 * balloon's share and the plugged one. Input: what is asked for and what is there; output: what to ask of each. Pure. Both parts
 * only ever move the same way, so that between the order and its end, or when the guest carries out one half of it alone, the guest
 * has no less than the smaller and the host holds no more than the larger of the two sums.
 */

/** The device as its VM's live definition has it. */
export interface PluggedMemory {
  /** The most that can be plugged. */
  sizeMiB: number;
  /** Plugged and unplugged in multiples of this. */
  blockMiB: number;
  /** Asked of the guest: it may plug up to this whenever its driver loads. */
  requestedMiB: number;
}

/** Linux on x86 moves no less than the largest run of pages its allocator knows, however small the device's blocks are. */
const GUEST_BLOCK_MIB = 4;

interface Sizes {
  bootMemoryMiB: number;
  plugged?: PluggedMemory;
}

/** What the guest can come to hold: what it boots with and all that may be plugged. */
export const memoryMiBMax = ({ bootMemoryMiB, plugged }: Sizes): number => bootMemoryMiB + (plugged?.sizeMiB ?? 0);

/** What a guest of this size comes to hold by itself: with nothing plugged so far it plugs what is requested as soon as its driver loads. */
export function memoryMiBToCome(sizeMiB: number, { bootMemoryMiB, plugged }: Sizes): number {
  return plugged === undefined || sizeMiB > bootMemoryMiB ? sizeMiB : sizeMiB + plugged.requestedMiB;
}

/** A growth to no more than is asked for, in whole blocks above what the guest boots with; a shrink as it is. `heldMiB`: what it has. */
export function growthInBlocksMiB(wantedMiB: number, heldMiB: number, sizes: Sizes): number {
  const { bootMemoryMiB, plugged } = sizes;
  if (plugged === undefined || wantedMiB <= Math.max(bootMemoryMiB, heldMiB)) return wantedMiB;
  const blockMiB = guestBlock(plugged.blockMiB, 1);
  const inBlocksMiB = bootMemoryMiB + Math.floor((wantedMiB - bootMemoryMiB) / blockMiB) * blockMiB;
  return Math.max(inBlocksMiB, heldMiB);
}

/** A step of a shrink that unplugs whole blocks and leaves the balloon alone, where that still is a step. Never farther than asked for. */
export function shrinkInBlocksMiB(nextMiB: number, heldMiB: number, sizes: Sizes): number {
  const { bootMemoryMiB, plugged } = sizes;
  if (plugged === undefined || nextMiB <= bootMemoryMiB) return nextMiB;
  const blockMiB = guestBlock(plugged.blockMiB, 1);
  const inBlocksMiB = bootMemoryMiB + Math.ceil((nextMiB - bootMemoryMiB) / blockMiB) * blockMiB;
  return inBlocksMiB < heldMiB ? inBlocksMiB : nextMiB;
}

/** What the guest moves at least; all are powers of two. */
export const guestBlock = (block: number, unitsPerMiB: number): number => Math.max(block, GUEST_BLOCK_MIB * unitsPerMiB);

/** Both parts of what a guest has; any unit, the same for all. */
export interface Parts {
  balloon: number;
  plugged: number;
}

export interface Room {
  /** What it boots with: the balloon's upper end. */
  boot: number;
  size: number;
  block: number;
}

/**
 * A kernel's own data cannot be in plugged memory. Linux by itself plugs at most three times of what is not (memory_hotplug.auto_movable_ratio,
 * 301 %); where an administrator has more plugged, the odd MiB of a block may still be taken from what the guest boots with.
 */
const leastBeside = (plugged: number, boot: number): number => Math.min(plugged / 3, 0.75 * boot);

/**
 * Growth empties the balloon first, shrinking unplugs first. What a guest refuses to unplug is not taken from the rest of its memory
 * instead: it may give it up any moment, and would then have less than was asked for. Null: a shrink that would leave a guest too little
 * beside what is plugged, of which only whole blocks go.
 */
export function partsFor(total: number, now: Parts, room: Room): Parts | null {
  if (total >= now.balloon + now.plugged) {
    const balloon = Math.max(now.balloon, Math.min(room.boot, total - now.plugged));
    const plugged = Math.floor((total - balloon) / room.block) * room.block;
    return { balloon, plugged: Math.max(now.plugged, Math.min(plugged, room.size)) };
  }
  const plugged = Math.min(now.plugged, Math.ceil(Math.max(0, total - now.balloon) / room.block) * room.block);
  const balloon = total - plugged;
  return balloon < now.balloon && balloon < leastBeside(plugged, room.boot) ? null : { balloon, plugged };
}
