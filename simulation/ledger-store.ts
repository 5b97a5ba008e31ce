/**
 * The simulated ledger: the same chain over the same canonical text, in plain arrays, so that a fleet-year's hundred thousand entries
 * cost neither disk nor transactions. It outlives the aggregator that writes to it, and counts what a run's report tells. Input: bodies,
 * allocations, blobs; output: a LedgerStore.
 */
import { entryProblem, filedUnder, GENESIS_HASH, makeEntry } from '../aggregator/store/ledger-chain.ts';
import type { Allocation, LedgerBody, LedgerEntry, LedgerStore } from '../aggregator/store/ledger-store.ts';

/** Of all plans and outcomes so far. */
export interface LedgerTally {
  /** Changes that plans asked for. */
  steps: number;
  lintRejections: number;
  applied: number;
}

export interface SimulatedLedgerStore extends LedgerStore {
  readonly tally: Readonly<LedgerTally>;
}

/** What was appended, as text: whoever goes on to use the body it handed over changes nothing here. */
interface Kept extends Omit<LedgerEntry, 'body'> {
  kind: LedgerBody['kind'];
  text: string;
  vms: readonly string[];
}

export function createSimulatedLedgerStore(): SimulatedLedgerStore {
  const kept: Kept[] = [];
  const allocations = new Map<string, Allocation>();
  const blobs = new Map<string, Uint8Array>();
  const tally: LedgerTally = { steps: 0, lintRejections: 0, applied: 0 };
  let epoch = 0;
  const entryOf = ({ index, timeMs, text, previousHash, hash }: Kept): LedgerEntry => ({
    ...{ index, timeMs, body: JSON.parse(text) as LedgerBody, previousHash, hash },
  });
  return {
    tally,
    async nextEpoch() {
      return ++epoch;
    },
    async append(timeMs, body) {
      const { canonicalBody: text, ...entry } = makeEntry(kept.at(-1)?.hash ?? GENESIS_HASH, kept.length, timeMs, body);
      const { index, previousHash, hash } = entry;
      kept.push({ index, timeMs, previousHash, hash, kind: body.kind, text, vms: filedUnder(body) });
      count(tally, body);
      return entry;
    },
    async entries({ fromIndex, limit, vm, kind, newestFirst = false }) {
      const found: LedgerEntry[] = [];
      const step = newestFirst ? -1 : 1;
      const first = newestFirst ? Math.min(fromIndex ?? kept.length - 1, kept.length - 1) : Math.max(0, fromIndex ?? 0);
      for (let i = first; i >= 0 && i < kept.length && found.length < limit; i += step) {
        const one = kept[i]!;
        if ((kind === undefined || one.kind === kind) && (vm === undefined || one.vms.includes(vm))) found.push(entryOf(one));
      }
      return found;
    },
    async verify() {
      let previousHash = GENESIS_HASH;
      for (const [i, one] of kept.entries()) {
        const problem = entryProblem(entryOf(one), one.text, previousHash, i);
        if (problem !== null) return { ok: false, index: i, problem };
        previousHash = one.hash;
      }
      return { ok: true, entries: kept.length, head: previousHash };
    },
    async putAllocation(allocation) {
      allocations.set(`${allocation.vm} ${allocation.setting.resource}`, copyOf(allocation));
    },
    async removeVm(vm) {
      for (const [key, allocation] of allocations) if (allocation.vm === vm) allocations.delete(key);
    },
    async allocations() {
      return [...allocations].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, allocation]) => copyOf(allocation));
    },
    async putBlob(name, bytes) {
      blobs.set(name, bytes.slice());
    },
    async getBlob(name) {
      return blobs.get(name)?.slice() ?? null;
    },
    async removeBlob(name) {
      blobs.delete(name);
    },
    async blobNames(prefix) {
      return [...blobs.keys()].filter((name) => name.startsWith(prefix));
    },
    async close() {},
  };
}

const copyOf = (allocation: Allocation): Allocation => ({ ...allocation, setting: { ...allocation.setting } });

function count(tally: LedgerTally, body: LedgerBody): void {
  if (body.kind === 'plan') {
    tally.steps += body.steps.length;
    tally.lintRejections += body.lintRejections.length;
  }
  if (body.kind === 'outcome' && body.outcome === 'applied') tally.applied++;
}
