/** Goal: the embedded ledger keeps the seam's contract, on disk with its thread and in memory alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { openSqliteLedgerStore } from '../../aggregator/store/sqlite/sqlite-ledger-store.ts';
import { ledgerStoreContract } from './ledger-store-contract.ts';

t.test('on disk', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'headroom-ledger-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const directories = new Map<LedgerStore, string>();
  const openAt = async (directory: string): Promise<LedgerStore> => {
    const store = await openSqliteLedgerStore({ directory });
    directories.set(store, directory);
    return store;
  };
  ledgerStoreContract(t, {
    open: () => openAt(join(root, String(directories.size))),
    reopen: async (store) => {
      await store.close();
      return openAt(directories.get(store)!);
    },
  });
});

t.test('in memory', async (t) => {
  ledgerStoreContract(t, { open: async () => createMemoryLedgerStore(), reopen: null });
});
