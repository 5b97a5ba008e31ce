/**
 * Group commit: collects batches from all agents and appends them to the store together, one append under way while the
 * next collects. Input: batches. Output: per batch, stored or not. Backlog rows wait for a fleet-wide budget, so that a
 * fleet that comes back does not push live rows aside.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import type { Lane } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';

/** What ingest needs of a series store. */
export interface AppendStore {
  append(blocks: readonly TelemetryBlock[]): Promise<void>;
}

export interface PendingBatch {
  lane: Lane;
  blocks: readonly TelemetryBlock[];
  rows: number;
  bytes: number;
  done: (error: Error | null) => void;
}

export interface CommitterOptions {
  clock: Clock;
  store: AppendStore;
  /** How long a commit collects when nothing is under way, ms. */
  collectMs: number;
  backlogRowsPerSecond: number;
}

/** One append: some tenths of a second of a store's work, so that acknowledgements keep coming. */
const APPEND_BYTES_MAX = 16 * 1024 * 1024;
const APPEND_BATCHES_MAX = 4096;

export class Committer {
  readonly #options: CommitterOptions;
  readonly #backlogBudget: TokenBucket;
  #live: PendingBatch[] = [];
  #backlog: PendingBatch[] = [];
  #underWay = false;
  #timer: Timer | undefined;
  #idle: (() => void)[] = [];
  appends = 0;
  appendFailures = 0;
  lastAppendMs = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
    const ratePerSecond = Math.max(1, options.backlogRowsPerSecond);
    this.#backlogBudget = new TokenBucket({ ratePerSecond, burst: ratePerSecond }, options.clock.monotonicMs());
  }

  get pendingBatches(): number {
    return this.#live.length + this.#backlog.length;
  }

  add(batch: PendingBatch): void {
    (batch.lane === 'live' ? this.#live : this.#backlog).push(batch);
    this.#schedule(this.#options.collectMs);
  }

  /** Resolves when everything taken so far was appended or failed; backlog's budget does not hold it up. */
  flush(): Promise<void> {
    if (!this.#underWay && this.pendingBatches === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#schedule(0);
    });
  }

  #schedule(delayMs: number): void {
    if (this.#underWay) return;
    if (this.#timer) {
      if (delayMs > 0) return;
      this.#timer.cancel();
    }
    this.#timer = this.#options.clock.setTimeout(() => {
      this.#timer = undefined;
      void this.#commit();
    }, delayMs);
  }

  async #commit(): Promise<void> {
    const { clock, store } = this.#options;
    const batches = this.#collect();
    if (batches.length === 0) {
      this.#next();
      return;
    }
    this.#underWay = true;
    const startMs = clock.monotonicMs();
    let failure: Error | null = null;
    try {
      await store.append(batches.length === 1 ? batches[0]!.blocks : batches.flatMap((batch) => batch.blocks));
      this.appends++;
    } catch (error) {
      this.appendFailures++;
      failure = error instanceof Error ? error : new Error(String(error));
    }
    this.lastAppendMs = clock.monotonicMs() - startMs;
    this.#underWay = false;
    for (const batch of batches) batch.done(failure);
    this.#next();
  }

  #next(): void {
    if (this.#live.length > 0) this.#schedule(this.#idle.length > 0 ? 0 : this.#options.collectMs);
    else if (this.#backlog.length > 0) this.#schedule(this.#idle.length > 0 ? 0 : this.#backlogWaitMs());
    else for (const resolve of this.#idle.splice(0)) resolve();
  }

  #backlogWaitMs(): number {
    return Math.max(this.#options.collectMs, this.#backlogBudget.take(0, this.#options.clock.monotonicMs()));
  }

  #collect(): PendingBatch[] {
    const batches: PendingBatch[] = [];
    let bytes = 0;
    const takeFrom = (queue: PendingBatch[], accept: (batch: PendingBatch) => boolean): number => {
      let taken = 0;
      for (const batch of queue) {
        if (batches.length >= APPEND_BATCHES_MAX || (batches.length > 0 && bytes + batch.bytes > APPEND_BYTES_MAX) || !accept(batch)) break;
        batches.push(batch);
        bytes += batch.bytes;
        taken++;
      }
      return taken;
    };
    this.#live.splice(
      0,
      takeFrom(this.#live, () => true),
    );
    const nowMs = this.#options.clock.monotonicMs();
    const hurried = this.#idle.length > 0;
    this.#backlog.splice(
      0,
      takeFrom(this.#backlog, (batch) => {
        if (!hurried && this.#backlogBudget.available(nowMs) <= 0) return false;
        this.#backlogBudget.take(batch.rows, nowMs);
        return true;
      }),
    );
    return batches;
  }
}
