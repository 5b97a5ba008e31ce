/** The words of a backtest: what a VM used, sample by sample, and what it had. Plain data. */
import type { Resource } from '../../../shared/resources.ts';
import { othersOf } from '../forecast/heard.ts';

/** Series a backtest knows; `cpumax` is the maximum within each sample. */
export const BACKTEST_RESOURCES = ['cpu', 'memory', 'cpumax'] as const;
export type BacktestResource = (typeof BACKTEST_RESOURCES)[number];

/** What is allocated by it. */
export const RESOURCE_OF: Readonly<Record<BacktestResource, Resource>> = { cpu: 'cpu', memory: 'memory', cpumax: 'cpu' };

/** One VM and resource. Rows ascend in time; a missing row is a gap, NaN an unknown value. */
export interface Trace {
  vm: string;
  /** Length of a sample, ms; a sample is labelled by its start. */
  stepMs: number;
  /** [samples] UTC ms. */
  timesMs: Float64Array;
  /** [samples] headline unit; NaN = unknown. */
  used: Float64Array;
  /** What its other resources used, in the order in which forecasts hear them: [series][samples], NaN = unknown; absent = nothing is known. */
  others?: readonly Float64Array[];
  /** The VM's largest provisioned size, headline unit; NaN = unknown. */
  granted: number;
}

/** What the others used in one sample; nothing where nothing is known of them. */
export function othersAt({ others }: Pick<Trace, 'others'>, sample: number): { others?: number[] } {
  return others === undefined ? {} : { others: others.map((series) => series[sample]!) };
}

/** What the others of a trace's resource used, from whatever tells of each [samples]; null = nothing does. */
export function othersFrom(
  resource: BacktestResource,
  samples: number,
  seriesOf: (other: Resource) => Float64Array | null,
): Pick<Trace, 'others'> {
  const told = othersOf(RESOURCE_OF[resource]).map((other) => seriesOf(other));
  const known = told.some((series) => series?.some((value) => !Number.isNaN(value)));
  return known ? { others: told.map((series) => series ?? new Float64Array(samples).fill(Number.NaN)) } : {};
}
