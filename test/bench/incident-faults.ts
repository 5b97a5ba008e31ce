/**
 * Faults put into recorded VMs: what each does to the metrics from its start on. Input: an instant of a VM and how far the
 * fault is; output: the instant as it would have been. Sizes are modest on purpose: anything sees a fault ten times as large.
 */
import type { IncidentKind, VmPoint } from '../../aggregator/core/anomaly/incident.ts';
import { HOUR_MS } from './benchmark.ts';

export interface Fault {
  lastsMs: number;
  /** What it may rightly be called. */
  names: readonly IncidentKind[];
  strike(
    values: Required<Pick<VmPoint['values'], 'cpu' | 'memory' | 'steal'>> & VmPoint['values'],
    sinceMs: number,
    sizes: Sizes,
  ): VmPoint['values'];
}

export interface Sizes {
  cpu: number;
  memory: number;
}

export const FAULTS: Readonly<Record<string, Fault>> = {
  leak: {
    lastsMs: 24 * HOUR_MS,
    names: ['leak', 'saturation'],
    // Three hundredths of the VM's memory an hour.
    strike: (values, sinceMs, { memory }) => ({ ...values, memory: Math.min(memory, values.memory + (0.03 * memory * sinceMs) / HOUR_MS) }),
  },
  runaway: {
    lastsMs: 6 * HOUR_MS,
    names: ['runaway process', 'saturation'],
    strike: (values, _, { cpu }) => ({ ...values, cpu: Math.min(cpu, values.cpu + 0.7 * cpu) }),
  },
  levelShift: {
    lastsMs: 12 * HOUR_MS,
    names: ['level shift', 'runaway process'],
    strike: (values, _, { cpu }) => ({ ...values, cpu: Math.min(cpu, values.cpu + 0.25 * cpu) }),
  },
  silence: { lastsMs: 2 * HOUR_MS, names: ['silence'], strike: () => ({}) },
  neighbourSteal: {
    lastsMs: 3 * HOUR_MS,
    names: ['noisy neighbour'],
    strike: (values) => ({ ...values, cpu: 0.8 * values.cpu, steal: values.steal + 0.15 }),
  },
};
