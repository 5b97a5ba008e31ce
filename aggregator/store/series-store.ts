/**
 * The seam to time series. Adapters: sqlite/ (embedded), influx/ and victoria/ (servers; what they share is in remote/).
 * `append` resolves once the rows would survive kill -9 (victoria/: once the server has taken them); rows are idempotent by
 * (subject, source, timestamp): the last write of a field wins (victoria/: which one is not defined).
 */
import type { Source, Subject, TelemetryBlock } from '../../shared/telemetry.ts';

export type Resolution = 'raw' | '5m' | '1h';

export interface SeriesQuery {
  subject: Subject;
  source: Source;
  /** Field names; a field never stored answers NaN. */
  fields: readonly string[];
  fromMs: number;
  /** Exclusive. */
  toMs: number;
  resolution: Resolution;
}

/** One query over many subjects: `subjects` in place of `subject`. */
export interface SeriesQueryMany extends Omit<SeriesQuery, 'subject'> {
  subjects: readonly Subject[];
}

/**
 * Rows in time order in which at least one asked field is known: an unknown value (NaN) is never a write, so it neither
 * overwrites nor makes a row. Bins are labelled by their start; the newest may still be filling, `<field>:count` tells.
 * Columns of equal length; aggregated resolutions answer mean per field, and `<field>:max`, `:count`, `:p50`, `:p90`,
 * `:p99` (nearest rank; influx/ may be one rank below it) when asked by that name; a field unknown in a bin answers NaN for each.
 */
export interface SeriesResult {
  timesMs: Float64Array;
  columns: Record<string, Float64Array>;
}

export interface LastValue {
  subject: Subject;
  source: Source;
  timeMs: number;
  values: Record<string, number>;
}

export interface SeriesStoreStatus {
  kind: string;
  /** NaN: the server does not tell. */
  bytes: number;
  /** null: there are none, or the server does not tell. */
  rawFromMs: number | null;
  /** Rows dropped, by reason (`byte-budget`, `too-late`, …): never silent. */
  dropped: Record<string, number>;
  /** What is wrong now or was put aside since the start, for people: a damaged file, a full disk. */
  problems: readonly string[];
}

/** Why rows cannot be stored just now. */
export interface StoreTrouble {
  problem: string;
  /** The server has not answered since the start. */
  unopened: boolean;
}

export interface SeriesStore {
  /** Resolves when durable; rejects with STORE_UNAVAILABLE or STORE_FULL, and then nothing may be acknowledged. */
  append(blocks: readonly TelemetryBlock[]): Promise<void>;
  query(query: SeriesQuery): Promise<SeriesResult>;
  /** One result per subject, in their order; empty where nothing is known. */
  queryMany(query: SeriesQueryMany): Promise<SeriesResult[]>;
  /** Newest row of each subject named (all when omitted), of the last `withinMs`. */
  last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]>;
  subjects(): Promise<{ subject: Subject; source: Source }[]>;
  /** Applies retention and the byte budget; called by a loop. */
  maintain(nowMs: number): Promise<void>;
  status(): Promise<SeriesStoreStatus>;
  /** What the last write met, without asking anyone; null: nothing. Stores that cannot be away leave it out. */
  trouble?(): StoreTrouble | null;
  close(): Promise<void>;
}
