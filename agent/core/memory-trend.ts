/**
 * What a guest's balloon driver told of its memory, read so that a balloon on the move does not blur it. The driver's total
 * and its available memory come in one message, so their difference is what the guest uses, whatever the balloon did since;
 * the balloon's size is read later. Input: one reading after another; output: working set and how fast it grows. Pure.
 */

export interface MemoryReading {
  /** Host's UTC seconds of the driver's newest message, whole; NaN = never told. */
  toldAtSeconds: number;
  /** Size of the balloon now, MiB. */
  sizeMiB: number;
  /** MemTotal and MemAvailable of that message, MiB; NaN = not told. */
  totalMiB: number;
  availableMiB: number;
}

export interface MemoryTrend {
  /** Memory that is not available, the kernel's own included, MiB; NaN = unknown. */
  workingSetMiB: number;
  /** Of the newest messages, never negative, MiB/s; 0 = not growing, or too few messages. */
  growthMiBPerSecond: number;
  /** This reading brought a message that was not seen before. */
  newer: boolean;
}

interface Message {
  atSeconds: number;
  totalMiB: number;
  usedMiB: number;
  sizeMiB: number;
}

/** Growth is measured over at least this long: messages carry whole seconds, and a single burst of pages is no trend. */
const SLOPE_SECONDS_MIN = 2;
/** Messages kept, which at one a second covers the slope and some that got lost. */
const MESSAGES_MAX = 5;
/** Sizes this near are the same: drivers move in pages. */
const REST_MIB = 0.5;

/** One per guest and run of it. */
export function createMemoryTrend(): (reading: MemoryReading) => MemoryTrend {
  let messages: Message[] = [];
  // What the kernel keeps out of MemTotal; seen while the balloon rests, since size and total are not told together.
  let reservedMiB = Number.NaN;
  return ({ toldAtSeconds, sizeMiB, totalMiB, availableMiB }) => {
    const last = messages.at(-1);
    if (toldAtSeconds < (last?.atSeconds ?? 0)) messages = [];
    const newer = toldAtSeconds > (messages.at(-1)?.atSeconds ?? 0);
    if (newer) {
      const rests = last !== undefined && Math.abs(last.totalMiB - totalMiB) < REST_MIB && Math.abs(last.sizeMiB - sizeMiB) < REST_MIB;
      if (rests) reservedMiB = Math.max(0, sizeMiB - totalMiB);
      messages.push({ atSeconds: toldAtSeconds, totalMiB, usedMiB: totalMiB - availableMiB, sizeMiB });
      if (messages.length > MESSAGES_MAX) messages.shift();
    }
    const kernelMiB = Number.isNaN(reservedMiB) ? Math.max(0, sizeMiB - totalMiB) : reservedMiB;
    return { workingSetMiB: totalMiB - availableMiB + kernelMiB, growthMiBPerSecond: slope(messages), newer };
  };
}

function slope(messages: readonly Message[]): number {
  const newest = messages.at(-1);
  if (newest === undefined) return 0;
  const from = messages.findLast(({ atSeconds }) => newest.atSeconds - atSeconds >= SLOPE_SECONDS_MIN);
  if (from === undefined) return 0;
  const growth = (newest.usedMiB - from.usedMiB) / (newest.atSeconds - from.atSeconds);
  return Number.isNaN(growth) ? 0 : Math.max(0, growth);
}
