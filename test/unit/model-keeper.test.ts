/**
 * Goal: models of VMs are written so many bytes a period, each in its turn; those of a VM that is gone wait for its return,
 * over restarts, for as long as is configured, and are deleted then; a clock that jumps deletes little at a time.
 */
import t from 'tap';
import { ModelKeeper, type ModelState } from '../../aggregator/service/model-keeper.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { systemClock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const KEPT_MS = 30 * DAY_MS;
const BYTES = 1000;

interface World {
  ledger: LedgerStore;
  /** VMs that hosts report. */
  there: Set<string>;
  restored: string[];
  forgotten: string[];
  nowMs: number;
  keeper: ModelKeeper;
  restart(): void;
}

function world(bytesPerPeriod = 1e9): World {
  const made: World = {
    ledger: createMemoryLedgerStore(),
    there: new Set(),
    restored: [],
    forgotten: [],
    nowMs: Date.UTC(2026, 0, 1),
    keeper: undefined as never,
    restart: () => {
      made.keeper = new ModelKeeper({
        ledger: made.ledger,
        state,
        log: createLogger(() => undefined, systemClock, 'error'),
        nowMs: () => made.nowMs,
        keptMs: KEPT_MS,
        bytesPerPeriod,
        onForgotten: (gone) => void made.forgotten.push(gone),
      });
    },
  };
  const state: ModelState = {
    policy: undefined as never,
    vmIds: () => [...made.there] as VmId[],
    vm: (id) => {
      if (!made.there.has(id)) return undefined;
      const restore = (): number => made.restored.push(id);
      return { models: { stateBytes: BYTES, knownUntilMs: null }, checkpoint: () => new Uint8Array(BYTES), restore, relearn: () => 0 };
    },
  };
  made.restart();
  return made;
}

const names = async ({ ledger }: World): Promise<string[]> => (await ledger.blobNames('model/')).sort();
const checkpoint = (w: World, all = false): Promise<void> => w.keeper.checkpoint(() => Promise.resolve(), all);
const vm = (n: number): string => `vm-${String(n).padStart(4, '0')}`;

t.test('so many bytes a period, and everyone has a turn', async (t) => {
  const w = world(32 * BYTES);
  for (let n = 0; n < 100; n++) w.there.add(vm(n));
  for (const kept of [32, 64, 96, 100]) {
    w.nowMs += 600_000;
    await checkpoint(w);
    t.equal(w.keeper.behind, 68, 'the others wait');
    t.equal((await names(w)).length, kept);
  }
  t.equal(w.keeper.writtenBytes, 4 * 32 * BYTES);
  await checkpoint(w, true);
  t.equal(w.keeper.behind, 0, 'at the end everything is written');
});

t.test('a VM that is gone finds its models again, under its UUID and after restarts, until its time is over', async (t) => {
  const w = world();
  w.there.add(vm(1)).add(vm(2));
  await checkpoint(w);
  w.there.delete(vm(2));
  await checkpoint(w);
  t.equal(w.keeper.gone, 1);
  w.nowMs += KEPT_MS - HOUR_MS;
  w.restart();
  await checkpoint(w);
  w.there.add(vm(2));
  w.keeper.seen(vm(2) as VmId);
  await checkpoint(w);
  t.same(w.restored, [vm(2)]);
  t.equal(w.keeper.gone, 0);

  w.there.delete(vm(2));
  await checkpoint(w);
  w.nowMs += KEPT_MS - HOUR_MS;
  w.restart();
  await checkpoint(w);
  t.same(await names(w), [`model/${vm(1)}`, `model/${vm(2)}`]);
  w.nowMs += 2 * HOUR_MS;
  await checkpoint(w);
  t.same(await names(w), [`model/${vm(1)}`], 'it is forgotten');
  t.same(w.forgotten, [vm(2)], 'and others are told');
  t.equal(w.keeper.forgotten, 1);
  w.restart();
  await checkpoint(w);
  t.equal(w.keeper.gone, 0);
});

t.test('models that an earlier program left behind have their time from now on; what is unreadable is begun anew', async (t) => {
  const w = world();
  await w.ledger.putBlob(`model/${vm(7)}`, new Uint8Array(3));
  await w.ledger.putBlob('models-gone', new TextEncoder().encode('{"vm-'));
  await checkpoint(w);
  w.nowMs += KEPT_MS - 1;
  await checkpoint(w);
  t.equal((await names(w)).length, 1);
  w.nowMs += 1;
  await checkpoint(w);
  t.same(await names(w), []);
});

t.test('thousands that come and go: the longest gone make room after a day; a jump of the clock deletes some at a time', async (t) => {
  const w = world();
  for (let n = 0; n < 5300; n++) await w.ledger.putBlob(`model/${vm(n)}`, new Uint8Array(1));
  await checkpoint(w);
  t.equal(w.keeper.forgotten, 0, 'hosts may just not have connected yet');
  w.nowMs += DAY_MS;
  for (let i = 0; i < 4; i++) await checkpoint(w);
  t.equal((await names(w)).length, 5000);
  w.nowMs += 10 * KEPT_MS;
  await checkpoint(w);
  t.equal((await names(w)).length, 4800);
});

t.test('the past of many VMs is asked for together, in the order they came; one query that fails costs its own VMs alone', async (t) => {
  const asked: number[] = [];
  const learnt: string[] = [];
  let failing = 1;
  const keeper = new ModelKeeper({
    ledger: createMemoryLedgerStore(),
    log: createLogger(() => undefined, systemClock, 'error'),
    ...{ nowMs: () => 0, keptMs: KEPT_MS },
    state: {
      policy: undefined as never,
      vmIds: () => [],
      vm: (id) => ({
        models: { stateBytes: BYTES, knownUntilMs: null },
        ...{ checkpoint: () => new Uint8Array(BYTES), restore: () => 0, relearn: () => learnt.push(id) - learnt.length + 1 },
      }),
    },
    histories: async (vms) => {
      asked.push(vms.length);
      if (failing-- > 0) throw new Error('the store is away');
      return vms.map(() => ({ cpu: [{ startMs: 0, value: 1 }] }));
    },
  });
  for (let n = 0; n < 120; n++) keeper.seen(vm(n) as VmId);
  await keeper.checkpoint(() => Promise.resolve());
  t.same(asked, [50, 50, 20]);
  t.equal(keeper.refused, 50);
  t.equal(keeper.relearntSteps, 70);
  t.same(
    learnt,
    Array.from({ length: 70 }, (_, n) => vm(n + 50)),
  );
});

t.test('whose end has come reads no further past, and writes nothing over what it has not read', async (t) => {
  const ledger = createMemoryLedgerStore();
  let asked = 0;
  let rested = 0;
  const keeper: ModelKeeper = new ModelKeeper({
    ...{ ledger, log: createLogger(() => undefined, systemClock, 'error'), nowMs: () => 0, keptMs: KEPT_MS },
    state: {
      policy: undefined as never,
      vmIds: () => Array.from({ length: 120 }, (_, n) => vm(n) as VmId),
      vm: () => ({
        models: { stateBytes: BYTES, knownUntilMs: null },
        ...{ checkpoint: () => new Uint8Array(BYTES), restore: () => 0, relearn: () => 1 },
      }),
    },
    histories: async (vms) => {
      asked++;
      keeper.end();
      return vms.map(() => ({}));
    },
    rest: async () => void rested++,
  });
  for (let n = 0; n < 120; n++) keeper.seen(vm(n) as VmId);
  await keeper.checkpoint(() => Promise.resolve(), true);
  t.equal(asked, 1);
  t.equal(rested, 0);
  t.equal((await ledger.blobNames('model/')).length, 50);
});
