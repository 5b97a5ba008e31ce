/**
 * Samples as they came, gathered in bins of equal length. Input: times and values; output: a trace's columns, bins labelled
 * by their start. CPU is a mean, since a quota is met on average; memory is a maximum, since being short for a moment is being short.
 */
import { HeadroomError } from '../../../../shared/errors.ts';
import type { BacktestResource } from '../../../core/backtest/allocator.ts';
import type { Trace } from '../../../core/backtest/trace.ts';

/** What live steps are. Finer samples are gathered in such bins, coarser ones stay as they are. */
export const BIN_MS = 300_000;

export const GATHERS_MAX: Readonly<Record<BacktestResource, boolean>> = { cpu: false, cpumax: true, memory: true };

export interface Sample {
  timeMs: number;
  /** Headline unit; NaN = unknown. */
  used: number;
  /** The VM's size at the time, headline unit; NaN = unknown. */
  size: number;
}

/** Null: nothing is known. Samples of one time after another; a sample at a time already seen is a repetition and ignored. USAGE without a size. */
export function traceOfSamples(vm: string, samples: readonly Sample[], resource: BacktestResource): Trace | null {
  const ordered = samples.filter(({ used }) => !Number.isNaN(used)).sort((a, b) => a.timeMs - b.timeMs);
  if (ordered.length === 0) return null;
  const granted = samples.reduce((most, { size }) => (Number.isNaN(size) ? most : Math.max(most, size)), 0);
  if (granted <= 0) throw new HeadroomError('USAGE', "the VM's size is not known, and without it there is nothing to compare with");
  const stepMs = Math.max(BIN_MS, usualStep(ordered));
  const bins = new Map<number, { sum: number; most: number; count: number }>();
  let lastMs = Number.NaN;
  for (const { timeMs, used } of ordered) {
    if (timeMs === lastMs) continue;
    lastMs = timeMs;
    const start = Math.floor(timeMs / stepMs) * stepMs;
    const bin = bins.get(start) ?? { sum: 0, most: 0, count: 0 };
    bins.set(start, { sum: bin.sum + used, most: Math.max(bin.most, used), count: bin.count + 1 });
  }
  const most = GATHERS_MAX[resource];
  return {
    vm,
    stepMs,
    granted,
    timesMs: Float64Array.from(bins.keys()),
    used: Float64Array.from(bins.values(), (bin) => (most ? bin.most : bin.sum / bin.count)),
  };
}

/** The distance that occurs most, to the second: collectors are late by milliseconds. */
function usualStep(ordered: readonly Sample[]): number {
  const counts = new Map<number, number>();
  for (let i = 1; i < ordered.length; i++) {
    const step = Math.round((ordered[i]!.timeMs - ordered[i - 1]!.timeMs) / 1000) * 1000;
    if (step > 0) counts.set(step, (counts.get(step) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? BIN_MS;
}
