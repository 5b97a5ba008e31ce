/**
 * The SeriesStore on InfluxDB, 1.6 to 3. Input: address, database, credentials, limits. Output: a SeriesStore whose
 * appends are acknowledged when InfluxDB has written them.
 */
import { HttpEndpoint } from '../remote/http-endpoint.ts';
import { openRemote, type RemoteGiven } from '../remote/open-remote.ts';
import { remoteOptions } from '../remote/remote-options.ts';
import type { SeriesStore } from '../series-store.ts';
import { InfluxConnection } from './influx-connection.ts';
import { InfluxServer } from './influx-server.ts';

export interface InfluxSeriesStoreOptions extends RemoteGiven {
  database: string;
  /** Version 2 and later; null or left out: the only organisation. */
  org?: string | null;
  /** `auto`: /api/v2/write from version 2 on, /write before. */
  writePath?: 'auto' | 'v1' | 'v2';
}

/** Rejects with STORE_UNAVAILABLE (nobody there), PERMISSION (credentials), CONFIG_INVALID (another kind of server, options). */
export function openInfluxSeriesStore(given: InfluxSeriesStoreOptions): Promise<SeriesStore> {
  const { url, credentials = null, database, org = null, writePath = 'auto' } = given;
  const options = remoteOptions(given);
  const endpoint = new HttpEndpoint({ name: 'InfluxDB', url, credentials, timeoutMs: options.timeoutMs });
  const connection = new InfluxConnection({ endpoint, database, org, writePath });
  return openRemote(new InfluxServer(connection, options), endpoint, given, options);
}
