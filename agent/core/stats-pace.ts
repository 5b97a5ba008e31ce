/**
 * How often each group of the hypervisor's bulk statistics is read. Input: what a reading of the group cost so far and the
 * pace asked for; output: its period. A group may take only a small share of the time, so that asking about many VMs never
 * becomes their load. Pure.
 */

/**
 * Share of wall time one group's readings may take: the hypervisor's daemon works about as long as we wait for it. At a
 * tenth, 100 VMs (block 376 ms, balloon 248 ms a reading) are read at any pace from 4 s on.
 */
const TIME_SHARE_MAX = 0.1;
/** However dear a group is, it is read this often: older numbers move nothing anyway. */
export const PERIOD_MS_MAX = 120_000;
/** Weight of the newest measurement in the running cost. */
const NEWEST_WEIGHT = 0.3;

/** Period in ms: the asked one, or longer where the measured cost (ms a reading, NaN = not measured yet) demands it. */
export function statsPeriodMs(askedMs: number, costMs: number): number {
  if (Number.isNaN(costMs)) return askedMs;
  return Math.min(Math.max(PERIOD_MS_MAX, askedMs), Math.max(askedMs, costMs / TIME_SHARE_MAX));
}

/** Running cost after one more measurement. */
export function smoothedCostMs(costMs: number, newestMs: number): number {
  return Number.isNaN(costMs) ? newestMs : costMs + NEWEST_WEIGHT * (newestMs - costMs);
}
