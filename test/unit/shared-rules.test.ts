/** Goal: a policy or a kill switch that one aggregator takes holds at the others, and neither undoes the other's. */
import t from 'tap';
import { KillSwitches } from '../../aggregator/service/kill-switches.ts';
import { PolicyKeeper } from '../../aggregator/service/policy-keeper.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { hostId } from '../../shared/ids.ts';

const text = (mode: string): string => `version: 1\ndefaults: {cpu: {mode: ${mode}}}\n`;

t.test('a policy taken at one comes to the other; a file that has not changed does not undo it', async (t) => {
  const ledger = createMemoryLedgerStore();
  const file = { source: text('observe') };
  const source = { read: async () => file.source };
  const [a, b] = [new PolicyKeeper(ledger, source, 1000), new PolicyKeeper(ledger, source, 1000)];
  await a.load(1);
  await b.load(2);
  t.equal(b.view().version, 1, 'the same file is the same policy');
  t.equal(await b.refresh(() => []), null);
  await a.apply(text('recommend'), { by: 'alice', ifVersion: 1 }, [], 3);
  t.ok(await b.refresh(() => []));
  t.same(b.view(), a.view());
  t.equal(await b.reload(() => [], 4), null);
  t.equal(b.view().version, 2);
  file.source = text('auto');
  t.ok(await b.reload(() => [], 5), 'a file that changes wins as ever');
  t.ok(await a.refresh(() => []));
  t.equal(await a.reload(() => [], 6), null, 'and is taken once');
  t.same([a.view().version, b.view().version], [3, 3]);
});

t.test('a kill switch thrown at one holds at the other', async (t) => {
  const ledger = createMemoryLedgerStore();
  const [a, b] = [new KillSwitches(ledger), new KillSwitches(ledger)];
  await a.set({ kind: 'fleet' }, true, 'alice', 'storm', 1);
  t.equal(b.fleetEngaged, false);
  t.equal(await b.refresh(), true);
  t.equal(b.fleetEngaged, true);
  t.equal(await b.refresh(), false, 'told once');
});

t.test('thrown at both at once, both hold', async (t) => {
  const ledger = createMemoryLedgerStore();
  let changed = false;
  const contended = {
    ...ledger,
    // As a shared ledger answers when another was first.
    async putBlob(name: string, bytes: Uint8Array) {
      if (changed) {
        changed = false;
        throw new HeadroomError('VERSION_CHANGED', 'changed by another');
      }
      await ledger.putBlob(name, bytes);
    },
  };
  const [a, b] = [new KillSwitches(ledger), new KillSwitches(contended)];
  const host = hostId('kvm1');
  await a.set({ kind: 'fleet' }, true, 'alice', 'storm', 1);
  changed = true;
  await b.set({ kind: 'host', host }, true, 'bob', 'repair', 2);
  await a.refresh();
  t.equal(a.fleetEngaged && b.fleetEngaged, true);
  t.match(
    a.framesFor(host, () => []),
    [{ engaged: true, reason: 'repair' }],
  );
});
