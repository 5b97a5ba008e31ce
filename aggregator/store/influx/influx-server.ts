/**
 * InfluxDB as a series server: rows and statistics read by InfluxQL, statistics made by the server's own functions and
 * written back as lines, so that every version can do it (continuous queries exist in version 1 only and leave late rows
 * out). Input: queries; output: results by the seam's rules.
 */
import type { Source, Subject } from '../../../shared/telemetry.ts';
import { bodiesOf, escapeKey, type LineBody } from '../remote/line-protocol.ts';
import type { RemoteOptions } from '../remote/remote-options.ts';
import { ResultRows } from '../remote/result-rows.ts';
import { type Aggregated, BIN_MS } from '../remote/roll-up.ts';
import { formatSeriesName, fromSafe, parseSeriesName, type SeriesName } from '../remote/series-name.ts';
import { type SeriesServer, STATE_MEASUREMENT } from '../remote/series-server.ts';
import type { LastValue, Resolution, SeriesQueryMany, SeriesResult } from '../series-store.ts';
import { STATISTICS, splitStatistic } from '../statistics.ts';
import { keepInfluxBudget, shardsOf } from './influx-budget.ts';
import { type InfluxConnection, POLICIES } from './influx-connection.ts';
import { prepareInflux } from './influx-setup.ts';
import { fieldName, type InfluxSeries, ofForecast, ofSubjects, quoteName, quoteText, statisticOf, timeWithin } from './influxql.ts';

/** Subjects named in one statement: the server's planning grows with them. */
const SUBJECTS_PER_STATEMENT = 250;
/** Subjects whose bin is summed up at once: half a second for a measurement of four fields. */
const SUBJECTS_PER_SUM = 200;

/** A column asked for: where it stands in the answer, and what it is called in the store. */
interface Asked {
  column: number;
  name: SeriesName;
  statistic: string;
}

export class InfluxServer implements SeriesServer {
  readonly kind = 'influxdb';
  readonly tags = { raw: '', '5m': '', '1h': '' } as const;
  readonly #connection: InfluxConnection;
  readonly #options: RemoteOptions;

  constructor(connection: InfluxConnection, options: RemoteOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  writePath(resolution: Resolution): string {
    return this.#connection.writePath(resolution);
  }

  prepare(): Promise<void> {
    return prepareInflux(this.#connection, this.#options);
  }

  async queryMany(query: SeriesQueryMany, freshFromMs: number): Promise<SeriesResult[]> {
    const { subjects, fields, resolution } = query;
    const results = new Map<string, ResultRows>();
    for (const { kind, id } of subjects) results.set(`${kind}/${id}`, new ResultRows(fields));
    const asked = fields.map((name, column): Asked => {
      const { field, statistic } = resolution === 'raw' ? { field: name, statistic: 0 } : splitStatistic(name);
      return { column, name: parseSeriesName(field), statistic: STATISTICS[statistic]! };
    });
    const statements: { text: string; asked: readonly Asked[] }[] = [];
    for (const sameKind of chunksByKind(subjects, SUBJECTS_PER_STATEMENT)) {
      for (const group of Map.groupBy(asked, ({ name }) => `${name.measurement}${ofForecast(name)}`).values()) {
        statements.push(...this.#statements(query, sameKind, group, freshFromMs).map((text) => ({ text, asked: group })));
      }
    }
    const answers = await this.#connection.query(statements.map(({ text }) => text));
    for (const [i, { series }] of answers.entries()) {
      for (const each of series) fill(results, statements[i]!.asked, each);
    }
    return subjects.map(({ kind, id }) => results.get(`${kind}/${id}`)!.finish());
  }

  async last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]> {
    const within = `time >= ${Math.ceil(nowMs - withinMs)}ms`;
    const wheres = subjects
      ? (['host', 'guest'] as const).flatMap((source) =>
          chunksByKind(subjects, SUBJECTS_PER_STATEMENT).map((chunk) => `${within} AND ${ofSubjects(chunk, source)}`),
        )
      : [`${within} AND "source" != ''`];
    const from = `${quoteName(POLICIES.raw)}./.*/`;
    const answers = await this.#connection.query(
      wheres.map((where) => `SELECT * FROM ${from} WHERE ${where} GROUP BY * ORDER BY time DESC LIMIT 1`),
    );
    return newestRows(answers.flatMap(({ series }) => series));
  }

  async subjects(): Promise<{ subject: Subject; source: Source }[]> {
    const sources = ['host', 'guest'] as const;
    const on = quoteName(this.#connection.database);
    const answers = await this.#connection.query(
      sources.map((source) => `SHOW TAG VALUES ON ${on} WITH KEY IN ("vm", "host") WHERE "source" = ${quoteText(source)}`),
    );
    const all = new Map<string, { subject: Subject; source: Source }>();
    for (const [i, { series }] of answers.entries()) {
      for (const [key, value] of series.flatMap(({ values }) => values)) {
        const subject = { kind: key as Subject['kind'], id: fromSafe(String(value)) };
        all.set(`${subject.kind}/${subject.id}/${sources[i]}`, { subject, source: sources[i]! });
      }
    }
    return [...all.values()];
  }

  async *sumUp(resolution: Aggregated, startMs: number, endMs: number): AsyncIterable<LineBody> {
    const functions = STATISTICS.map((statistic) => `${statisticOf(statistic, '*')} AS ${quoteName(statistic)}`).join(', ');
    const width = BIN_MS[resolution] / 60_000;
    // Each series, field and function costs the server an iterator of its own: some seconds a request, whatever the fleet.
    const subjects = new Map((await this.subjects()).map(({ subject }) => [`${subject.kind}/${subject.id}`, subject]));
    const chunks = chunksByKind([...subjects.values()], SUBJECTS_PER_SUM);
    for (const measurement of await this.#measurements()) {
      const from = this.#connection.from('raw', measurement);
      for (const chunk of chunks) {
        const where = `${timeWithin(startMs, endMs)} AND ${ofSubjects(chunk, null)}`;
        const [answer] = await this.#connection.query([
          `SELECT ${functions} FROM ${from} WHERE ${where} GROUP BY time(${width}m), * fill(none)`,
        ]);
        yield* bodiesOf(answer!.series.map(statisticLines));
      }
    }
  }

  async firstRowMs(fromMs: number, toMs: number): Promise<number | null> {
    const from = `${quoteName(POLICIES.raw)}./.*/`;
    const [answer] = await this.#connection.query([
      `SELECT * FROM ${from} WHERE ${timeWithin(fromMs, toMs)} AND "source" != '' ORDER BY time ASC LIMIT 1`,
    ]);
    const times = answer!.series.map(({ values }) => Number(values[0]![0]));
    return times.length === 0 ? null : Math.min(...times);
  }

  async summedUpThroughMs(resolution: Aggregated): Promise<number | null> {
    const from = this.#connection.from('raw', STATE_MEASUREMENT);
    const [answer] = await this.#connection.query([`SELECT last("throughMs") FROM ${from} WHERE "bins" = ${quoteText(resolution)}`]);
    const value = answer!.series[0]?.values[0]?.[1];
    return typeof value === 'number' ? value : null;
  }

  /** Version 1 tells of its shards; later ones do not over InfluxQL. */
  async size(): Promise<{ bytes: number; rawFromMs: number | null }> {
    if (this.#connection.major !== 1) return { bytes: Number.NaN, rawFromMs: null };
    const shards = await shardsOf(this.#connection);
    const starts = shards.filter(({ resolution }) => resolution === 'raw').map(({ startMs }) => startMs);
    return {
      bytes: shards.reduce((sum, { bytes }) => sum + bytes, 0),
      rawFromMs: starts.length === 0 ? null : Math.min(...starts),
    };
  }

  /** Later versions tell neither of shards nor of sizes over InfluxQL. */
  async keepBudget(bytesMax: number): Promise<readonly string[] | null> {
    return this.#connection.major === 1 ? keepInfluxBudget(this.#connection, bytesMax) : null;
  }

  async problems(): Promise<readonly string[]> {
    return [];
  }

  /** What is stored before `freshFromMs`, what is summed up by the server from then on. */
  #statements(
    { source, fromMs, toMs, resolution }: SeriesQueryMany,
    subjects: readonly Subject[],
    asked: readonly Asked[],
    freshFromMs: number,
  ): string[] {
    const { name } = asked[0]!;
    const where = `${ofSubjects(subjects, source)}${ofForecast(name)}`;
    const tag = quoteName(subjects[0]!.kind);
    const select = (expression: (asked: Asked) => string): string =>
      asked.map((each) => `${expression(each)} AS "c${each.column}"`).join(', ');
    const raw = this.#connection.from('raw', name.measurement);
    if (resolution === 'raw') {
      return [
        `SELECT ${select((each) => fieldName(each.name.field))} FROM ${raw} WHERE ${where} AND ${timeWithin(fromMs, toMs)} GROUP BY ${tag}`,
      ];
    }
    const width = BIN_MS[resolution];
    const startMs = Math.ceil(fromMs / width) * width;
    const endMs = Math.ceil(toMs / width) * width;
    const statements: string[] = [];
    if (startMs < Math.min(endMs, freshFromMs)) {
      const stored = this.#connection.from(resolution, name.measurement);
      const columns = select((each) => fieldName(`${each.name.field}:${each.statistic}`));
      statements.push(
        `SELECT ${columns} FROM ${stored} WHERE ${where} AND ${timeWithin(startMs, Math.min(endMs, freshFromMs))} GROUP BY ${tag}`,
      );
    }
    const freshMs = Math.max(startMs, freshFromMs);
    if (freshMs < endMs) {
      const columns = select((each) => statisticOf(each.statistic, fieldName(each.name.field)));
      statements.push(
        `SELECT ${columns} FROM ${raw} WHERE ${where} AND ${timeWithin(freshMs, endMs)} GROUP BY time(${width / 60_000}m), ${tag} fill(none)`,
      );
    }
    return statements;
  }

  async #measurements(): Promise<string[]> {
    const [answer] = await this.#connection.query([`SHOW MEASUREMENTS ON ${quoteName(this.#connection.database)}`]);
    const names = answer!.series.flatMap(({ values }) => values.map(([name]) => String(name)));
    return names.filter((name) => name !== STATE_MEASUREMENT);
  }
}

/** Subjects of one kind each, so many to a statement. */
function chunksByKind(subjects: readonly Subject[], size: number): Subject[][] {
  return [...Map.groupBy(subjects, ({ kind }) => kind).values()].flatMap((same) => {
    const chunks: Subject[][] = [];
    for (let i = 0; i < same.length; i += size) chunks.push(same.slice(i, i + size));
    return chunks;
  });
}

function subjectOf(tags: Readonly<Record<string, string>>): Subject | null {
  if (tags.vm) return { kind: 'vm', id: fromSafe(tags.vm) };
  return tags.host ? { kind: 'host', id: fromSafe(tags.host) } : null;
}

/** Columns `c7` belong to the field asked for seventh. */
function fill(results: ReadonlyMap<string, ResultRows>, asked: readonly Asked[], { tags, columns, values }: InfluxSeries): void {
  const subject = subjectOf(tags);
  const rows = subject && results.get(`${subject.kind}/${subject.id}`);
  if (!rows) return;
  for (const { column } of asked) {
    const at = columns.indexOf(`c${column}`);
    for (const row of values) {
      const value = row[at];
      if (typeof value === 'number') rows.set(column, row[0] as number, value);
    }
  }
}

/** The newest time of each subject and source, and what all its measurements say of that time. */
function newestRows(series: readonly InfluxSeries[]): LastValue[] {
  const newest = new Map<string, LastValue>();
  for (const { name, tags, columns, values } of series) {
    const subject = subjectOf(tags);
    const [row] = values;
    if (!subject || !row) continue;
    const source = tags.source as Source;
    const timeMs = row[0] as number;
    const key = `${subject.kind}/${subject.id}/${source}`;
    let entry = newest.get(key);
    if (!entry || entry.timeMs < timeMs) {
      entry = { subject, source, timeMs, values: {} };
      newest.set(key, entry);
    }
    if (entry.timeMs !== timeMs) continue;
    for (const [i, column] of columns.entries()) {
      const value = row[i];
      if (i === 0 || typeof value !== 'number') continue;
      const { quantile = '', horizon = '' } = tags;
      const forecast = { quantile: quantile === '' ? null : fromSafe(quantile), horizon: horizon === '' ? null : fromSafe(horizon) };
      entry.values[formatSeriesName({ measurement: name, field: fromSafe(column), ...forecast })] = value;
    }
  }
  return [...newest.values()];
}

/** `mean_usageCores` of an answer is field `usageCores:mean` of a line; tags are taken over. */
function statisticLines({ name, tags, columns, values }: InfluxSeries): string {
  const named = columns.slice(1).map((column) => {
    const [statistic] = column.split('_', 1) as [string];
    return `${escapeKey(`${column.slice(statistic.length + 1)}:${statistic}`)}=`;
  });
  let head = name;
  for (const [key, value] of Object.entries(tags)) if (value !== '') head += `,${key}=${escapeKey(value)}`;
  let text = '';
  for (const [time, ...row] of values) {
    const fields = named.flatMap((key, i) => (typeof row[i] === 'number' ? [key + row[i]] : []));
    if (fields.length > 0) text += `${head} ${fields.join(',')} ${time}\n`;
  }
  return text;
}
