/**
 * Stores rows of our own (demand, forecasts, allocations, decisions, anomalies). Input: a store, blocks; output: stored, or
 * an error. Decisions do not wait for a store of which telemetry, which comes all the time, has just found that it is away.
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
