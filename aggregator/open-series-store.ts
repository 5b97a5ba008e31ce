/**
 * Builds the series store that the configuration names: part of the composition root. Input: configuration, clock,
 * generator; output: the store, open. Rejects with what is wrong and which key says so.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../shared/clock.ts';
import { errorText, HeadroomError } from '../shared/errors.ts';
import type { Prng } from '../shared/prng.ts';
import type { AggregatorConfig } from './config.ts';
import { openInfluxSeriesStore } from './store/influx/influx-series-store.ts';
import type { Credentials } from './store/remote/http-endpoint.ts';
import type { SeriesStore } from './store/series-store.ts';
import { openSqliteSeriesStore } from './store/sqlite/sqlite-series-store.ts';
import { openVictoriaSeriesStore } from './store/victoria/victoria-series-store.ts';
import type { StoreConfig } from './store-config.ts';

const DATABASE_DEFAULT = 'headroom';

export interface OpenSeriesOptions {
  config: Pick<AggregatorConfig, 'store' | 'dataDir' | 'seriesBytesMax' | 'rawRetentionMs'>;
  clock: Clock;
  prng: Prng;
  onReport: (message: string) => void;
  /** A server that is away is waited for: for who has something to do meanwhile. */
  patient?: boolean;
}

export async function openSeriesStore({ config, clock, prng, onReport, patient = false }: OpenSeriesOptions): Promise<SeriesStore> {
  const { store, dataDir, seriesBytesMax, rawRetentionMs } = config;
  const limits = {
    ...(rawRetentionMs === null ? {} : { rawRetentionMs }),
    ...(seriesBytesMax === null ? {} : { bytesMax: seriesBytesMax }),
  };
  if (store.kind === 'sqlite') return openSqliteSeriesStore({ directory: join(dataDir, 'series'), clock, onReport, ...limits });
  const { kind: _, auth, database = DATABASE_DEFAULT, ...given } = store;
  const shared = { database, credentials: auth ? credentials(auth) : null, clock, prng, onReport, patient, ...limits };
  return store.kind === 'influxdb' ? openInfluxSeriesStore({ ...given, ...shared }) : openVictoriaSeriesStore({ ...given, ...shared });
}

type Auth = NonNullable<Extract<StoreConfig, { url: string }>['auth']>;

function credentials({ scheme, username, secretFile }: Auth): Credentials {
  let secret: string;
  try {
    secret = readFileSync(secretFile, 'utf8').trim();
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `store.auth.secretFile ${secretFile} cannot be read: ${errorText(error)}`, { cause: error });
  }
  if (secret === '')
    throw new HeadroomError('CONFIG_INVALID', `store.auth.secretFile ${secretFile} is empty; it holds the password or token`);
  return { scheme, secret, ...(username === undefined ? {} : { username }) };
}
