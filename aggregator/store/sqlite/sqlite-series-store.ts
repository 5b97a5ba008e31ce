/**
 * The embedded SeriesStore: SQLite files in one directory, written by a thread of their own. Input: a directory, limits.
 * Output: a SeriesStore. An append is laid out once as bytes here, moved to the thread without a copy, and acknowledged
 * when the thread's commit is on the disk.
 */
import type { Clock } from '../../../shared/clock.ts';
import { HeadroomError } from '../../../shared/errors.ts';
import type { Source, Subject, TelemetryBlock } from '../../../shared/telemetry.ts';
import { countRows } from '../blocks.ts';
import type { LastValue, SeriesQuery, SeriesQueryMany, SeriesResult, SeriesStore, SeriesStoreStatus } from '../series-store.ts';
import { encodeBlocks, encodedBytes } from './block-bytes.ts';
import { NameWriter } from './block-names.ts';
import { type SeriesOptions, seriesOptions } from './series-options.ts';
import type { AppendCall, SeriesWorkerData } from './series-worker.ts';
import { WorkerLink } from './worker-link.ts';

export interface SqliteSeriesStoreOptions extends Partial<SeriesOptions> {
  directory: string;
  clock: Clock;
  /** Hears of damage, lost rows and full disks, in words for an operator. */
  onReport?: (message: string) => void;
  /** Appends within this time share a commit, milliseconds. */
  groupMs?: number;
  /** Bytes appended and not yet acknowledged; beyond it appends are refused. */
  queueBytesMax?: number;
}

/** Ten commits a second at most: a tenth of what agents wait for an acknowledgement is not worth more fsyncs. */
const GROUP_MS = 100;
/** Two seconds of the fastest ingest one core can do. */
const QUEUE_BYTES_MAX = 64 * 1024 * 1024;

/** Rejects with STORE_UNAVAILABLE (no access, in use, newer version), STORE_CORRUPT (nothing readable), CONFIG_INVALID. */
export async function openSqliteSeriesStore(given: SqliteSeriesStoreOptions): Promise<SeriesStore> {
  const { directory, clock, onReport = () => undefined, groupMs = GROUP_MS, queueBytesMax = QUEUE_BYTES_MAX, ...limits } = given;
  const data: SeriesWorkerData = { directory, options: seriesOptions(limits), groupMs, nowMs: clock.wallMs() };
  const link = await WorkerLink.open(new URL('./series-worker.ts', import.meta.url), data, 'series store', onReport);
  return new SqliteSeriesStore(link, clock, queueBytesMax);
}

class SqliteSeriesStore implements SeriesStore {
  readonly #link: WorkerLink;
  readonly #clock: Clock;
  readonly #queueBytesMax: number;
  readonly #names = new NameWriter();
  #queuedBytes = 0;
  #rowsRefused = 0;

  constructor(link: WorkerLink, clock: Clock, queueBytesMax: number) {
    this.#link = link;
    this.#clock = clock;
    this.#queueBytesMax = queueBytesMax;
  }

  async append(blocks: readonly TelemetryBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    const size = encodedBytes(blocks);
    if (this.#queuedBytes > 0 && this.#queuedBytes + size > this.#queueBytesMax) {
      this.#rowsRefused += countRows(blocks);
      throw new HeadroomError('STORE_UNAVAILABLE', `${this.#queuedBytes} bytes wait to be stored, no more are taken; send again later`);
    }
    // Only now: names that are given numbers must reach the thread.
    const bytes = encodeBlocks(blocks, this.#names);
    this.#queuedBytes += size;
    try {
      await this.#link.call('append', { bytes, nowMs: this.#clock.wallMs() } satisfies AppendCall, [bytes.buffer]);
    } finally {
      this.#queuedBytes -= size;
    }
  }

  query(query: SeriesQuery): Promise<SeriesResult> {
    return this.#link.call('query', query);
  }

  queryMany(query: SeriesQueryMany): Promise<SeriesResult[]> {
    return this.#link.call('queryMany', query);
  }

  last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]> {
    return this.#link.call('last', { withinMs, nowMs, subjects });
  }

  subjects(): Promise<{ subject: Subject; source: Source }[]> {
    return this.#link.call('subjects', null);
  }

  async maintain(nowMs: number): Promise<void> {
    await this.#link.call('maintain', nowMs);
  }

  async status(): Promise<SeriesStoreStatus> {
    const status = await this.#link.call<SeriesStoreStatus>('status', null);
    if (this.#rowsRefused > 0) status.dropped['queue-full'] = this.#rowsRefused;
    return status;
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
