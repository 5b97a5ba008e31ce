/**
 * Whether a change is worth anybody's attention: detectors judge by what is usual for a series, however small, and an idle VM
 * that goes from 0.4 to 0.2 % of a core has not changed. Metrics before and now in; out: whether it counts at all, and how much of
 * the VM it is about. Pure.
 */
import type { VmMetric } from './incident.ts';

type Metrics = Readonly<Partial<Record<VmMetric, number>>>;

/** Least changes that count: shares of the VM's size, and of metrics that are shares themselves. */
const OF_SIZE: Metrics = { cpu: 0.02, memory: 0.01 };
const ABSOLUTE: Metrics = { steal: 0.02, pressure: 0.02 };

/** True for metrics whose size is not known: what cannot be judged is not passed over. */
export function isMaterial(metric: VmMetric, before: Metrics, now: Metrics, sizes: Metrics): boolean {
  const least = ABSOLUTE[metric] ?? (OF_SIZE[metric] ?? 0) * (sizes[metric] ?? 0);
  return !(Math.abs((now[metric] ?? Number.NaN) - (before[metric] ?? Number.NaN)) < least);
}

/** Changes from which on more of the same would be nothing else to whoever is woken; of disk and network bytes/s: no VM's size tells theirs. */
const MUCH_OF_SIZE: Metrics = { cpu: 0.25, memory: 0.125 };
const MUCH: Metrics = { steal: 0.1, pressure: 0.1, disk: 10e6, network: 1e6 };
/** A trifle's evidence counts for so much: ten times as odd, it comes first all the same. */
const GRAVITY_MIN = 0.1;
/** Of a fall: what a VM lets go of does not run out. */
const FALL = 0.5;

/** 0.1..1: how far a metric has gone from what is usual, beside what there is of it, half for a fall; 1 where that is not known. */
export function gravity(metric: VmMetric, before: Metrics, now: Metrics, sizes: Metrics): number {
  const much = MUCH[metric] ?? (MUCH_OF_SIZE[metric] ?? 0) * (sizes[metric] ?? 0);
  const away = (now[metric] ?? Number.NaN) - (before[metric] ?? Number.NaN);
  const share = Math.min(1, Math.abs(away) / much) * (away < 0 ? FALL : 1);
  return Number.isNaN(share) ? 1 : Math.max(GRAVITY_MIN, share);
}
