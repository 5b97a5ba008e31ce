/**
 * Whether a change is worth anybody's attention: detectors judge by what is usual for a series, however small, and an idle VM
 * that goes from 0.4 to 0.2 % of a core has not changed. Metrics before and now in, yes or no out. Pure.
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
