/** Puts a remote series store together from a server's adapter. Input: server, endpoint, limits; output: the store, ready. */
import type { Clock } from '../../../shared/clock.ts';
import type { Prng } from '../../../shared/prng.ts';
import type { SeriesStore } from '../series-store.ts';
import type { Credentials, HttpEndpoint } from './http-endpoint.ts';
import { LineWriter } from './line-writer.ts';
import type { RemoteOptions } from './remote-options.ts';
import { RemoteSeriesStore, type Report } from './remote-series-store.ts';
import type { SeriesServer } from './series-server.ts';

/** What every remote store is told beside its own address. */
export interface RemoteGiven extends Partial<RemoteOptions> {
  url: string;
  credentials?: Credentials | null;
  /** Left out: compressed unless the server is on this machine, where it costs more than it saves. */
  gzip?: boolean;
  /** A server that is away at the start is waited for instead of refused. */
  patient?: boolean;
  clock: Clock;
  prng: Prng;
  /** Hears of refused lines and failing writes, in words for an operator. */
  onReport?: Report;
}

/** Rejects with STORE_UNAVAILABLE (unless patient), PERMISSION, CONFIG_INVALID. */
export async function openRemote(
  server: SeriesServer,
  endpoint: HttpEndpoint,
  given: RemoteGiven,
  options: RemoteOptions,
): Promise<SeriesStore> {
  const { clock, prng, onReport = () => undefined } = given;
  const makeWriter = (store: RemoteSeriesStore): LineWriter =>
    new LineWriter({
      endpoint,
      pathOf: (resolution) => server.writePath(resolution),
      clock,
      prng,
      gzip: given.gzip ?? !endpoint.loopback,
      timeoutMs: options.timeoutMs,
      retryForMs: options.retryForMs,
      waitingMax: options.waitingMax,
      onRefusedLines: (reason, lines, said) => store.refusedLines(reason, lines, said),
    });
  const store = new RemoteSeriesStore({ server, makeWriter, clock, prng, options, report: onReport });
  await store.open(given.patient === true);
  return store;
}
