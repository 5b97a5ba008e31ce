/**
 * Database and retention policies for three resolutions, made where they are missing and set where they differ: running it
 * again changes nothing. Version 1 is told in InfluxQL; version 2 has buckets `database/policy`, made by its own API;
 * version 3 makes databases by itself when they are written to, and keeps what its operator says.
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { RemoteOptions } from '../remote/remote-options.ts';
import type { Resolution } from '../series-store.ts';
import { type InfluxConnection, POLICIES } from './influx-connection.ts';
import { quoteName } from './influxql.ts';

const RESOLUTIONS: readonly Resolution[] = ['raw', '5m', '1h'];
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export type Retentions = Pick<RemoteOptions, 'rawRetentionMs' | 'fiveMinuteRetentionMs' | 'hourRetentionMs'>;

/** Rejects with CONFIG_INVALID (another kind of server), PERMISSION, STORE_UNAVAILABLE. */
export async function prepareInflux(connection: InfluxConnection, retentions: Retentions): Promise<void> {
  await connection.greet();
  if (connection.major === 1) await preparePolicies(connection, retentions);
  else if (connection.major === 2) await prepareBuckets(connection, retentions);
}

function retentionMs(resolution: Resolution, retentions: Retentions): number {
  if (resolution === 'raw') return retentions.rawRetentionMs;
  return resolution === '5m' ? retentions.fiveMinuteRetentionMs : retentions.hourRetentionMs;
}

/** Data goes a shard at a time: small ones where little time is kept, few where much is. */
function shardMs(keptMs: number): number {
  if (keptMs <= 4 * DAY_MS) return HOUR_MS;
  return keptMs <= 180 * DAY_MS ? DAY_MS : 7 * DAY_MS;
}

async function preparePolicies(connection: InfluxConnection, retentions: Retentions): Promise<void> {
  const database = quoteName(connection.database);
  await connection.query([`CREATE DATABASE ${database}`]);
  const existing = await policiesOf(connection);
  for (const resolution of RESOLUTIONS) {
    const name = POLICIES[resolution];
    const keptMs = retentionMs(resolution, retentions);
    const known = existing.get(name);
    const isDefault = resolution === 'raw';
    if (known && known.durationMs === keptMs && (known.isDefault || !isDefault)) continue;
    const kept = `DURATION ${Math.round(keptMs / 1000)}s REPLICATION 1 SHARD DURATION ${shardMs(keptMs) / HOUR_MS}h`;
    const statement = `RETENTION POLICY ${quoteName(name)} ON ${database} ${kept}${isDefault ? ' DEFAULT' : ''}`;
    await connection.query([`${known ? 'ALTER' : 'CREATE'} ${statement}`]);
  }
}

async function policiesOf(connection: InfluxConnection): Promise<Map<string, { durationMs: number; isDefault: boolean }>> {
  const [result] = await connection.query([`SHOW RETENTION POLICIES ON ${quoteName(connection.database)}`]);
  const [series] = result!.series;
  const at = (name: string): number => series?.columns.indexOf(name) ?? -1;
  if (at('name') < 0 || at('duration') < 0) {
    // VictoriaMetrics answers any InfluxQL with 200 and a list of databases.
    const message = `${connection.endpoint.base} answers InfluxQL without meaning it: it is another kind of server`;
    throw new HeadroomError('CONFIG_INVALID', `${message}; set store.kind to victoriametrics if it is one`);
  }
  return new Map(
    series!.values.map((row) => [
      String(row[at('name')]),
      { durationMs: goDurationMs(String(row[at('duration')])), isDefault: row[at('default')] === true },
    ]),
  );
}

/** `2160h0m0s` as milliseconds; `0s` is for ever. */
export function goDurationMs(text: string): number {
  let ms = 0;
  const units: Readonly<Record<string, number>> = { h: HOUR_MS, m: 60_000, s: 1000, ms: 1 };
  for (const [, value, unit] of text.matchAll(/([\d.]+)(ms|h|m|s)/g)) ms += Number(value) * units[unit!]!;
  return ms;
}

interface Bucket {
  id: string;
  retentionRules: { everySeconds: number }[];
}

/** By version 2's documentation: a bucket of this name answers /query as database and retention policy by itself. */
async function prepareBuckets(connection: InfluxConnection, retentions: Retentions): Promise<void> {
  const { endpoint, org } = connection;
  for (const resolution of RESOLUTIONS) {
    const name = `${connection.database}/${POLICIES[resolution]}`;
    const everySeconds = Math.round(retentionMs(resolution, retentions) / 1000);
    const query = new URLSearchParams({ name, ...(org === null ? {} : { org }) });
    const { buckets } = (await endpoint.askJson(`/api/v2/buckets?${query}`)) as { buckets: Bucket[] };
    const retentionRules = [{ type: 'expire', everySeconds, shardGroupDurationSeconds: shardMs(everySeconds * 1000) / 1000 }];
    if (buckets.length === 0) {
      await endpoint.sendJson('POST', '/api/v2/buckets', { orgID: await orgId(connection), name, retentionRules });
    } else if (buckets[0]!.retentionRules[0]?.everySeconds !== everySeconds) {
      await endpoint.sendJson('PATCH', `/api/v2/buckets/${buckets[0]!.id}`, { retentionRules });
    }
  }
}

async function orgId({ endpoint, org }: InfluxConnection): Promise<string> {
  const query = org === null ? '' : `?${new URLSearchParams({ org })}`;
  const { orgs } = (await endpoint.askJson(`/api/v2/orgs${query}`)) as { orgs: { id: string }[] };
  if (orgs.length === 1) return orgs[0]!.id;
  throw new HeadroomError('CONFIG_INVALID', `store.org is ${org ?? 'not set'}; ${orgs.length} organisations fit, one is needed`);
}
