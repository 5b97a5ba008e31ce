/**
 * A row that the aggregator itself adds to a series. Input: whose, of when, named values; output: a block. Rows of the same
 * names share one field list.
 */
import { sharedFieldList } from '../../../shared/field-lists.ts';
import type { Subject, TelemetryBlock } from '../../../shared/telemetry.ts';

export type NamedValue = [name: string, value: number];

export function ownRow(subject: Subject, timeMs: number, row: readonly NamedValue[]): TelemetryBlock {
  const names: string[] = [];
  const values = new Float64Array(row.length);
  for (let i = 0; i < row.length; i++) {
    names.push(row[i]![0]);
    values[i] = row[i]![1];
  }
  return { subject, source: 'host', fields: sharedFieldList(names), timesMs: Float64Array.of(timeMs), values };
}
