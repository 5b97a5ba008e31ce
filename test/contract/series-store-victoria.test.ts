/**
 * Goal: the VictoriaMetrics adapter keeps the seam's contract against a real VictoriaMetrics. What it takes is visible some
 * seconds later; the test has it flushed after each append and each upkeep.
 */
import t from 'tap';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openVictoriaSeriesStore } from '../../aggregator/store/victoria/victoria-series-store.ts';
import { createPrng } from '../../shared/prng.ts';
import { startVictoriaMetrics } from '../support/victoria-metrics.ts';
import { HOUR_MS, seriesStoreContract } from './series-store-contract.ts';

const server = await startVictoriaMetrics();
t.teardown(() => server.stop());
let databases = 0;

const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 6 * HOUR_MS;

seriesStoreContract(
  t,
  async (clock) => {
    const store = await openVictoriaSeriesStore({ url: server.url, database: `contract_${databases++}`, clock, prng: createPrng(1) });
    const { append, maintain } = store;
    const flushed: Pick<SeriesStore, 'append' | 'maintain'> = {
      append: (blocks) => append.call(store, blocks).then(server.flush),
      maintain: (nowMs) => maintain.call(store, nowMs).then(server.flush),
    };
    return Object.assign(store, flushed);
  },
  { startMs, values: 'twelveDigits', overwrites: false, tellsAge: false },
);
