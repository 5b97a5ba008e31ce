/**
 * How well allocation followed what one guest offered to do, for one resource. Input: offered load, allocation and usage,
 * one value a second; output: the figures the demo reports. Pure, and apart from everything that decides.
 *
 * A cycle is one "day" of the workload. A rise is the offered load crossing the middle between its cycle's low and high. A
 * rise is led if the allocation passed that middle before the load did, having been below it within the half cycle before.
 * Unmet demand is what was offered beyond the allocation, as a share of what was offered. The first cycles are for learning.
 */
export interface GuestSeconds {
  /** What the workload offers, in the allocation's terms: base of the guest plus pattern. */
  offered: readonly (number | null)[];
  /** In force, as read back through the hypervisor. */
  allocation: readonly (number | null)[];
  usage: readonly (number | null)[];
}

export interface ScoreOptions {
  cycleSeconds: number;
  /** Cycles that are not scored, at the beginning. */
  learningCycles: number;
}

export interface Score {
  rises: number;
  led: number;
  /** Median over the led rises; null when there are none. */
  leadSecondsMedian: number | null;
  /** 0..1; null when nothing was known. */
  unmetShare: number | null;
  meanAllocation: number | null;
  meanUsage: number | null;
  peakOffered: number | null;
  /** Seconds in which both offered load and allocation were known, of those scored. */
  knownShare: number;
}

export interface Rise {
  /** Second in which the load reached the middle. */
  atSecond: number;
  middle: number;
  /** Seconds by which the allocation was there before; null = not led. */
  leadSeconds: number | null;
}

const isKnown = (value: number | null | undefined): value is number => value !== null && value !== undefined;
const mean = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** Middles of all cycles; null where a cycle is unknown or flat. The last, partial cycle is judged by the whole one before. */
function middles(offered: readonly (number | null)[], cycleSeconds: number): (number | null)[] {
  const found: (number | null)[] = [];
  for (let from = 0; from < offered.length; from += cycleSeconds) {
    const whole = from + cycleSeconds <= offered.length;
    const known = offered.slice(from, from + cycleSeconds).filter(isKnown);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    if (!whole && found.length > 0) found.push(found.at(-1) ?? null);
    else found.push(known.length > 0 && high > low ? (low + high) / 2 : null);
  }
  return found;
}

/** How long before `atSecond` the allocation passed `middle`, to stay there; null = it did not lead. */
function leadOf(allocation: readonly (number | null)[], atSecond: number, middle: number, halfCycleSeconds: number): number | null {
  let passedAt: number | null = null;
  for (let second = atSecond - 1; second >= Math.max(0, atSecond - halfCycleSeconds); second--) {
    const value = allocation[second];
    // An unknown second neither proves that it was above nor that it was below.
    if (!isKnown(value)) continue;
    if (value < middle) return passedAt === null ? null : atSecond - passedAt;
    passedAt = second;
  }
  return null;
}

export function findRises(seconds: GuestSeconds, options: ScoreOptions): Rise[] {
  const { cycleSeconds, learningCycles } = options;
  const middleOf = middles(seconds.offered, cycleSeconds);
  const rises: Rise[] = [];
  let before: number | null = null;
  for (const [second, now] of seconds.offered.entries()) {
    const middle = middleOf[Math.floor(second / cycleSeconds)] ?? null;
    if (!isKnown(now)) continue;
    const crossed = middle !== null && before !== null && before < middle && now >= middle;
    before = now;
    if (!crossed || middle === null || second < learningCycles * cycleSeconds) continue;
    rises.push({ atSecond: second, middle, leadSeconds: leadOf(seconds.allocation, second, middle, cycleSeconds / 2) });
  }
  return rises;
}

export function scoreGuest(seconds: GuestSeconds, options: ScoreOptions): Score {
  const rises = findRises(seconds, options);
  const leads = rises.map((rise) => rise.leadSeconds).filter(isKnown);
  const from = options.learningCycles * options.cycleSeconds;
  let [offeredSum, unmetSum, both] = [0, 0, 0];
  for (let second = from; second < seconds.offered.length; second++) {
    const [offered, allocation] = [seconds.offered[second], seconds.allocation[second]];
    if (!isKnown(offered) || !isKnown(allocation)) continue;
    both++;
    offeredSum += offered;
    unmetSum += Math.max(0, offered - allocation);
  }
  const offered = seconds.offered.slice(from).filter(isKnown);
  return {
    rises: rises.length,
    led: leads.length,
    leadSecondsMedian: median(leads),
    unmetShare: offeredSum > 0 ? unmetSum / offeredSum : null,
    meanAllocation: mean(seconds.allocation.slice(from).filter(isKnown)),
    meanUsage: mean(seconds.usage.slice(from).filter(isKnown)),
    peakOffered: offered.length === 0 ? null : Math.max(...offered),
    knownShare: both / Math.max(1, seconds.offered.length - from),
  };
}
