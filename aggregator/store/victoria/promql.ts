/**
 * PromQL: selectors of our series, names of metrics, answers as objects. Input: names, subjects, source, resolution;
 * output: text for /api/v1/query, series of it. A metric is `measurement_field`, as VictoriaMetrics names what comes as
 * line protocol; the database is a label.
 */
import type { Source, Subject } from '../../../shared/telemetry.ts';
import { formatSeriesName, fromSafe, type SeriesName, safeField, safeText } from '../remote/series-name.ts';
import type { Resolution } from '../series-store.ts';

export interface PromSeries {
  metric: Readonly<Record<string, string>>;
  /** [seconds, text of the number], in time order. */
  values: readonly (readonly [number, string])[];
}

export interface Selection {
  database: string;
  resolution: Resolution;
  /** Left out: both. */
  source?: Source;
  /** Of one kind; left out: all. */
  subjects?: readonly Subject[];
  /** Left out: all fields. */
  names?: readonly SeriesName[];
}

const quote = (text: string): string => `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const anyOf = (texts: readonly string[]): string =>
  texts.length === 1 ? `=${quote(texts[0]!)}` : `=~${quote(texts.map(literal).join('|'))}`;

export function selector({ database, resolution, source, subjects, names }: Selection): string {
  const labels = [`db=${quote(database)}`, `resolution=${quote(resolution === 'raw' ? '' : resolution)}`];
  labels.push(source ? `source=${quote(source)}` : 'source!=""');
  if (subjects) labels.push(subjects[0]!.kind + anyOf(subjects.map(({ id }) => safeText(id))));
  if (names) {
    labels.push(`__name__${anyOf([...new Set(names.map(metricName))])}`);
    const { quantile, horizon } = names[0]!;
    labels.push(`quantile=${quote(safeText(quantile ?? ''))}`, `horizon=${quote(safeText(horizon ?? ''))}`);
  }
  return `{${labels.join(',')}}`;
}

export function metricName({ measurement, field }: SeriesName): string {
  return `${measurement}_${safeField(field)}`;
}

/** The field's name of a metric; measurements are two words, so the second `_` ends them. */
export function nameOfMetric({ __name__: metric = '', quantile, horizon }: PromSeries['metric']): string {
  const first = metric.indexOf('_');
  const second = metric.indexOf('_', first + 1);
  return formatSeriesName({
    measurement: metric.slice(0, second),
    field: fromSafe(metric.slice(second + 1)),
    quantile: quantile === undefined ? null : fromSafe(quantile),
    horizon: horizon === undefined ? null : fromSafe(horizon),
  });
}

export function subjectOfMetric({ vm, host }: PromSeries['metric']): Subject | null {
  if (vm) return { kind: 'vm', id: fromSafe(vm) };
  return host ? { kind: 'host', id: fromSafe(host) } : null;
}

/** Milliseconds of a time that came as seconds with three decimals. */
export function msOf(seconds: number): number {
  return Math.round(seconds * 1000);
}
