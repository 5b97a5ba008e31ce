/** The words of a backtest: what a VM used, sample by sample, and what it had. Plain data. */

/** One VM and resource. Rows ascend in time; a missing row is a gap, NaN an unknown value. */
export interface Trace {
  vm: string;
  /** Length of a sample, ms; a sample is labelled by its start. */
  stepMs: number;
  /** [samples] UTC ms. */
  timesMs: Float64Array;
  /** [samples] headline unit; NaN = unknown. */
  used: Float64Array;
  /** What its other resources used, in the order of the file's columns: [series][samples], NaN = unknown; absent = nothing is known. */
  others?: readonly Float64Array[];
  /** The VM's largest provisioned size, headline unit; NaN = unknown. */
  granted: number;
}

/** What the others used in one sample; nothing where nothing is known of them. */
export function othersAt({ others }: Pick<Trace, 'others'>, sample: number): { others?: number[] } {
  return others === undefined ? {} : { others: others.map((series) => series[sample]!) };
}
