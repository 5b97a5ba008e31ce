/** Goal: the ledger that aggregators share in a real etcd keeps the seam's contract, one chain whoever appends, and none acknowledged lost. */
import t from 'tap';
import { connectEtcd } from '../../aggregator/etcd/connection.ts';
import { openEtcdLedgerStore } from '../../aggregator/etcd/etcd-ledger-store.ts';
import { EtcdKeys } from '../../aggregator/etcd/keys.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { sleep, systemClock } from '../../shared/clock.ts';
import { startEtcd } from '../support/etcd.ts';
import { eventBody, ledgerStoreContract } from './ledger-store-contract.ts';

const etcd = await startEtcd();
const connection = connectEtcd({ endpoints: etcd.endpoints });
t.teardown(async () => {
  connection.close();
  await etcd.stop();
});
let fleets = 0;

interface Opening {
  prefix?: string;
  name?: string;
  copy?: LedgerStore;
  tailEntries?: number;
}

function open({
  prefix = `fleet-${++fleets}/`,
  name = 'a',
  copy = createMemoryLedgerStore(),
  tailEntries = 5000,
}: Opening = {}): Promise<LedgerStore> {
  return openEtcdLedgerStore({ connection, prefix, clock: systemClock, name, copy, tailEntries, appendMsMax: 3000 });
}

/** A copy that outlives the store that was opened over it. */
function kept(copy: LedgerStore): LedgerStore {
  return { ...copy, close: async () => undefined };
}

t.test('contract', async (t) => {
  const places = new Map<LedgerStore, { prefix: string; copy: LedgerStore }>();
  const openAt = async (place: { prefix: string; copy: LedgerStore }): Promise<LedgerStore> => {
    const store = await open({ prefix: place.prefix, copy: kept(place.copy) });
    places.set(store, place);
    return store;
  };
  ledgerStoreContract(t, {
    open: () => openAt({ prefix: `contract-${++fleets}/`, copy: createMemoryLedgerStore() }),
    async reopen(store) {
      await store.close();
      return openAt(places.get(store)!);
    },
  });
});

t.test('three that append at once make one chain, the same in every copy', async (t) => {
  const prefix = `three-${++fleets}/`;
  const stores = await Promise.all(['a', 'b', 'c'].map((name) => open({ prefix, name })));
  t.teardown(() => Promise.all(stores.map((store) => store.close())));
  const appended = await Promise.all(
    stores.flatMap((store, s) => Array.from({ length: 30 }, (_, i) => store.append(i, eventBody(`${s}/${i}`)))),
  );
  t.same(
    appended.map(({ index }) => index).sort((a, b) => a - b),
    Array.from({ length: 90 }, (_, i) => i),
  );
  const first = await stores[0]!.entries({ limit: 100 });
  for (const store of stores) {
    t.same(await store.entries({ limit: 100 }), first);
    t.match(await store.verify(), { ok: true, entries: 90, head: first.at(-1)!.hash });
  }
  t.ok(appended.every((entry) => first[entry.index]!.hash === entry.hash));
});

t.test('what all copies hold leaves etcd; a copy that begins too late is told what to do', async (t) => {
  const prefix = `tail-${++fleets}/`;
  const stores = await Promise.all(['a', 'b'].map((name) => open({ prefix, name, tailEntries: 10 })));
  for (let i = 0; i < 40; i++) await stores[i % 2]!.append(i, eventBody(`e${i}`));
  for (const store of stores) await store.entries({ limit: 1 });
  for (let i = 40; i < 60; i++) await stores[i % 2]!.append(i, eventBody(`e${i}`));
  const keys = await new EtcdKeys(connection, prefix).names('ledger/entry/');
  t.ok(keys.length >= 10 && keys.length < 45, `${keys.length} of 60 entries are in etcd`);
  for (const store of stores) t.match(await store.verify(), { ok: true, entries: 60 });
  await t.rejects(open({ prefix, name: 'late' }), { code: 'LEDGER_BROKEN', message: /copy the ledger folder of another aggregator/ });
  for (const store of stores) await store.close();
});

t.test('a copy of another fleet is refused', async (t) => {
  const copy = createMemoryLedgerStore();
  await copy.append(1, eventBody('elsewhere'));
  const prefix = `other-${++fleets}/`;
  const store = await open({ prefix });
  await store.append(1, eventBody('here'));
  await t.rejects(open({ prefix, name: 'b', copy }), { code: 'LEDGER_BROKEN' });
  await store.close();
});

t.test('a shared blob that another changed is not overwritten; our own stay our own', async (t) => {
  const prefix = `blobs-${++fleets}/`;
  const [a, b] = [await open({ prefix, name: 'a' }), await open({ prefix, name: 'b' })];
  await a!.putBlob('policy/current', Uint8Array.of(1));
  await t.rejects(b!.putBlob('policy/current', Uint8Array.of(2)), { code: 'VERSION_CHANGED' });
  t.same([...((await b!.getBlob('policy/current')) ?? [])], [1]);
  await b!.putBlob('policy/current', Uint8Array.of(2));
  await a!.putBlob('model/x', Uint8Array.of(3));
  t.equal(await b!.getBlob('model/x'), null);
  await a!.close();
  await b!.close();
});

t.test('etcd is away: appends wait, then are refused; what is known is answered; back, all goes on', async (t) => {
  const lonely = await startEtcd();
  const own = connectEtcd({ endpoints: lonely.endpoints });
  t.teardown(async () => {
    own.close();
    await lonely.stop();
  });
  const copy = createMemoryLedgerStore();
  const store = await openEtcdLedgerStore({ connection: own, prefix: 'h/', clock: systemClock, name: 'a', copy, appendMsMax: 1500 });
  await store.append(1, eventBody('before'));
  lonely.signal(0, 'SIGSTOP');
  // All its threads must have met it.
  await sleep(systemClock, 100);
  // It may be refused before what is known is answered.
  const refused = t.rejects(store.append(2, eventBody('waits')), { code: 'UNAVAILABLE' });
  t.equal((await store.entries({ limit: 10 })).length, 1);
  await refused;
  const patient = store.append(3, eventBody('patient'));
  lonely.signal(0, 'SIGCONT');
  const { index } = await patient;
  const entries = await store.entries({ limit: 10 });
  t.equal(entries.filter(({ body }) => body.kind === 'event' && body.event === 'patient').length, 1, 'once');
  t.equal(entries[index]!.timeMs, 3);
  t.match(await store.verify(), { ok: true });
  await store.close();
});

t.test('an entry that comes while the one before is being finished waits for no third', async (t) => {
  const store = await open({ prefix: `finishing-${++fleets}/` });
  const lost: number[] = [];
  for (let after = 0; after < 40; after++) {
    await store.append(1, eventBody('first'));
    for (let i = 0; i < after; i++) await Promise.resolve();
    const written = store.append(2, eventBody('second')).then(() => true);
    if (!(await Promise.race([written, sleep(systemClock, 1000).then(() => false)]))) lost.push(after);
  }
  t.same(lost, [], 'turns of the event loop after which it was forgotten');
  await store.close();
});
