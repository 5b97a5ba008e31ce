/**
 * Goal: a guest whose memory an earlier snapshot holds in records that are broken by now is suspended all the same: what cannot be read back is
 * written anew, once, before the hypervisor's own saving is fallen back to; and a store that loses what it is given is never believed.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { readRange } from '../../agent/snapshot/memory-place.ts';
import { openSnapshotStore, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { FRAGILE_VM, FragileGuest } from '../support/fragile-guest.ts';

const KEY = Buffer.alloc(32, 5);

async function stage(t: { teardown(undo: () => unknown): void }) {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-again-'));
  mkdirSync(join(folder, 'guest'));
  const files = openLocalFiles(join(folder, 'store'));
  t.teardown(async () => {
    await files.close();
    rmSync(folder, { recursive: true });
  });
  const store = await openSnapshotStore(files, 'tenant', KEY);
  const guest = new FragileGuest(join(folder, 'guest'), createPrng(1));
  const clock = new NodeClock(new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5)));
  const packs = join(folder, 'store', 'tenant', 'packs');
  const suspend = (into: SnapshotStore) => suspendVm({ snapshotter: guest.snapshotter(), store: into, clock }, FRAGILE_VM, null);
  return { store, guest, packs, suspend };
}

t.test('records that broke since are written anew', async (t) => {
  const { store, guest, packs, suspend } = await stage(t);
  const snapshotter = guest.snapshotter();
  const support = await snapshotter.inspect(FRAGILE_VM);
  if (support.recipe !== 'memory-file') throw new Error(support.reason);
  const { memoryPath, memoryBytes, machine } = support;
  await snapshotter.pause(FRAGILE_VM);
  await store.save({
    facts: { vm: FRAGILE_VM, takenAtMs: 1, memoryBytes, machine },
    state: Buffer.alloc(10),
    readMemory: (offset, length) => readRange(memoryPath, offset, length),
    parent: null,
  });
  await snapshotter.goOn(FRAGILE_VM);
  const [pack] = readdirSync(packs);
  // More than parity can mend: nothing of it is left.
  writeFileSync(join(packs, pack!), Buffer.alloc(100));
  const suspended = await suspend(store);
  t.equal(suspended.recipe, 'memory-file', JSON.stringify(suspended));
  t.equal(guest.power, 'off');
  if (suspended.recipe === 'memory-file') t.same(await store.verify(suspended.saved.manifest.id), [], 'and can be read');
});

t.test('what cannot be read back the second time either is saved by the hypervisor', async (t) => {
  const { store, guest, suspend } = await stage(t);
  let verified = 0;
  const verify = async (): Promise<string[]> => [`chunk ${verified++} is lost`];
  const liar = new Proxy(store, {
    get: (whole, name: keyof SnapshotStore) => {
      const own = whole[name];
      return name === 'verify' ? verify : typeof own === 'function' ? own.bind(whole) : own;
    },
  });
  t.match(await suspend(liar), { recipe: 'managed-save', reason: /could not be read back: chunk 1 is lost/ });
  t.equal(verified, 2);
  t.same(await store.list(), [], 'neither snapshot is kept');
  t.equal(guest.power, 'off', 'saved');
});
