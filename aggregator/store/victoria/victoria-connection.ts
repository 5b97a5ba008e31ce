/**
 * A VictoriaMetrics, single node or cluster: where lines go, PromQL to it, what kind of server it is. Input: addresses for
 * writing and reading (the same one on a single node), database, credentials; output: series, or an error that says what
 * to do.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { HttpEndpoint } from '../remote/http-endpoint.ts';
import type { PromSeries } from './promql.ts';

export interface VictoriaConnectionOptions {
  /** PromQL is asked at `/api/v1` below it: `http://vmselect:8481/select/0/prometheus` in a cluster. */
  read: HttpEndpoint;
  database: string;
}

interface RawAnswer {
  status?: string;
  data?:
    | { resultType?: string; result?: { metric: Record<string, string>; value?: [number, string]; values?: [number, string][] }[] }
    | string[];
}

export class VictoriaConnection {
  readonly read: HttpEndpoint;
  readonly database: string;

  constructor({ read, database }: VictoriaConnectionOptions) {
    this.read = read;
    this.database = database;
  }

  writePath(): string {
    return `/write?${new URLSearchParams({ db: this.database, precision: 'ms' })}`;
  }

  /** Rejects with STORE_UNAVAILABLE (nobody there), CONFIG_INVALID (somebody else is there). */
  async greet(): Promise<void> {
    const { status, headers } = await this.read.ask('/ping');
    const is = headers.has('x-influxdb-build') ? 'InfluxDB; set store.kind to influxdb' : null;
    const wrong = (what: string): HeadroomError =>
      new HeadroomError('CONFIG_INVALID', `${this.read.base} is ${what}; store.kind victoriametrics needs a server of that kind`);
    if (is) throw wrong(is);
    const answer = await this.read.ask('/api/v1/query', { query: '1', nocache: '1' });
    if (answer.status === 401 || answer.status === 403) throw this.read.refused('/api/v1/query', answer.status, answer.text);
    if (answer.status >= 500) throw this.read.refused('/api/v1/query', answer.status, answer.text);
    if (answer.status !== 200) throw wrong(`no server of PromQL (it answers /api/v1/query with ${answer.status}, /ping with ${status})`);
  }

  /** Instant query at a time, exclusive of nothing: `[range]` ends there. */
  async query(promql: string, timeMs: number): Promise<PromSeries[]> {
    // Without nocache the newest seconds may be left out.
    const answer = await this.read.askJson('/api/v1/query', { query: promql, time: (timeMs / 1000).toFixed(3), nocache: '1' });
    const { status, data } = answer as RawAnswer;
    if (status !== 'success' || data === undefined || Array.isArray(data) || data.result === undefined) {
      throw new HeadroomError(
        'STORE_UNAVAILABLE',
        `${this.read.base} answered "${promql.slice(0, 200)}" without a result; check store.url`,
      );
    }
    return data.result.map(({ metric, value, values }) => ({ metric, values: values ?? (value ? [value] : []) }));
  }

  /** Samples as stored, of [fromMs, toMs). */
  rows(selector: string, fromMs: number, toMs: number): Promise<PromSeries[]> {
    if (toMs <= fromMs) return Promise.resolve([]);
    // A range reaches back from its end and leaves its own beginning out.
    return this.query(`${selector}[${Math.ceil(toMs) - Math.ceil(fromMs)}ms]`, Math.ceil(toMs) - 1);
  }

  async labelValues(label: string, selector: string, fromMs: number, toMs: number): Promise<string[]> {
    const range = { start: (fromMs / 1000).toFixed(3), end: (toMs / 1000).toFixed(3) };
    const answer = await this.read.askJson(`/api/v1/label/${label}/values`, { 'match[]': selector, ...range });
    const { data } = answer as RawAnswer;
    return Array.isArray(data) ? data : [];
  }
}
