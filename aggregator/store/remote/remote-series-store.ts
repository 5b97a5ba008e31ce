/**
 * A SeriesStore on a server that speaks line protocol. Input: blocks, queries; output: rows acknowledged once the server
 * has them, statistics of five minutes and hours made from rows as bins end, everything dropped counted by reason.
 */
import type { Clock } from '../../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../../shared/errors.ts';
import type { Prng } from '../../../shared/prng.ts';
import type { Source, Subject, TelemetryBlock } from '../../../shared/telemetry.ts';
import { checkShape, timelyBlocks } from '../blocks.ts';
import type {
  LastValue,
  SeriesQuery,
  SeriesQueryMany,
  SeriesResult,
  SeriesStore,
  SeriesStoreStatus,
  StoreTrouble,
} from '../series-store.ts';
import { linesOf } from './line-protocol.ts';
import type { LineWriter } from './line-writer.ts';
import { Opening } from './opening.ts';
import type { RemoteOptions } from './remote-options.ts';
import { AGGREGATED, type Aggregated, BIN_MS, RollUp } from './roll-up.ts';
import { type SeriesServer, STATE_MEASUREMENT } from './series-server.ts';

export type Report = (message: string) => void;

export interface RemoteParts {
  server: SeriesServer;
  makeWriter: (store: RemoteSeriesStore) => LineWriter;
  clock: Clock;
  prng: Prng;
  options: RemoteOptions;
  report: Report;
}

/** Problems remembered for `status`. */
const PROBLEMS_MAX = 32;
/** The budget is looked at this often: a server tells its sizes by opening every shard's statistics. */
const BUDGET_PERIOD_MS = 60_000;

export class RemoteSeriesStore implements SeriesStore {
  readonly #server: SeriesServer;
  readonly #writer: LineWriter;
  readonly #clock: Clock;
  readonly #options: RemoteOptions;
  readonly #report: Report;
  readonly #rollUp = new RollUp();
  readonly #dropped: Record<string, number> = {};
  readonly #problems: string[] = [];
  readonly #opening: Opening;
  /** Why the last write or upkeep failed; null when it did not. */
  #failing: string | null = null;
  #maintaining: Promise<void> | null = null;
  #closing = false;
  #budgetAtMs = Number.NEGATIVE_INFINITY;

  constructor({ server, makeWriter, clock, prng, options, report }: RemoteParts) {
    this.#server = server;
    this.#clock = clock;
    this.#options = options;
    this.#report = report;
    this.#writer = makeWriter(this);
    this.#opening = new Opening({ name: server.kind, open: () => this.#open(), clock, prng, onReport: report });
  }

  /**
   * Makes the server ready and finds out from when on statistics may be missing. Rejects as the server's requests do;
   * `patiently`: not with STORE_UNAVAILABLE, the server is waited for instead and nothing is taken until it answers.
   */
  open(patiently: boolean): Promise<void> {
    return patiently ? this.#opening.patiently() : this.#opening.now();
  }

  async append(blocks: readonly TelemetryBlock[]): Promise<void> {
    if (blocks.length === 0) return;
    this.#opening.check();
    for (const block of blocks) checkShape(block);
    const nowMs = this.#clock.wallMs();
    const late: Record<string, number> = {};
    const timely = timelyBlocks(blocks, nowMs - this.#options.lateMs, nowMs + this.#options.aheadMs, late);
    const { bodies, notFinite } = linesOf(timely, this.#server.tags.raw);
    this.#rollUp.mark(timely);
    try {
      await this.#writer.write('raw', bodies);
      this.#works();
    } catch (error) {
      if (!isHeadroomError(error)) throw error;
      this.#fails(`rows are not stored: ${error.message}`);
      // A database that is gone is made again; agents keep their rows meanwhile and send them again.
      if (error.code === 'STORE_UNAVAILABLE' && /not found/i.test(error.message)) await this.#server.prepare().catch(() => undefined);
      throw error.code === 'PERMISSION' ? new HeadroomError('STORE_UNAVAILABLE', error.message, { cause: error }) : error;
    }
    this.#rollUp.mark(timely);
    for (const [reason, rows] of Object.entries(late)) this.#drop(reason, rows);
    if (notFinite > 0) this.#drop('not-finite', notFinite);
  }

  async query({ subject, ...rest }: SeriesQuery): Promise<SeriesResult> {
    const [result] = await this.queryMany({ ...rest, subjects: [subject] });
    return result!;
  }

  async queryMany(query: SeriesQueryMany): Promise<SeriesResult[]> {
    this.#opening.check();
    const freshFromMs = query.resolution === 'raw' ? 0 : this.#rollUp.freshFromMs(query.resolution, this.#clock.wallMs());
    return this.#server.queryMany({ ...query, fields: [...new Set(query.fields)] }, freshFromMs);
  }

  async last(withinMs: number, nowMs: number, subjects?: readonly Subject[]): Promise<LastValue[]> {
    if (subjects?.length === 0) return [];
    this.#opening.check();
    return this.#server.last(withinMs, nowMs, subjects);
  }

  async subjects(): Promise<{ subject: Subject; source: Source }[]> {
    this.#opening.check();
    return this.#server.subjects();
  }

  /** Calls while one is under way wait for it. */
  async maintain(nowMs: number): Promise<void> {
    if (this.#opening.problem !== null) return;
    this.#maintaining ??= this.#maintain(nowMs).finally(() => {
      this.#maintaining = null;
    });
    await this.#maintaining;
  }

  /** Answers without the server too: that it does not answer is what there is to tell then. */
  async status(): Promise<SeriesStoreStatus> {
    const problems = [...this.#problems];
    const trouble = this.trouble();
    let size: Awaited<ReturnType<SeriesServer['size']>> = { bytes: Number.NaN, rawFromMs: null };
    try {
      if (trouble?.unopened !== true) {
        size = await this.#server.size();
        problems.push(...(await this.#server.problems()));
      }
    } catch (error) {
      problems.push(`now: ${errorText(error)}`);
    }
    if (trouble !== null) problems.push(`now: ${trouble.problem}`);
    return { kind: this.#server.kind, ...size, dropped: { ...this.#dropped }, problems };
  }

  trouble(): StoreTrouble | null {
    const waited = this.#opening.problem;
    if (waited !== null) return { problem: `${this.#server.kind} is waited for since the start: ${waited}`, unopened: true };
    return this.#failing === null ? null : { problem: this.#failing, unopened: false };
  }

  /** What is being summed up is left at its next part: it is due again with the next start. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#opening.close();
    this.#writer.close();
    await this.#maintaining?.catch(() => undefined);
  }

  /** Lines that the server will never take. */
  refusedLines(reason: string, lines: number, said: string): void {
    this.#drop(reason, lines);
    this.#remember(`${lines} lines were refused for good (${reason}), the others are stored: ${said}`);
  }

  async #open(): Promise<void> {
    await this.#server.prepare();
    const nowMs = this.#clock.wallMs();
    const { lateMs, rawRetentionMs } = this.#options;
    const through = await Promise.all(AGGREGATED.map((resolution) => this.#server.summedUpThroughMs(resolution)));
    const known = through.filter((ms) => ms !== null);
    const fromMs = known.length < AGGREGATED.length ? nowMs : Math.min(nowMs, ...known);
    const unknownMs = Math.max(fromMs - lateMs, nowMs - rawRetentionMs);
    // A bin costs a request for each measurement and some subjects, whether there is anything in it or not.
    const firstMs = await this.#server.firstRowMs(unknownMs, nowMs).catch(() => unknownMs);
    if (firstMs !== null) this.#rollUp.markRange(Math.max(firstMs, unknownMs), nowMs);
  }

  async #maintain(nowMs: number): Promise<void> {
    try {
      const done = await this.#rollUp.run(
        nowMs,
        (resolution, startMs) => this.#sumUp(resolution, startMs),
        () => this.#closing,
      );
      if (done > 0) await this.#noteProgress(nowMs);
      await this.#keepBudget(nowMs);
    } catch (error) {
      if (this.#closing) return;
      this.#fails(`statistics wait: ${errorText(error)}`);
      throw error;
    }
  }

  async #keepBudget(nowMs: number): Promise<void> {
    const { bytesMax } = this.#options;
    if (!Number.isFinite(bytesMax) || Math.abs(nowMs - this.#budgetAtMs) < BUDGET_PERIOD_MS) return;
    this.#budgetAtMs = nowMs;
    const told = await this.#server.keepBudget(bytesMax);
    if (told === null)
      this.#remember(`seriesBytesMax is not kept: ${this.#server.kind} does not let its clients free room; shorten its retention`);
    else for (const message of told) this.#remember(message);
  }

  async #sumUp(resolution: Aggregated, startMs: number): Promise<void> {
    for await (const body of this.#server.sumUp(resolution, startMs, startMs + BIN_MS[resolution])) {
      if (this.#closing) throw new HeadroomError('STORE_UNAVAILABLE', 'the series store is being closed');
      await this.#writer.write(resolution, [body]);
    }
  }

  async #noteProgress(nowMs: number): Promise<void> {
    const lines = AGGREGATED.map((resolution) => {
      const throughMs = this.#rollUp.throughMs(resolution) ?? nowMs;
      return `${STATE_MEASUREMENT},bins=${resolution} throughMs=${throughMs} ${Math.floor(nowMs)}\n`;
    });
    await this.#writer.write('raw', [{ text: lines.join(''), lines: lines.length }]);
  }

  #drop(reason: string, count: number): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + count;
  }

  #fails(message: string): void {
    if (this.#failing === null) this.#report(message);
    this.#failing = message;
  }

  #works(): void {
    this.#failing = null;
  }

  #remember(message: string): void {
    if (this.#problems.includes(message)) return;
    if (this.#problems.length >= PROBLEMS_MAX) this.#problems.shift();
    this.#problems.push(message);
    this.#report(message);
  }
}
