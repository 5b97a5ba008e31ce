/**
 * A row that the aggregator itself adds to a series. Input: whose, of when, named values; output: a block. Rows of the same
 * names share one field list.
 */
import { sharedFieldList } from '../../../shared/field-lists.ts';
import type { Subject, TelemetryBlock } from '../../../shared/telemetry.ts';

export type NamedValue = [name: string, value: number];

export function ownRow(subject: Subject, timeMs: number, row: readonly NamedValue[]): TelemetryBlock {
  return {
    subject,
    source: 'host',
    fields: sharedFieldList(row.map(([name]) => name)),
    timesMs: Float64Array.of(timeMs),
    values: Float64Array.from(row, ([, value]) => value),
  };
}
