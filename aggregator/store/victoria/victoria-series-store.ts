/**
 * The SeriesStore on VictoriaMetrics, single node or cluster: line protocol in, PromQL out. Input: addresses, database,
 * credentials, limits. Output: a SeriesStore whose appends are acknowledged when VictoriaMetrics has taken them; it writes
 * to its disk some seconds later.
 */
import { HttpEndpoint } from '../remote/http-endpoint.ts';
import { openRemote, type RemoteGiven } from '../remote/open-remote.ts';
import { remoteOptions } from '../remote/remote-options.ts';
import type { SeriesStore } from '../series-store.ts';
import { VictoriaConnection } from './victoria-connection.ts';
import { VictoriaServer } from './victoria-server.ts';

export interface VictoriaSeriesStoreOptions extends RemoteGiven {
  /** Becomes the label `db`. */
  database: string;
  /** Where PromQL is asked, when it is not `url`: a cluster's vmselect, with tenant. */
  readUrl?: string | null;
}

/** Rejects with STORE_UNAVAILABLE (nobody there), PERMISSION (credentials), CONFIG_INVALID (another kind of server, options). */
export function openVictoriaSeriesStore(given: VictoriaSeriesStoreOptions): Promise<SeriesStore> {
  const { url, readUrl = null, credentials = null, database, clock } = given;
  const options = remoteOptions(given);
  const shared = { name: 'VictoriaMetrics', credentials, timeoutMs: options.timeoutMs };
  const write = new HttpEndpoint({ ...shared, url });
  const read = new HttpEndpoint({ ...shared, url: readUrl ?? url });
  return openRemote(new VictoriaServer(new VictoriaConnection({ read, database }), options, clock), write, given, options);
}
