/** What can be set of the embedded series store, with defaults, and the three resolutions it keeps. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { Tier } from './slice-shelf.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 * 1024;

export interface SeriesOptions {
  /** How long rows are kept as they came, milliseconds. */
  rawRetentionMs: number;
  /** How long five-minute statistics are kept, milliseconds. */
  fiveMinuteRetentionMs: number;
  /** How long hourly statistics are kept, milliseconds. */
  hourRetentionMs: number;
  /** All files together; above it the oldest go, whatever the retention says. */
  bytesMax: number;
  /** Rows older than this when they arrive are dropped: their bins are closed. */
  lateMs: number;
  /** Rows further in the future than this are dropped: their sender's clock is wrong. */
  aheadMs: number;
  /** Rows in memory that wait to be sealed, bytes; beyond half of it sealing hurries, beyond it appends are refused. */
  memoryBytesMax: number;
  /** The batch log's file; beyond it appends are refused. */
  logBytesMax: number;
}

export const SERIES_DEFAULTS: SeriesOptions = {
  rawRetentionMs: 48 * HOUR_MS,
  fiveMinuteRetentionMs: 90 * DAY_MS,
  hourRetentionMs: 730 * DAY_MS,
  bytesMax: 20 * 1024 * MIB,
  lateMs: 2 * HOUR_MS,
  aheadMs: HOUR_MS,
  // Ten minutes of 1,000 VMs with two sources of 26 fields at 1 Hz are about 250 MiB.
  memoryBytesMax: 512 * MIB,
  logBytesMax: 1024 * MIB,
};

export const BIN_MS = 5 * MINUTE_MS;
export const SLICE_HOUR_MS = HOUR_MS;

/**
 * Raw slices last an hour: the byte budget can free room in small pieces, and an hour's statistics read one file. Sealed
 * statistics come 96 to a chunk: long queries decompress little, and chunks are big enough to compress. Slice lengths are
 * multiples of chunk lengths and are not configurable, since files of other lengths would overlap.
 */
export const RAW: Tier = { name: 'raw', sliceMs: HOUR_MS, chunkMs: BIN_MS };
export const FIVE_MINUTES: Tier = { name: '5m', sliceMs: 7 * DAY_MS, chunkMs: 96 * BIN_MS };
export const HOURS: Tier = { name: '1h', sliceMs: 92 * DAY_MS, chunkMs: 96 * HOUR_MS };

/** Fills in defaults. Throws CONFIG_INVALID on values that cannot work. */
export function seriesOptions(given: Partial<SeriesOptions>): SeriesOptions {
  const options = { ...SERIES_DEFAULTS, ...given };
  for (const [name, value] of Object.entries(options)) {
    if (!(value > 0)) throw new HeadroomError('CONFIG_INVALID', `store.${name} is ${value}; it must be above 0`);
  }
  if (options.rawRetentionMs < options.lateMs + SLICE_HOUR_MS) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `store.rawRetentionMs is ${options.rawRetentionMs}; late rows need lateMs (${options.lateMs}) and an hour at least`,
    );
  }
  return options;
}
