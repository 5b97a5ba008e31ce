/**
 * VictoriaMetrics as a series server: rows and stored statistics read by PromQL, statistics made here from rows, since the
 * open version neither thins out nor knows a quantile that was seen. Retention is the server's own (-retentionPeriod).
 * Input: queries; output: results by the seam's rules.
 */
import type { Clock } from '../../../shared/clock.ts';
import type { Source, Subject } from '../../../shared/telemetry.ts';
import { type LineBody, linesOf } from '../remote/line-protocol.ts';
import type { RemoteOptions } from '../remote/remote-options.ts';
import { ResultRows } from '../remote/result-rows.ts';
import { type Aggregated, BIN_MS } from '../remote/roll-up.ts';
import { parseSeriesName, type SeriesName } from '../remote/series-name.ts';
import { type SeriesServer, STATE_MEASUREMENT } from '../remote/series-server.ts';
import type { LastValue, SeriesQueryMany, SeriesResult } from '../series-store.ts';
import { STATISTICS, splitStatistic, statisticName, writeStatistics } from '../statistics.ts';
import { msOf, nameOfMetric, type PromSeries, type Selection, selector, subjectOfMetric } from './promql.ts';
import type { VictoriaConnection } from './victoria-connection.ts';

/** Subjects named in one request. */
const SUBJECTS_PER_REQUEST = 250;
/** Subjects times seconds whose rows are read at once to sum them up: some 50 MB of answer with 26 fields at 1 Hz. */
const SUBJECT_SECONDS_PER_REQUEST = 30_000;

/** A column asked for: where it stands in the answer, and what it is called in the store. */
interface Asked {
  column: number;
  field: string;
  statistic: number;
}

export class VictoriaServer implements SeriesServer {
  readonly kind = 'victoriametrics';
  readonly tags = { raw: '', '5m': ',resolution=5m', '1h': ',resolution=1h' } as const;
  readonly #connection: VictoriaConnection;
  readonly #options: RemoteOptions;
  readonly #clock: Clock;

  constructor(connection: VictoriaConnection, options: RemoteOptions, clock: Clock) {
    this.#connection = connection;
    this.#options = options;
    this.#clock = clock;
  }

  writePath(): string {
    return this.#connection.writePath();
  }

  prepare(): Promise<void> {
    return this.#connection.greet();
  }

  async queryMany(query: SeriesQueryMany, freshFromMs: number): Promise<SeriesResult[]> {
    const { subjects, fields, resolution } = query;
    const results = new Map<string, ResultRows>();
    for (const { kind, id } of subjects) results.set(`${kind}/${id}`, new ResultRows(fields));
    const asked = fields.map((name, column): Asked => {
      return { column, ...(resolution === 'raw' ? { field: name, statistic: 0 } : splitStatistic(name)) };
    });
    for (const sameKind of chunksByKind(subjects, SUBJECTS_PER_REQUEST)) {
      if (resolution === 'raw') await this.#rows(query, sameKind, asked, results);
      else await this.#statistics({ ...query, resolution }, sameKind, asked, freshFromMs, results);
    }
    return subjects.map(({ kind, id }) => results.get(`${kind}/${id}`)!.finish());
  }

  /** Time and value of each series' newest sample, in one request, so that both are of the same moment. */
  async last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]> {
    const chunks = subjects ? chunksByKind(subjects, SUBJECTS_PER_REQUEST) : [undefined];
    const rows: NewestRow[] = [];
    for (const chunk of chunks) {
      const of = `${selector({ ...this.#raw(), ...(chunk ? { subjects: chunk } : {}) })}[${Math.ceil(withinMs)}ms]`;
      const part = (roll: string): string => `label_set(${roll}(${of}) keep_metric_names, "part", "${roll}")`;
      rows.push(...newestRows(await this.#connection.query(`union(${part('tlast_over_time')}, ${part('last_over_time')})`, nowMs)));
    }
    return lastValues(rows);
  }

  async subjects(): Promise<{ subject: Subject; source: Source }[]> {
    const nowMs = this.#clock.wallMs();
    const fromMs = nowMs - this.#options.hourRetentionMs;
    const found: { subject: Subject; source: Source }[] = [];
    for (const source of ['host', 'guest'] as const) {
      for (const kind of ['vm', 'host'] as const) {
        const of = `{db=${JSON.stringify(this.#connection.database)},source="${source}",${kind}!=""}`;
        const ids = await this.#connection.labelValues(kind, of, fromMs, nowMs + this.#options.aheadMs);
        for (const id of ids) found.push({ subject: subjectOfMetric({ [kind]: id })!, source });
      }
    }
    return found;
  }

  async *sumUp(resolution: Aggregated, startMs: number, endMs: number): AsyncIterable<LineBody> {
    const perRequest = Math.max(1, Math.floor(SUBJECT_SECONDS_PER_REQUEST / (BIN_MS[resolution] / 1000)));
    const subjects = new Map((await this.subjects()).map(({ subject }) => [`${subject.kind}/${subject.id}`, subject]));
    for (const chunk of chunksByKind([...subjects.values()], perRequest)) {
      const series = await this.#connection.rows(selector({ ...this.#raw(), subjects: chunk }), startMs, endMs);
      const blocks = series.map((each) => statisticsBlock(each, startMs));
      yield* linesOf(blocks, this.tags[resolution]).bodies;
    }
  }

  /** Every row of the range would have to be read for it. */
  async firstRowMs(fromMs: number): Promise<number> {
    return fromMs;
  }

  async summedUpThroughMs(resolution: Aggregated): Promise<number | null> {
    const nowMs = this.#clock.wallMs();
    const of = `${STATE_MEASUREMENT}_throughMs{db=${JSON.stringify(this.#connection.database)},bins="${resolution}"}`;
    const [newest] = await this.#connection.query(`last_over_time(${of}[${this.#options.rawRetentionMs}ms])`, nowMs);
    const value = newest?.values.at(-1)?.[1];
    return value === undefined ? null : Number(value);
  }

  /** Of the whole server, from its own metrics; a cluster's storage nodes are not asked. */
  async size(): Promise<{ bytes: number; rawFromMs: number | null }> {
    const { status, text } = await this.#connection.read.ask('/metrics');
    const sizes = status === 200 ? [...text.matchAll(/^vm_data_size_bytes\{[^}]*\} (\S+)$/gm)] : [];
    return { bytes: sizes.length === 0 ? Number.NaN : sizes.reduce((sum, [, bytes]) => sum + Number(bytes), 0), rawFromMs: null };
  }

  async keepBudget(): Promise<null> {
    return null;
  }

  async problems(): Promise<readonly string[]> {
    const { status, text } = await this.#connection.read.ask('/metrics');
    const flag = status === 200 ? /^flag\{name="dedup\.minScrapeInterval", value="([^"]*)"/m.exec(text)?.[1] : undefined;
    if (flag === undefined || !/^0?s?$/.test(flag)) return [];
    return [
      'VictoriaMetrics runs without -dedup.minScrapeInterval=1ms: rows that were sent twice take room twice and count twice in other readers',
    ];
  }

  #raw(): Selection {
    return { database: this.#connection.database, resolution: 'raw' };
  }

  async #rows(
    { source, fromMs, toMs }: SeriesQueryMany,
    subjects: readonly Subject[],
    asked: readonly Asked[],
    results: Results,
  ): Promise<void> {
    const columns = new Map(asked.map(({ field, column }) => [field, column]));
    for (const names of groups(asked.map(({ field }) => field))) {
      const series = await this.#connection.rows(selector({ ...this.#raw(), source, subjects, names }), fromMs, toMs);
      for (const each of series) {
        const rows = resultOf(results, each);
        const column = columns.get(nameOfMetric(each.metric));
        if (!rows || column === undefined) continue;
        for (const [seconds, value] of each.values) rows.set(column, msOf(seconds), Number(value));
      }
    }
  }

  /** What is stored before `freshFromMs`, what is summed up here from then on. */
  async #statistics(
    { source, fromMs, toMs, resolution }: SeriesQueryMany & { resolution: Aggregated },
    subjects: readonly Subject[],
    asked: readonly Asked[],
    freshFromMs: number,
    results: Results,
  ): Promise<void> {
    const width = BIN_MS[resolution];
    const startMs = Math.ceil(fromMs / width) * width;
    const endMs = Math.ceil(toMs / width) * width;
    const { database } = this.#connection;
    const stored = new Map(asked.map(({ field, statistic, column }) => [statisticName(field, statistic), column]));
    for (const names of groups([...stored.keys()])) {
      const of = selector({ database, resolution, source, subjects, names });
      for (const each of await this.#connection.rows(of, startMs, Math.min(endMs, freshFromMs))) {
        const rows = resultOf(results, each);
        const column = stored.get(nameOfMetric(each.metric));
        if (!rows || column === undefined) continue;
        for (const [seconds, value] of each.values) rows.set(column, msOf(seconds), Number(value));
      }
    }
    const byField = Map.groupBy(asked, ({ field }) => field);
    for (const names of groups([...byField.keys()])) {
      const of = selector({ ...this.#raw(), source, subjects, names });
      for (const each of await this.#connection.rows(of, Math.max(startMs, freshFromMs), endMs)) {
        const rows = resultOf(results, each);
        for (const { startMs: binMs, values } of binsOf(each, width)) {
          writeStatistics(values, six, 0);
          for (const { column, statistic } of byField.get(nameOfMetric(each.metric)) ?? []) rows?.set(column, binMs, six[statistic]!);
        }
      }
    }
  }
}

type Results = ReadonlyMap<string, ResultRows>;

const six = new Float64Array(STATISTICS.length);

/** Subjects of one kind each, so many to a request. */
function chunksByKind(subjects: readonly Subject[], size: number): Subject[][] {
  return [...Map.groupBy(subjects, ({ kind }) => kind).values()].flatMap((same) => {
    const chunks: Subject[][] = [];
    for (let i = 0; i < same.length; i += size) chunks.push(same.slice(i, i + size));
    return chunks;
  });
}

/** Names that one selector can ask for: forecasts of one quantile and horizon, or none. */
function groups(fields: readonly string[]): SeriesName[][] {
  return [...Map.groupBy(fields.map(parseSeriesName), ({ quantile, horizon }) => `${quantile}/${horizon}`).values()];
}

function resultOf(results: Results, { metric }: PromSeries): ResultRows | undefined {
  const subject = subjectOfMetric(metric);
  return subject ? results.get(`${subject.kind}/${subject.id}`) : undefined;
}

/** A series' samples by bin; of samples of the same time the last counts. */
function binsOf({ values }: PromSeries, widthMs: number): { startMs: number; values: Float64Array }[] {
  const times = new Map(values.map(([seconds, value]) => [msOf(seconds), Number(value)]));
  const bins = Map.groupBy(times, ([time]) => Math.floor(time / widthMs) * widthMs);
  return [...bins].map(([startMs, rows]) => ({ startMs, values: Float64Array.from(rows, ([, value]) => value) }));
}

function statisticsBlock(series: PromSeries, startMs: number) {
  const name = nameOfMetric(series.metric);
  const rows = new Map(series.values.map(([seconds, value]) => [seconds, Number(value)]));
  const values = new Float64Array(STATISTICS.length);
  writeStatistics(Float64Array.from(rows.values()), values, 0);
  return {
    subject: subjectOfMetric(series.metric)!,
    source: series.metric.source as Source,
    fields: STATISTICS.map((_, statistic) => statisticName(name, statistic)),
    timesMs: Float64Array.of(startMs),
    values,
  };
}

interface NewestRow {
  key: string;
  subject: Subject;
  source: Source;
  name: string;
  timeMs: number;
  value: number;
}

/** Times and values of an answer, put together by series. */
function newestRows(answer: readonly PromSeries[]): NewestRow[] {
  const times = new Map<string, number>();
  const identity = ({ metric: { part: _, ...rest } }: PromSeries): string => JSON.stringify(Object.entries(rest).sort());
  for (const series of answer) {
    if (series.metric.part === 'tlast_over_time') times.set(identity(series), msOf(Number(series.values[0]![1])));
  }
  return answer.flatMap((series) => {
    const subject = subjectOfMetric(series.metric);
    const timeMs = times.get(identity(series));
    if (series.metric.part !== 'last_over_time' || !subject || timeMs === undefined) return [];
    const source = series.metric.source as Source;
    const key = `${subject.kind}/${subject.id}/${source}`;
    return [{ key, subject, source, name: nameOfMetric(series.metric), timeMs, value: Number(series.values[0]![1]) }];
  });
}

function lastValues(rows: readonly NewestRow[]): LastValue[] {
  return [...Map.groupBy(rows, ({ key }) => key).values()].map((own) => {
    const { subject, source } = own[0]!;
    const timeMs = own.reduce((most, row) => Math.max(most, row.timeMs), 0);
    const values = Object.fromEntries(own.filter((row) => row.timeMs === timeMs).map(({ name, value }) => [name, value]));
    return { subject, source, timeMs, values };
  });
}
