/**
 * What a collector is: one source, read at the sample's pace, isolated and timed by `runCollectors`. Output is a reading
 * (values by field name, NaN = this value unknown), "no data" (the source does not exist here: not a fault), or a failure
 * (it should have answered and did not).
 */
import { errorText } from '../../shared/errors.ts';

export interface Reading {
  kind: 'reading';
  values: Record<string, number>;
}

export interface NoData {
  kind: 'no-data';
  reason: string;
}

export interface Collector {
  readonly name: string;
  /** Every field it may give. */
  readonly fields: readonly string[];
  /** Fields without which a reading is a failure; rates need two readings, so they are never required. */
  readonly required: readonly string[];
  /** Throws when the source is there and cannot be understood. */
  update(nowMonotonicMs: number): Reading | NoData;
}

export interface CollectorReport {
  name: string;
  outcome: 'ok' | 'no-data' | 'failed';
  reason: string;
  durationMs: number;
}

export const noData = (reason: string): NoData => ({ kind: 'no-data', reason });
export const reading = (values: Record<string, number>): Reading => ({ kind: 'reading', values });

/**
 * Runs every collector once; one that fails takes nothing from the others. `values` gets what they told, `monotonicMs` is
 * read before and after each.
 */
export function runCollectors(
  collectors: readonly Collector[],
  monotonicMs: () => number,
  values: Record<string, number>,
): CollectorReport[] {
  return collectors.map((collector) => {
    const startMs = monotonicMs();
    const { outcome, reason } = runOne(collector, startMs, values);
    return { name: collector.name, outcome, reason, durationMs: monotonicMs() - startMs };
  });
}

function runOne(collector: Collector, nowMs: number, values: Record<string, number>): Pick<CollectorReport, 'outcome' | 'reason'> {
  try {
    const result = collector.update(nowMs);
    if (result.kind === 'no-data') return { outcome: 'no-data', reason: result.reason };
    const missing = collector.required.filter((field) => !Number.isFinite(result.values[field] ?? Number.NaN));
    for (const field of collector.fields) {
      const value = result.values[field];
      if (value !== undefined) values[field] = value;
    }
    return missing.length === 0 ? { outcome: 'ok', reason: '' } : { outcome: 'failed', reason: `did not tell ${missing.join(', ')}` };
  } catch (error) {
    return { outcome: 'failed', reason: errorText(error) };
  }
}
