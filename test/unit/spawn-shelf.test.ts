/**
 * Goal: what is known of VMs made for groups goes from one holder of the fleet to the next whole, what an overtaken one still
 * writes is read by nobody, and what cannot be read stops spawning instead of starting it anew.
 */
import t from 'tap';
import { EMPTY_BOOK, type SpawnBook, withGroup } from '../../aggregator/core/spawn/spawn-book.ts';
import { SpawnShelf } from '../../aggregator/service/spawn-shelf.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';

const failed = (failures: number): SpawnBook => withGroup(EMPTY_BOOK, 'web', { failures });

t.test('a late write of an overtaken holder is read by nobody', async (t) => {
  const ledger = createMemoryLedgerStore();
  const [first, second] = [new SpawnShelf(ledger), new SpawnShelf(ledger)];
  t.same(await first.takeOver(9), EMPTY_BOOK);
  await first.keep(failed(1), 9);
  t.same(await second.takeOver(10), failed(1));
  await first.keep(failed(7), 9);
  t.same(await new SpawnShelf(ledger).newest(), failed(1));
  await second.keep(failed(2), 10);
  t.same(await first.takeOver(123_456), failed(2));
  t.same(await ledger.blobNames('spawn/book/'), ['spawn/book/0000000000123456'], 'and the others are gone');
});

t.test('a book that cannot be read is told, and nothing is begun', async (t) => {
  const ledger = createMemoryLedgerStore();
  await ledger.putBlob('spawn/book/0000000000000003', new TextEncoder().encode('{"records": ['));
  await t.rejects(new SpawnShelf(ledger).takeOver(4), { code: 'STORE_CORRUPT', message: /spawn\/book\/0000000000000003/ });
});
