/** What every LedgerStore must do, run against each adapter. `reopen` closes the store and opens the same data again; null = the adapter keeps nothing. */
import type { Test } from 'tap';
import { GENESIS_HASH } from '../../aggregator/store/ledger-chain.ts';
import type { Allocation, LedgerBody, LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { hostId, type VmId, vmId } from '../../shared/ids.ts';

export const VM_A = vmId('00000000-0000-4000-8000-00000000000a');
export const VM_B = vmId('00000000-0000-4000-8000-00000000000b');
const HOST = hostId('host-1');

export function eventBody(event: string, vm: VmId | null = null): LedgerBody {
  return { kind: 'event', event, vm, host: HOST, resource: null, message: `${event} – "größer" \u0000`, after: null };
}

export function planBody(planId: string, vms: readonly VmId[]): LedgerBody {
  const steps = vms.map((vm) => ({ vm, resource: 'cpu', reason: 'demand rises' }));
  return { kind: 'plan', planId, inputsDigest: 'd', steps, notDone: [{ vm: VM_B, reason: 'cooldown' }], lintRejections: [] };
}

const outcome = (vm: VmId, commandId: string): LedgerBody => ({
  kind: 'outcome',
  planId: 'p',
  commandId,
  vm,
  host: HOST,
  resource: 'cpu',
  outcome: 'applied',
  reason: '',
  before: { resource: 'cpu', weight: 100, capCores: null },
  after: { resource: 'cpu', weight: 100, capCores: 0.5 },
});

export interface LedgerAdapter {
  open(): Promise<LedgerStore>;
  reopen: ((store: LedgerStore) => Promise<LedgerStore>) | null;
}

export function ledgerStoreContract(t: Test, adapter: LedgerAdapter): void {
  const withStore = (name: string, run: (t: Test, store: LedgerStore) => Promise<void>): void => {
    t.test(name, async (t) => {
      const store = await adapter.open();
      t.teardown(() => store.close());
      await run(t, store);
    });
  };

  withStore('an empty ledger is whole', async (t, store) => {
    t.same(await store.verify(), { ok: true, entries: 0, head: GENESIS_HASH });
    t.same(await store.entries({ limit: 10 }), []);
    t.same(await store.allocations(), []);
    t.equal(await store.getBlob('none'), null);
  });

  withStore('entries chain from the first, and come back as they went in', async (t, store) => {
    const bodies = [eventBody('one'), planBody('p1', [VM_A]), outcome(VM_A, 'c1')];
    const appended = [];
    for (const [i, body] of bodies.entries()) appended.push(await store.append(1000 + i, body));
    t.same(
      appended.map(({ index, timeMs, body }) => [index, timeMs, body]),
      bodies.map((body, i) => [i, 1000 + i, body]),
    );
    t.equal(appended[0]!.previousHash, GENESIS_HASH);
    t.equal(appended[1]!.previousHash, appended[0]!.hash);
    t.equal(appended[2]!.previousHash, appended[1]!.hash);
    t.same(await store.entries({ limit: 10 }), appended);
    t.same(await store.verify(), { ok: true, entries: 3, head: appended[2]!.hash });
  });

  withStore('appends that wait together are all kept, in one chain', async (t, store) => {
    const entries = await Promise.all(Array.from({ length: 40 }, (_, i) => store.append(i, eventBody(`e${i}`, i % 2 ? VM_A : null))));
    t.same(
      entries.map(({ index }) => index),
      Array.from({ length: 40 }, (_, i) => i),
    );
    t.match(await store.verify(), { ok: true, entries: 40 });
  });

  withStore('what has no canonical form is refused, alone', async (t, store) => {
    const bad = { ...eventBody('bad'), message: Number.NaN } as unknown as LedgerBody;
    const missing = { ...eventBody('bad'), message: undefined } as unknown as LedgerBody;
    const results = await Promise.allSettled([
      store.append(1, eventBody('a')),
      store.append(2, bad),
      store.append(3, missing),
      store.append(4, eventBody('b')),
    ]);
    t.same(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    t.match(results[1], { reason: { code: 'INVARIANT_BROKEN', message: /\$\.message is the number NaN/ } });
    t.match(await store.verify(), { ok: true, entries: 2 });
  });

  withStore('entries by VM, by kind, newest first, from an index, up to a limit', async (t, store) => {
    const bodies = [eventBody('e0'), outcome(VM_A, 'c1'), planBody('p2', [VM_A, VM_A]), outcome(VM_B, 'c3'), eventBody('e4', VM_A)];
    for (const [i, body] of bodies.entries()) await store.append(i, body);
    const indexes = async (query: Parameters<LedgerStore['entries']>[0]) => (await store.entries(query)).map(({ index }) => index);
    t.same(await indexes({ limit: 2 }), [0, 1]);
    t.same(await indexes({ limit: 2, newestFirst: true }), [4, 3]);
    t.same(await indexes({ limit: 10, vm: VM_A }), [1, 2, 4]);
    t.same(await indexes({ limit: 2, vm: VM_A, newestFirst: true }), [4, 2]);
    t.same(await indexes({ limit: 10, vm: VM_B }), [3], 'a plan that only looked at the VM is not filed under it');
    t.same(await indexes({ limit: 10, kind: 'outcome' }), [1, 3]);
    t.same(await indexes({ limit: 10, kind: 'outcome', vm: VM_A }), [1]);
    t.same(await indexes({ limit: 10, fromIndex: 3 }), [3, 4]);
    t.same(await indexes({ limit: 10, fromIndex: 3, newestFirst: true }), [3, 2, 1, 0]);
    t.same(await indexes({ limit: 0 }), []);
  });

  withStore('long entries come back whole', async (t, store) => {
    const body = planBody(
      'long',
      Array.from({ length: 300 }, (_, i) => vmId(`00000000-0000-4000-8000-${String(i).padStart(12, '0')}`)),
    );
    await store.append(1, body);
    t.same((await store.entries({ limit: 1 }))[0]?.body, body);
    t.match(await store.verify(), { ok: true, entries: 1 });
  });

  withStore('one allocation per VM and resource; a VM that goes takes all its own', async (t, store) => {
    const allocation = (vm: VmId, memoryMiB: number, sinceMs: number): Allocation => ({
      vm,
      host: HOST,
      setting: { resource: 'memory', memoryMiB },
      sinceMs,
    });
    const cpu: Allocation = { vm: VM_A, host: HOST, setting: { resource: 'cpu', weight: 100, capCores: null }, sinceMs: 1 };
    await store.putAllocation(allocation(VM_B, 256, 1));
    await store.putAllocation(allocation(VM_A, 512, 1));
    await store.putAllocation(cpu);
    await store.putAllocation(allocation(VM_A, 768, 2));
    t.same(await store.allocations(), [cpu, allocation(VM_A, 768, 2), allocation(VM_B, 256, 1)]);
    await store.removeVm(VM_A);
    t.same(await store.allocations(), [allocation(VM_B, 256, 1)]);
  });

  withStore('blobs are replaced and given back bit by bit', async (t, store) => {
    const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i * 7);
    await store.putBlob('model', Uint8Array.of(1));
    await store.putBlob('model', bytes);
    await store.putBlob('empty', new Uint8Array(0));
    t.same(Buffer.from((await store.getBlob('model')) ?? []), Buffer.from(bytes));
    t.equal((await store.getBlob('empty'))?.length, 0);
    await store.putBlob('mode/1', bytes);
    t.same((await store.blobNames('mode')).sort(), ['mode/1', 'model']);
    t.same(await store.blobNames('mode/'), ['mode/1']);
    t.same(await store.blobNames('%'), []);
    await store.removeBlob('model');
    await store.removeBlob('model');
    t.equal(await store.getBlob('model'), null);
    t.same((await store.blobNames('')).sort(), ['empty', 'mode/1']);
  });

  withStore('epochs rise', async (t, store) => {
    t.equal(await store.nextEpoch(), 1);
    t.equal(await store.nextEpoch(), 2);
  });

  const { reopen } = adapter;
  if (!reopen) return;
  t.test('everything is there after reopening, and the chain goes on', async (t) => {
    let store = await adapter.open();
    const [first] = [await store.append(1, eventBody('before'))];
    await store.putBlob('b', Uint8Array.of(5));
    await store.nextEpoch();
    store = await reopen(store);
    t.teardown(() => store.close());
    const second = await store.append(2, eventBody('after'));
    t.equal(second.previousHash, first.hash);
    t.equal(await store.nextEpoch(), 2);
    t.same([...((await store.getBlob('b')) ?? [])], [5]);
    t.match(await store.verify(), { ok: true, entries: 2, head: second.hash });
  });
}
