/** The embedded ledger in memory and in this thread, for simulations and tests: the same core, no timers. */
import type { LedgerStore } from '../ledger-store.ts';
import { LedgerCore } from './ledger-core.ts';

export function createMemoryLedgerStore(): LedgerStore {
  const core = new LedgerCore(':memory:');
  return {
    async nextEpoch() {
      return core.group(() => core.nextEpoch());
    },
    async append(timeMs, body) {
      return core.group(() => core.append(timeMs, body));
    },
    async entries(query) {
      return core.entries(query);
    },
    async verify() {
      const pages = core.verify();
      for (;;) {
        const page = pages.next();
        if (page.done) return page.value;
      }
    },
    async putAllocation(allocation) {
      core.group(() => core.putAllocation(allocation));
    },
    async removeVm(vm) {
      core.group(() => core.removeVm(vm));
    },
    async allocations() {
      return core.allocations();
    },
    async putBlob(name, bytes) {
      core.group(() => core.putBlob(name, bytes));
    },
    async getBlob(name) {
      return core.getBlob(name);
    },
    async removeBlob(name) {
      core.group(() => core.removeBlob(name));
    },
    async blobNames(prefix) {
      return core.blobNames(prefix);
    },
    async close() {
      core.close();
    },
  };
}
