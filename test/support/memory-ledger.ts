/** A ledger in memory with the real chain, for tests of what reads a ledger. Nothing outlives the process. */

import { entryProblem, GENESIS_HASH, makeEntry } from '../../aggregator/store/ledger-chain.ts';
import type { Allocation, LedgerBody, LedgerEntry, LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { canonicalJson } from '../../shared/canonical-json.ts';
import type { VmId } from '../../shared/ids.ts';

export interface MemoryLedger extends LedgerStore {
  /** Changes a kept entry behind the chain's back: `verify` must find it. */
  tamper(index: number, body: LedgerBody): void;
}

function concerns(body: LedgerBody, vm: VmId): boolean {
  if (body.kind === 'outcome' || body.kind === 'event') return body.vm === vm;
  return body.kind === 'plan' && body.steps.some((step) => (step as { vm?: unknown }).vm === vm);
}

export function memoryLedger(): MemoryLedger {
  const kept: LedgerEntry[] = [];
  const allocations = new Map<string, Allocation>();
  const blobs = new Map<string, Uint8Array>();
  let epoch = 0;
  return {
    nextEpoch: async () => ++epoch,
    async append(timeMs, body) {
      const { canonicalBody: _, ...entry } = makeEntry(kept.at(-1)?.hash ?? GENESIS_HASH, kept.length, timeMs, body);
      kept.push(entry);
      return entry;
    },
    async entries({ fromIndex, limit, vm, kind, newestFirst = false }) {
      const from = fromIndex ?? (newestFirst ? kept.length : 0);
      const inOrder = newestFirst ? kept.filter(({ index }) => index <= from).reverse() : kept.filter(({ index }) => index >= from);
      const wanted = ({ body }: LedgerEntry): boolean =>
        (kind === undefined || body.kind === kind) && (vm === undefined || concerns(body, vm));
      return inOrder.filter(wanted).slice(0, limit);
    },
    async verify() {
      let previous = GENESIS_HASH;
      for (const [i, entry] of kept.entries()) {
        const problem = entryProblem(entry, canonicalJson(entry.body), previous, i);
        if (problem !== null) return { ok: false, index: i, problem };
        previous = entry.hash;
      }
      return { ok: true, entries: kept.length, head: previous };
    },
    tamper(index, body) {
      kept[index] = { ...kept[index]!, body };
    },
    async putAllocation(allocation) {
      allocations.set(`${allocation.vm}/${allocation.setting.resource}`, allocation);
    },
    async removeVm(vm) {
      for (const [key, allocation] of allocations) if (allocation.vm === vm) allocations.delete(key);
    },
    allocations: async () => [...allocations.values()],
    async putBlob(name, bytes) {
      blobs.set(name, bytes);
    },
    getBlob: async (name) => blobs.get(name) ?? null,
    close: async () => {},
  };
}
