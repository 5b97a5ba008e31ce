/**
 * Stores rows of our own (demand, forecasts, allocations, decisions, anomalies). Input: a store, blocks; output: stored, or
 * an error. Decisions do not wait for a store of which telemetry, which comes all the time, has just found that it is away; those
 * who must not wait for a slow one either hand their rows to an OwnRows, which keeps a few plans' worth and drops the rest in words.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { SeriesStore } from '../store/series-store.ts';

/** Rejects with STORE_UNAVAILABLE or STORE_FULL. */
export async function storeOwnRows(series: SeriesStore, blocks: readonly TelemetryBlock[]): Promise<void> {
  const trouble = series.trouble?.() ?? null;
  if (trouble !== null) throw new HeadroomError('STORE_UNAVAILABLE', trouble.problem);
  await series.append(blocks);
}

/** Blocks handed to the store at once. */
const BLOCKS_PER_APPEND = 1000;
/** Sets of rows, one of each plan, that wait for a slow store: by then it is some plan periods behind. */
const WAITING_MAX = 4;

export class OwnRows {
  readonly #series: SeriesStore;
  readonly #onError: (error: unknown, rows: number) => void;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  /** `onError`: so many rows are lost. */
  constructor(series: SeriesStore, onError: (error: unknown, rows: number) => void) {
    this.#series = series;
    this.#onError = onError;
  }

  /** In the order in which they come. */
  hand(blocks: readonly TelemetryBlock[]): void {
    if (this.#waiting >= WAITING_MAX) {
      this.#onError(
        new HeadroomError('STORE_UNAVAILABLE', `the rows of ${WAITING_MAX} plans wait for a slow store already`),
        blocks.length,
      );
      return;
    }
    this.#waiting++;
    this.#last = this.#last.then(async () => {
      await this.#store(blocks);
      this.#waiting--;
    });
  }

  /** Everything that was handed over is stored, or lost and told. */
  end(): Promise<void> {
    return this.#last;
  }

  async #store(blocks: readonly TelemetryBlock[]): Promise<void> {
    for (let i = 0; i < blocks.length; i += BLOCKS_PER_APPEND) {
      try {
        await storeOwnRows(this.#series, blocks.slice(i, i + BLOCKS_PER_APPEND));
      } catch (error) {
        // A store that is away takes its time to say so: the rest does not wait for it again.
        this.#onError(error, blocks.length - i);
        return;
      }
    }
  }
}
