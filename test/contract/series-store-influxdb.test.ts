/** Goal: the InfluxDB adapter keeps the seam's contract against a real InfluxDB, by both compressed and plain writes. */
import t from 'tap';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import { createPrng } from '../../shared/prng.ts';
import { startInfluxDb } from '../support/influxdb.ts';
import { HOUR_MS, seriesStoreContract } from './series-store-contract.ts';

const server = await startInfluxDb();
t.teardown(() => server.stop());
let databases = 0;

// Retention is judged by the server's clock.
const startMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - 6 * HOUR_MS;

for (const gzip of [false, true]) {
  t.test(gzip ? 'compressed' : 'plain', async (t) => {
    seriesStoreContract(
      t,
      (clock) => openInfluxSeriesStore({ url: server.url, database: `contract_${databases++}`, gzip, clock, prng: createPrng(1) }),
      { startMs },
    );
  });
}
