/**
 * Samples as they came, gathered in bins of equal length. Input: times and values; output: a trace's columns, bins labelled
 * by their start. CPU is a mean, since a quota is met on average; memory is a maximum, since being short for a moment is being short.
 */
import { HeadroomError } from '../../../../shared/errors.ts';
import type { Resource } from '../../../../shared/resources.ts';
import { type BacktestResource, othersFrom, type Trace } from '../../../core/backtest/trace.ts';

/** What live steps are. Finer samples are gathered in such bins, coarser ones stay as they are. */
export const BIN_MS = 300_000;

/** Of network and disk, as of CPU, a mean. */
const GATHERS_MAX: Readonly<Record<BacktestResource | Resource, boolean>> = {
  cpu: false,
  cpumax: true,
  memory: true,
  network: false,
  disk: false,
};

export interface Sample {
  timeMs: number;
  /** Headline unit; NaN = unknown. */
  used: number;
  /** The VM's size at the time, headline unit; NaN = unknown. */
  size: number;
  /** What its resources used, the one looked at among them or not; NaN or absent = unknown. */
  heard?: Readonly<Partial<Record<Resource, number>>>;
}

/** Null: nothing is known. Samples of one time after another; a sample at a time already seen is a repetition and ignored. USAGE without a size. */
export function traceOfSamples(vm: string, samples: readonly Sample[], resource: BacktestResource): Trace | null {
  const ordered = samples.filter(({ used }) => !Number.isNaN(used)).sort((a, b) => a.timeMs - b.timeMs);
  if (ordered.length === 0) return null;
  const granted = samples.reduce((most, { size }) => (Number.isNaN(size) ? most : Math.max(most, size)), 0);
  if (granted <= 0) throw new HeadroomError('USAGE', "the VM's size is not known, and without it there is nothing to compare with");
  const stepMs = Math.max(BIN_MS, usualStep(ordered));
  const bins = binsOf(ordered, stepMs);
  const gathered = (of: (sample: Sample) => number, most: boolean): Float64Array =>
    Float64Array.from(bins.values(), (bin) => gather(bin.map(of), most));
  const heard = (other: Resource): Float64Array => gathered((sample) => sample.heard?.[other] ?? Number.NaN, GATHERS_MAX[other]);
  const used = gathered((sample) => sample.used, GATHERS_MAX[resource]);
  return { vm, stepMs, granted, timesMs: Float64Array.from(bins.keys()), used, ...othersFrom(resource, bins.size, heard) };
}

/** Samples of each bin, by its start. */
function binsOf(ordered: readonly Sample[], stepMs: number): Map<number, Sample[]> {
  const bins = new Map<number, Sample[]>();
  let lastMs = Number.NaN;
  for (const sample of ordered) {
    if (sample.timeMs === lastMs) continue;
    lastMs = sample.timeMs;
    const start = Math.floor(sample.timeMs / stepMs) * stepMs;
    const bin = bins.get(start) ?? [];
    if (bin.length === 0) bins.set(start, bin);
    bin.push(sample);
  }
  return bins;
}

/** The largest or the mean of what is known; NaN when nothing is. */
function gather(values: readonly number[], most: boolean): number {
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length === 0) return Number.NaN;
  return most ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0) / known.length;
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

/** What the others used, by the start of each bin, beside a trace of such bins. */
export function othersAligned(
  resource: BacktestResource,
  { timesMs }: Pick<Trace, 'timesMs'>,
  heard: ReadonlyMap<Resource, ReadonlyMap<number, number>>,
): Pick<Trace, 'others'> {
  return othersFrom(resource, timesMs.length, (other) => {
    const bins = heard.get(other);
    return bins === undefined ? null : timesMs.map((timeMs) => bins.get(timeMs) ?? Number.NaN);
  });
}
