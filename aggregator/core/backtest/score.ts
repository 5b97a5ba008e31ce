/**
 * How an allocation did on a trace: savings and harm. Input: a trace, and for each of its samples the allocation that was in
 * force; output: a score a VM and a summary of a fleet. The first days are for learning and are not scored; a sample
 * that is missing is not scored; demand above the VM's size counts as its size, since more cannot be given.
 */
import type { Trace } from './trace.ts';

export const DAY_MS = 24 * 3600 * 1000;
/** Everyone may learn for a week: a week-long season is seen once. */
export const WARM_UP_MS = 7 * DAY_MS;
/** Rounding of a decimal in a file is no violation and no resize. */
const RELATIVE_TOLERANCE = 1e-6;

export interface VmScore {
  vm: string;
  samples: number;
  /** Shares 0..1. Samples with demand above the allocation; days with such a sample; demand that was not met, of all demand. */
  violationRate: number;
  daysWithViolation: number;
  unmetShare: number;
  /** Mean share of the allocation that was not used, and mean allocation as a share of the size. */
  slack: number;
  allocatedShare: number;
  resizesPerDay: number;
  /** Unused and allocated amounts, summed over samples (headline unit × samples): for the fleet's slack. */
  unusedSum: number;
  allocatedSum: number;
  /** Unmet demand, and demand, summed likewise. */
  unmetSum: number;
  demandSum: number;
}

export interface FleetScore {
  vms: number;
  violationRate: number;
  violationRateP90Vm: number;
  vmDaysWithViolation: number;
  meanSlack: number;
  /** Large VMs count more: all that was unused of all that was allocated. */
  fleetSlack: number;
  resizesPerVmDay: number;
  unmetShare: number;
}

/** `allocation[i]` was in force during sample i; NaN = none yet. Null when nothing is left after the first week. */
export function scoreVm(trace: Trace, allocation: Float64Array): VmScore | null {
  const { timesMs, used, granted, stepMs } = trace;
  const first = timesMs[0];
  if (first === undefined) return null;
  const size = Number.isNaN(granted) ? largest(used) : granted;
  const score = { samples: 0, violations: 0, slack: 0, share: 0, unusedSum: 0, allocatedSum: 0, unmetSum: 0, demandSum: 0, resizes: 0 };
  const days = new Map<number, boolean>();
  let before = Number.NaN;
  let last = Number.NaN;
  for (let i = 0; i < used.length; i++) {
    const sinceMs = timesMs[i]! - first;
    const given = allocation[i]!;
    if (sinceMs < WARM_UP_MS || Number.isNaN(given)) continue;
    if (!Number.isNaN(before) && Math.abs(given - before) > RELATIVE_TOLERANCE * size) score.resizes++;
    before = given;
    last = sinceMs;
    if (Number.isNaN(used[i]!)) continue;
    const demand = Math.min(used[i]!, Number.isNaN(granted) ? Number.POSITIVE_INFINITY : granted);
    const violated = demand > given * (1 + RELATIVE_TOLERANCE) + 1e-12;
    const day = Math.floor(sinceMs / DAY_MS);
    days.set(day, violated || days.get(day) === true);
    score.samples++;
    if (violated) score.violations++;
    score.slack += given > 0 ? Math.max(0, given - demand) / given : 0;
    score.share += size > 0 ? given / size : 0;
    score.unusedSum += Math.max(0, given - demand);
    score.allocatedSum += given;
    score.unmetSum += Math.max(0, demand - given);
    score.demandSum += demand;
  }
  if (score.samples === 0) return null;
  return {
    vm: trace.vm,
    samples: score.samples,
    violationRate: score.violations / score.samples,
    daysWithViolation: [...days.values()].filter(Boolean).length / days.size,
    unmetShare: score.demandSum > 0 ? score.unmetSum / score.demandSum : 0,
    slack: score.slack / score.samples,
    allocatedShare: score.share / score.samples,
    resizesPerDay: score.resizes / ((last + stepMs - WARM_UP_MS) / DAY_MS),
    unusedSum: score.unusedSum,
    allocatedSum: score.allocatedSum,
    unmetSum: score.unmetSum,
    demandSum: score.demandSum,
  };
}

function largest(values: Float64Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return most;
}

/** Means over VMs, each counted alike, except the fleet's slack. */
export function scoreFleet(scores: readonly VmScore[]): FleetScore {
  const mean = (pick: (score: VmScore) => number): number =>
    scores.length === 0 ? 0 : scores.reduce((sum, score) => sum + pick(score), 0) / scores.length;
  const allocated = mean((score) => score.allocatedSum);
  return {
    vms: scores.length,
    violationRate: mean((score) => score.violationRate),
    violationRateP90Vm: percentile(
      scores.map((score) => score.violationRate),
      0.9,
    ),
    vmDaysWithViolation: mean((score) => score.daysWithViolation),
    meanSlack: mean((score) => score.slack),
    fleetSlack: allocated > 0 ? mean((score) => score.unusedSum) / allocated : 0,
    resizesPerVmDay: mean((score) => score.resizesPerDay),
    unmetShare: mean((score) => score.unmetShare),
  };
}

/** Linear between the ordered values, as numpy and R (type 7) do; 0 of nothing. */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)]!;
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)]! - below);
}
