/**
 * InfluxQL: quoting, statements that read rows and statistics, and answers as objects. Input: names, subjects, times;
 * output: text for /query, results of it. Only what every version from 1.6 to 3 understands.
 */
import type { Source, Subject } from '../../../shared/telemetry.ts';
import { type SeriesName, safeField, safeText } from '../remote/series-name.ts';

export interface InfluxSeries {
  name: string;
  tags: Readonly<Record<string, string>>;
  columns: readonly string[];
  values: readonly (readonly (number | string | boolean | null)[])[];
}

export interface StatementResult {
  statement: number;
  series: readonly InfluxSeries[];
  error: string | null;
}

export function quoteName(name: string): string {
  return `"${name.replace(/["\\]/g, '\\$&')}"`;
}

export function quoteText(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}

export function fieldName(field: string): string {
  return quoteName(safeField(field));
}

export function timeWithin(fromMs: number, toMs: number): string {
  return `time >= ${Math.ceil(fromMs)}ms AND time < ${Math.ceil(toMs)}ms`;
}

/** Subjects of one kind; `source` null: whoever says it. */
export function ofSubjects(subjects: readonly Subject[], source: Source | null): string {
  const ids = subjects.map(({ kind, id }) => `${quoteName(kind)} = ${quoteText(safeText(id))}`);
  return `"source" ${source === null ? "!= ''" : `= ${quoteText(source)}`} AND (${ids.join(' OR ')})`;
}

export function ofForecast({ quantile, horizon }: SeriesName): string {
  if (quantile === null || horizon === null) return '';
  return ` AND "quantile" = ${quoteText(safeText(quantile))} AND "horizon" = ${quoteText(safeText(horizon))}`;
}

/** InfluxQL's `percentile` is a value that was seen, at rank round(share × count): nearest rank, or one below it. */
const FUNCTIONS: Readonly<Record<string, (field: string) => string>> = {
  mean: (field) => `mean(${field})`,
  max: (field) => `max(${field})`,
  count: (field) => `count(${field})`,
  p50: (field) => `percentile(${field}, 50)`,
  p90: (field) => `percentile(${field}, 90)`,
  p99: (field) => `percentile(${field}, 99)`,
};

export function statisticOf(statistic: string, field: string): string {
  return FUNCTIONS[statistic]!(field);
}

/** Throws TypeError on something that is no answer of /query. */
export function readResults(answer: unknown): StatementResult[] {
  const { results } = answer as { results: RawResult[] };
  return results.map(({ statement_id, series, error }, i) => ({
    statement: statement_id ?? i,
    error: error ?? null,
    series: (series ?? []).map(({ name, tags, columns, values }) => ({
      name: name ?? '',
      tags: tags ?? {},
      columns,
      values: values ?? [],
    })),
  }));
}

interface RawResult {
  statement_id?: number;
  error?: string;
  series?: { name?: string; tags?: Record<string, string>; columns: string[]; values?: (number | string | boolean | null)[][] }[];
}
