/**
 * A process to be killed: writes to a store and prints what was acknowledged. Arguments: `series` or `ledger`, a directory,
 * the number to begin with. Output: one line with the number of each acknowledged write. Time runs half a minute per
 * write, so that sealing, summing up and retention happen under way.
 */
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { eventBody } from '../contract/ledger-store-contract.ts';
import { block, HOST, standingClock, VM_A } from '../contract/series-store-contract.ts';
import { timeOf, WRITE_MS } from './written.ts';

const [what, directory, first] = process.argv.slice(2) as [string, string, string];

async function writeSeries(): Promise<void> {
  const clock = standingClock(timeOf(Number(first)));
  const store = await openSqliteSeriesStore({ directory, clock, groupMs: 2 });
  for (let n = Number(first); ; n += 2) {
    clock.stepWall(2 * WRITE_MS);
    // Two appends under way at a time share a commit or do not.
    const writes = [n, n + 1].map(async (number) => {
      const row = [timeOf(number), number, number / 7];
      await store.append([block(VM_A, ['vm_cpu.number', 'vm_cpu.seventh'], [row]), block(HOST, ['host_cpu.number'], [row.slice(0, 2)])]);
      process.stdout.write(`${number}\n`);
    });
    if (n % 40 === 0) writes.push(store.maintain(clock.wallMs()));
    await Promise.all(writes);
  }
}

async function writeLedger(): Promise<void> {
  const store = await openSqliteLedgerStore({ directory });
  for (let n = Number(first); ; n += 3) {
    const writes = [n, n + 1, n + 2].map(async (number) => {
      const { index } = await store.append(number, eventBody(`event ${number}`));
      process.stdout.write(`${index}\n`);
    });
    await Promise.all(writes);
  }
}

await (what === 'series' ? writeSeries() : writeLedger());
