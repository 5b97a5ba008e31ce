/**
 * What the host can vouch for when memory is to change: a shrink must leave the guest's working set, a growth must fit the
 * host. Input: the target, the VM's memory and the host's sums; output: the reason to refuse, or null. Pure.
 */
/** Memory of the VM as the host can vouch for it; null = unknown. */
export interface VouchedMemory {
  /** What we asked the balloon for last, while it is still ours. */
  targetMiB: number | null;
  /** What was in force before that: the balloon was seen anywhere between since. */
  fromMiB: number | null;
  balloonMiB: number | null;
  /** Guest's MemAvailable by balloon statistics, only if they are fresh. */
  availableMiB: number | null;
  /** What the guest uses by the same message, and how fast that grows. */
  workingSetMiB: number | null;
  growthMiBPerSecond: number;
  /** Since that message, ms. */
  toldAgeMs: number;
  rssMiB: number | null;
  /** PSI or swap-in seen by the host. */
  pressure: boolean;
}

/** The host's memory against all its VMs. */
export interface HostMemory {
  /** Capacity less the agent's own reserve; null = unknown. */
  usableMiB: number | null;
  /** What all VMs here may come to hold now, their hypervisor's overhead included. */
  exposureMiB: number;
  /** The host's MemAvailable less the reserve; null = unknown. */
  freeMiB: number | null;
}

/** Left above the working set at any shrink: the kernel's own watermarks and a sample's growth; the planner's margin comes on top. */
const WORKING_SET_MARGIN_FRACTION = 0.03;
const WORKING_SET_MARGIN_MIB_MIN = 16;
/**
 * From a guest's message until memory given back has arrived: a second until the next message, one until it is read and
 * looked at, one for the write, and two for a driver on a busy host. What a guest grows by meanwhile is left to it.
 */
export const REACTION_MS = 5000;

export function memoryRefusal(targetMiB: number, memory: VouchedMemory, host: HostMemory): string | null {
  const heldMiB = Math.max(memory.balloonMiB ?? 0, memory.targetMiB ?? 0);
  if (memory.balloonMiB === null) return 'the size of the balloon is unknown';
  if (targetMiB < heldMiB - 1) {
    const lower = Math.min(memory.balloonMiB, memory.targetMiB ?? memory.balloonMiB);
    // Stopping an inflation half way is a growth against the old target and takes nothing from the guest.
    return targetMiB >= lower ? null : shrinkRefusal(targetMiB, memory);
  }
  return growthRefusal(targetMiB - heldMiB, host);
}

function shrinkRefusal(targetMiB: number, memory: VouchedMemory): string | null {
  if (memory.pressure) return 'the guest is short of memory: nothing is taken from it now';
  if (memory.workingSetMiB === null) return 'the guest told no fresh memory statistics, so its working set cannot be vouched for';
  const { workingSetMiB, growthMiBPerSecond, toldAgeMs } = memory;
  const grownMiB = (growthMiBPerSecond * (toldAgeMs + REACTION_MS)) / 1000;
  const leastMiB = workingSetMiB + Math.max(WORKING_SET_MARGIN_MIB_MIN, workingSetMiB * WORKING_SET_MARGIN_FRACTION, grownMiB);
  if (targetMiB >= leastMiB) return null;
  const growing = grownMiB > WORKING_SET_MARGIN_MIB_MIN ? `, which grows by ${growthMiBPerSecond.toFixed(1)} MiB a second` : '';
  return `${targetMiB.toFixed(0)} MiB is below its working set and margin of ${leastMiB.toFixed(0)} MiB${growing}`;
}

function growthRefusal(growthMiB: number, host: HostMemory): string | null {
  if (growthMiB <= 1) return null;
  if (host.usableMiB === null) return 'the memory of the host is unknown';
  if (host.exposureMiB + growthMiB > host.usableMiB) {
    return `all VMs here could then hold ${(host.exposureMiB + growthMiB).toFixed(0)} MiB of ${host.usableMiB.toFixed(0)} MiB`;
  }
  if (host.freeMiB !== null && growthMiB > host.freeMiB) {
    return `the host has ${Math.max(0, host.freeMiB).toFixed(0)} MiB free above its reserve, ${growthMiB.toFixed(0)} MiB are asked for`;
  }
  return null;
}
