/** Goal: the embedded series store keeps the seam's contract, on disk with its thread and in memory alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createMemorySeriesStore } from '../../aggregator/store/sqlite/memory-series-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { seriesStoreContract } from './series-store-contract.ts';

t.test('on disk', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-series-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  let stores = 0;
  seriesStoreContract(t, (clock) => openSqliteSeriesStore({ directory: join(directory, String(stores++)), clock }));
});

t.test('in memory', async (t) => {
  seriesStoreContract(t, async (clock) => createMemorySeriesStore({ clock }));
});
