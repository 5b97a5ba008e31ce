/**
 * From what was seen to what was wanted: demand of one VM over a short window, with suppression taken out. Usage is censored
 * by the allocation, so a throttled or swapping VM must not look content. Window means in (NaN = unknown), estimates in the
 * headline unit out. Pure functions; accumulation over time is in demand.ts.
 */

export interface Estimate {
  /** Cores, MiB or bytes/s; NaN = unknown. */
  value: number;
  /** The host sees that the allocation held the VM down: true demand may be higher still. A guest's word is not enough. */
  suppressed: boolean;
}

export interface CpuWindow {
  usageCores: number;
  /** Mean over vCPUs of the share of wall time throttled by the cap. */
  throttledFraction: number;
  /** Mean over vCPUs of the share of wall time runnable and not running; the kernel's run delay includes throttled time. */
  waitFraction: number;
  /** NaN = no cap. */
  capCores: number;
  vcpus: number;
  /** Claimed by the guest. */
  guestStealFraction: number;
  guestRunQueue: number;
  /** Claimed signals never raise the estimate beyond this. */
  guaranteedCores: number;
  /** So many of them online by our order; NaN = all. */
  vcpusOnline?: number;
}

/** Below this share, throttling is the edge of a 100 ms period and not a lack (the fast guard uses the same figure). */
export const THROTTLED_FRACTION_MIN = 0.05;
/** Usage this close to a limit, with no throttling signal to tell more: the limit is what is seen, not the demand. */
const AT_LIMIT_SHARE = 0.95;
/** Usage this close to what the vCPUs left online can run, and not beyond: those that are offline are missed. */
const AT_ONLINE_SHARE = 0.9;
const BEYOND_ONLINE_SHARE = 1.1;
/** Where only "at the limit" is known: a quarter more doubles the estimate in three windows while the limit follows it. */
const AT_LIMIT_GROWTH = 1.25;
/** Least share of a vCPU's time that is taken as not held up; keeps the division finite. */
const FREE_SHARE_MIN = 0.05;

/**
 * CPU demand in cores.
 *
 * A vCPU that is throttled is runnable: it would have run. Work that paces itself stretches by the time it is held, so the
 * rate it wanted is usage over the share of time it was *not* held. Held time is reported as a mean over all vCPUs, but falls
 * on the busy ones alone: a single pegged vCPU of four at half a core shows 0.5 cores used and 0.125 held, and wants 1.0, not
 * 0.57. So the held time is laid on as few vCPUs as the usage needs: usage / (cap per vCPU). Usage plus held time is an upper
 * bound (every held moment would have run), and so is the number of vCPUs.
 */
export function cpuDemand(window: CpuWindow): Estimate {
  const { vcpus } = window;
  if (!(window.usageCores >= 0) || !(vcpus > 0)) return { value: Number.NaN, suppressed: false };
  // More than its vCPUs can run is no demand: answers of a starved host come late and together, and their times with them.
  const usageCores = Math.min(vcpus, window.usageCores);
  const throttled = known(window.throttledFraction);
  const held = Math.min(1, Math.max(throttled, known(window.waitFraction)));
  let value = Math.min(vcpus, unheldCores(usageCores, held, window.capCores, vcpus));
  let suppressed = throttled >= THROTTLED_FRACTION_MIN;
  if (Number.isNaN(window.throttledFraction) && usageCores >= AT_LIMIT_SHARE * window.capCores) {
    value = Math.min(vcpus, Math.max(value, usageCores * AT_LIMIT_GROWTH));
    suppressed = true;
  }
  // Those that are offline are never held: what the rest tells is told of fewer.
  const online = window.vcpusOnline ?? Number.NaN;
  if (throttled * Math.max(1, vcpus / online) >= THROTTLED_FRACTION_MIN) suppressed = true;
  // On a busy host a vCPU that always has work may get little: what it was held from counts as well.
  const busy = Math.min(value, online);
  if (busy >= AT_ONLINE_SHARE * online && usageCores <= BEYOND_ONLINE_SHARE * online) {
    value = Math.min(vcpus, Math.max(value, busy * AT_LIMIT_GROWTH));
    suppressed = true;
  }
  return { value: Math.max(value, claimedCores(window), usageCores), suppressed };
}

function unheldCores(usageCores: number, held: number, capCores: number, vcpus: number): number {
  if (held === 0) return usageCores;
  const heldCores = held * vcpus;
  const busy = capCores > 0 ? usageCores / (capCores / vcpus) : usageCores + heldCores;
  const vcpusBusy = Math.min(vcpus, Math.max(1, busy, heldCores));
  const free = Math.max(FREE_SHARE_MIN, 1 - heldCores / vcpusBusy);
  return Math.min(usageCores + heldCores, usageCores / free);
}

/** What the guest says it was kept from, up to the guaranteed share; only where the host has no word of its own. */
function claimedCores(window: CpuWindow): number {
  if (!Number.isNaN(window.throttledFraction) || !Number.isNaN(window.waitFraction)) return 0;
  const steal = known(window.guestStealFraction);
  if (steal < THROTTLED_FRACTION_MIN) return 0;
  const runnable = known(window.guestRunQueue);
  const wanted = Math.min(window.vcpus, Math.max(window.usageCores + steal * window.vcpus, Math.min(runnable, window.vcpus)));
  return Math.min(wanted, known(window.guaranteedCores));
}

export interface MemoryReading {
  /** Balloon minus available, both of one moment; NaN = unknown. */
  workingSetMiB: number;
  balloonMiB: number;
  availableMiB: number;
  swapInMiBPerSecond: number;
  /** PSI full of the VM's cgroup, 0..1. */
  pressureFullFraction: number;
  /** Claimed by the guest. */
  guestSwapInMiBPerSecond: number;
  guestRefaultsPerSecond: number;
  guestPressureFullFraction: number;
  /** Claimed signals never raise the estimate beyond this. */
  guaranteedMiB: number;
}

/** Stalled for this share of the time on memory (systemd-oomd acts at 0.6 over 30 s; we believe it long before). */
const PRESSURE_FULL_MIN = 0.05;
/** With less than this share available a guest is about to swap (the fast guard uses the same figure). */
const AVAILABLE_SHARE_MIN = 0.06;
/** Swap-in or refaults with more than this share available are old pages coming home, not a lack. */
const AVAILABLE_SHARE_AMPLE = 0.2;
/** A guest that says it is short wants more than it has, by an unknown amount: the same step as the fast guard's. */
export const SHORT_GROWTH = 1.25;
/** Refaulted pages per second (4 KiB each: 4 MiB/s) that mark thrashing rather than a cold cache. */
const REFAULTS_PER_SECOND_MIN = 1000;

/**
 * Memory demand in MiB: the working set; of a short guest all it has, at least. How much more it is given to find out is the
 * planner's choice and must not be learnt as demand. Balloon pages never count.
 */
export function memoryDemand(reading: MemoryReading): Estimate {
  const { workingSetMiB, balloonMiB } = reading;
  if (!(balloonMiB > 0)) return { value: workingSetMiB, suppressed: false };
  const availableShare = reading.availableMiB / balloonMiB;
  const ample = availableShare > AVAILABLE_SHARE_AMPLE;
  const vouched =
    availableShare < AVAILABLE_SHARE_MIN ||
    (!ample && known(reading.swapInMiBPerSecond) > 0) ||
    known(reading.pressureFullFraction) >= PRESSURE_FULL_MIN;
  if (vouched) return { value: Math.max(known(workingSetMiB), balloonMiB), suppressed: true };
  const claimed =
    !ample &&
    (known(reading.guestSwapInMiBPerSecond) > 0 ||
      known(reading.guestPressureFullFraction) >= PRESSURE_FULL_MIN ||
      known(reading.guestRefaultsPerSecond) >= REFAULTS_PER_SECOND_MIN);
  if (!claimed) return { value: workingSetMiB, suppressed: false };
  const wanted = Math.min(balloonMiB * SHORT_GROWTH, known(reading.guaranteedMiB));
  return { value: wanted > known(workingSetMiB) ? wanted : workingSetMiB, suppressed: false };
}

/** Network or disk demand in bytes/s: the rate, and more than it where a limit holds it down. NaN limit = none. */
export function rateDemand(bytesPerSecond: number, limitBytesPerSecond: number): Estimate {
  if (!(bytesPerSecond >= 0)) return { value: Number.NaN, suppressed: false };
  if (bytesPerSecond >= AT_LIMIT_SHARE * limitBytesPerSecond) return { value: bytesPerSecond * AT_LIMIT_GROWTH, suppressed: true };
  return { value: bytesPerSecond, suppressed: false };
}

/** An unknown signal adds nothing. */
function known(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(0, value);
}
