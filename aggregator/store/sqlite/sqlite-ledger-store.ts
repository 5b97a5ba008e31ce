/**
 * The embedded LedgerStore: one SQLite file, `ledger.db`, written by a thread of its own so that an fsync never holds up
 * the main one. Input: a directory. Output: a LedgerStore. Verification of a file that no aggregator has open is here too.
 */
import type { VmId } from '../../../shared/ids.ts';
import type { Allocation, LedgerBody, LedgerEntry, LedgerStore, VerifyResult } from '../ledger-store.ts';
import type { EntriesQuery } from './ledger-core.ts';
import type { LedgerWorkerData } from './ledger-worker.ts';
import { WorkerLink } from './worker-link.ts';

export interface SqliteLedgerStoreOptions {
  directory: string;
}

/** Rejects with STORE_UNAVAILABLE (no access, in use, newer version), STORE_CORRUPT or LEDGER_BROKEN. */
export async function openSqliteLedgerStore({ directory }: SqliteLedgerStoreOptions): Promise<LedgerStore> {
  const data: LedgerWorkerData = { directory };
  const link = await WorkerLink.open(new URL('./ledger-worker.ts', import.meta.url), data, 'ledger', () => undefined);
  return new SqliteLedgerStore(link);
}

class SqliteLedgerStore implements LedgerStore {
  readonly #link: WorkerLink;

  constructor(link: WorkerLink) {
    this.#link = link;
  }

  nextEpoch(): Promise<number> {
    return this.#link.call('nextEpoch', null);
  }

  async append(timeMs: number, body: LedgerBody): Promise<LedgerEntry> {
    return this.#link.call('append', { timeMs, body });
  }

  entries(query: EntriesQuery): Promise<LedgerEntry[]> {
    return this.#link.call('entries', query);
  }

  verify(): Promise<VerifyResult> {
    return this.#link.call('verify', null);
  }

  putAllocation(allocation: Allocation): Promise<void> {
    return this.#link.call('putAllocation', allocation);
  }

  removeVm(vm: VmId): Promise<void> {
    return this.#link.call('removeVm', vm);
  }

  allocations(): Promise<Allocation[]> {
    return this.#link.call('allocations', null);
  }

  putBlob(name: string, bytes: Uint8Array): Promise<void> {
    return this.#link.call('putBlob', { name, bytes });
  }

  getBlob(name: string): Promise<Uint8Array | null> {
    return this.#link.call('getBlob', name);
  }

  removeBlob(name: string): Promise<void> {
    return this.#link.call('removeBlob', name);
  }

  blobNames(prefix: string): Promise<string[]> {
    return this.#link.call('blobNames', prefix);
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}
