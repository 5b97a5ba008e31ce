/** What can be set of a series store on a server, with defaults. Databases and credentials are each adapter's own. */
import { HeadroomError } from '../../../shared/errors.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface RemoteOptions {
  /** How long rows are kept as they came, milliseconds. */
  rawRetentionMs: number;
  /** How long five-minute statistics are kept, milliseconds. */
  fiveMinuteRetentionMs: number;
  /** How long hourly statistics are kept, milliseconds. */
  hourRetentionMs: number;
  /** All of ours together; above it the oldest go, whatever the retention says. Infinity: no budget. */
  bytesMax: number;
  /** Rows older than this when they arrive are dropped: their bins are closed. */
  lateMs: number;
  /** Rows further in the future than this are dropped: their sender's clock is wrong. */
  aheadMs: number;
  /** One request, until its answer, milliseconds. */
  timeoutMs: number;
  /** How long a write is tried again before its rows are given back to their senders, milliseconds. */
  retryForMs: number;
  /** Characters of line protocol under way; beyond it appends are refused. */
  waitingMax: number;
}

export const REMOTE_DEFAULTS: RemoteOptions = {
  rawRetentionMs: 48 * HOUR_MS,
  fiveMinuteRetentionMs: 90 * DAY_MS,
  hourRetentionMs: 730 * DAY_MS,
  // It is the server's disk: nothing of it is given up unless somebody said how much is ours.
  bytesMax: Number.POSITIVE_INFINITY,
  lateMs: 2 * HOUR_MS,
  aheadMs: HOUR_MS,
  timeoutMs: 30_000,
  // Agents keep what is not acknowledged: giving back soon frees our memory, and a restart of the server is ridden out.
  retryForMs: 15_000,
  waitingMax: 128 * 1024 * 1024,
};

/** Fills in defaults. Throws CONFIG_INVALID on values that cannot work. */
export function remoteOptions(given: Partial<RemoteOptions>): RemoteOptions {
  // Only what belongs here: callers hand over all they were given.
  const names = Object.keys(REMOTE_DEFAULTS) as (keyof RemoteOptions)[];
  const options = Object.fromEntries(names.map((name) => [name, given[name] ?? REMOTE_DEFAULTS[name]])) as unknown as RemoteOptions;
  for (const [name, value] of Object.entries(options)) {
    if (!(value > 0)) throw new HeadroomError('CONFIG_INVALID', `store.${name} is ${value}; it must be above 0`);
  }
  if (options.rawRetentionMs < options.lateMs + HOUR_MS) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `store.rawRetentionMs is ${options.rawRetentionMs}; late rows need lateMs (${options.lateMs}) and an hour at least`,
    );
  }
  return options;
}
