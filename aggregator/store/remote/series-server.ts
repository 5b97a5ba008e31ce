/**
 * What a series server has to be able to do for RemoteSeriesStore, which does what all servers share: appending, deciding
 * what is summed up when, counting what was dropped. One implementation per kind of server.
 */
import type { Source, Subject } from '../../../shared/telemetry.ts';
import type { LastValue, Resolution, SeriesQueryMany, SeriesResult } from '../series-store.ts';
import type { LineBody } from './line-protocol.ts';
import type { Aggregated } from './roll-up.ts';

export interface SeriesServer {
  readonly kind: string;
  /** Tags that lines of a resolution carry, where one database holds all of them; begins with a comma or is empty. */
  readonly tags: Readonly<Record<Resolution, string>>;
  /** Path and query that lines of a resolution are posted to. */
  writePath(resolution: Resolution): string;
  /** Makes what is missing on the server: again and again without harm. */
  prepare(): Promise<void>;
  /** Statistics from `freshFromMs` on are made from rows, before it they were stored. */
  queryMany(query: SeriesQueryMany, freshFromMs: number): Promise<SeriesResult[]>;
  last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]>;
  subjects(): Promise<{ subject: Subject; source: Source }[]>;
  /** Lines of the statistics of all series in [startMs, endMs), a part at a time. */
  sumUp(resolution: Aggregated, startMs: number, endMs: number): AsyncIterable<LineBody>;
  /** When the first raw row in [fromMs, toMs) is, or earlier where that is not known; null: there is none. */
  firstRowMs(fromMs: number, toMs: number): Promise<number | null>;
  /** The newest value of STATE_MEASUREMENT's `throughMs` of a resolution; null: never written. */
  summedUpThroughMs(resolution: Aggregated): Promise<number | null>;
  /** `bytes` is NaN and `rawFromMs` null where the server does not tell. */
  size(): Promise<{ bytes: number; rawFromMs: number | null }>;
  /**
   * Gives up the oldest until all of ours together take so many bytes at most; answers what was given up, in words. null: the
   * server lets nobody do that.
   */
  keepBudget(bytesMax: number): Promise<readonly string[] | null>;
  /** What an operator should change about the server. */
  problems(): Promise<readonly string[]>;
}

/** Where is written down how far statistics are made, so that a restart goes on from there. No subject's series. */
export const STATE_MEASUREMENT = 'store_state';
