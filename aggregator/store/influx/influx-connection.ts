/**
 * An InfluxDB of version 1.6 to 3: what it is, where lines go, InfluxQL to it. Input: address, database, credentials;
 * output: results of statements, or an error that says what to do. Three resolutions are three retention policies of one
 * database in version 1, and buckets `database/policy` in later ones, which /query maps to the same names.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { HttpEndpoint } from '../remote/http-endpoint.ts';
import type { Resolution } from '../series-store.ts';
import { quoteName, readResults, type StatementResult } from './influxql.ts';

/** Names of retention policies, written into dashboards: they stay. */
export const POLICIES: Readonly<Record<Resolution, string>> = { raw: 'raw', '5m': '5m', '1h': '1h' };

export interface InfluxConnectionOptions {
  endpoint: HttpEndpoint;
  database: string;
  /** Organisation of version 2 and later; null: the default one. */
  org: string | null;
  writePath: 'auto' | 'v1' | 'v2';
}

export class InfluxConnection {
  readonly endpoint: HttpEndpoint;
  readonly database: string;
  readonly org: string | null;
  readonly #writePath: 'auto' | 'v1' | 'v2';
  #major = 1;
  #version = '';

  constructor({ endpoint, database, org, writePath }: InfluxConnectionOptions) {
    this.endpoint = endpoint;
    this.database = database;
    this.org = org;
    this.#writePath = writePath;
  }

  /** 1, 2 or 3; known after `greet`. */
  get major(): number {
    return this.#major;
  }

  get version(): string {
    return this.#version;
  }

  /** Rejects with STORE_UNAVAILABLE (nobody there), CONFIG_INVALID (somebody else is there). */
  async greet(): Promise<void> {
    const { status, headers } = await this.endpoint.ask('/ping');
    const version = headers.get('x-influxdb-version');
    if (version === null) {
      const message = `${this.endpoint.base} answers /ping with ${status} and without InfluxDB's version: it is another kind of server`;
      throw new HeadroomError('CONFIG_INVALID', `${message}; check store.url, or set store.kind to victoriametrics if it is one`);
    }
    this.#version = version;
    this.#major = Number(/^v?(\d+)\./.exec(version)?.[1] ?? 1);
  }

  /** Version 1.8 has /api/v2/write too, but only /write there knows of retention policies by name in every case. */
  writePath(resolution: Resolution): string {
    const useV2 = this.#writePath === 'v2' || (this.#writePath === 'auto' && this.#major >= 2);
    const policy = POLICIES[resolution];
    const query = useV2
      ? new URLSearchParams({ bucket: `${this.database}/${policy}`, ...(this.org === null ? {} : { org: this.org }), precision: 'ms' })
      : new URLSearchParams({ db: this.database, rp: policy, precision: 'ms' });
    return `${useV2 ? '/api/v2/write' : '/write'}?${query}`;
  }

  /** `"raw"."vm_cpu"` for a statement's FROM. */
  from(resolution: Resolution, measurement: string): string {
    return `${quoteName(POLICIES[resolution])}.${quoteName(measurement)}`;
  }

  /** One result per statement, in their order. Rejects with STORE_UNAVAILABLE when the server reports an error for any. */
  async query(statements: readonly string[]): Promise<StatementResult[]> {
    if (statements.length === 0) return [];
    const results = await this.#ask(statements);
    const failed = results.find(({ error }) => error !== null);
    if (failed) {
      const statement = statements[failed.statement] ?? statements[0]!;
      const message = `InfluxDB ${this.#version} at ${this.endpoint.base} refused "${statement.slice(0, 200)}": ${failed.error}`;
      throw new HeadroomError('STORE_UNAVAILABLE', message);
    }
    return statements.map((_, i) => results.find(({ statement }) => statement === i) ?? { statement: i, series: [], error: null });
  }

  /** For statements whose error is an answer. */
  async attempt(statement: string): Promise<StatementResult> {
    const [result] = await this.#ask([statement]);
    return result ?? { statement: 0, series: [], error: null };
  }

  async #ask(statements: readonly string[]): Promise<StatementResult[]> {
    const form = { db: this.database, epoch: 'ms', q: statements.join('; ') };
    const answer = await this.endpoint.askJson('/query', form);
    try {
      return readResults(answer);
    } catch (error) {
      const message = `${this.endpoint.base} answered /query with something that is no InfluxQL result; check store.url`;
      throw new HeadroomError('STORE_UNAVAILABLE', message, { cause: error });
    }
  }
}
