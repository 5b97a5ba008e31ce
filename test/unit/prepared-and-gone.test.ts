/**
 * Goal: a VM that was made ready, and whose QEMU ends before it is brought back, is suspended again: nobody is told that it is ready, it can be
 * brought back at once, and let go. One whose QEMU ends as it is set going may have run: it boots from its disk. One that could not be set
 * going for another reason is, when it is asked for again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { VmSnapshotter } from '../../agent/hypervisor/snapshotter.ts';
import { Suspender } from '../../agent/loops/suspender.ts';
import { openSnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { FragileGuest, FRAGILE_VM as vm } from '../support/fragile-guest.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const nothing = (): void => undefined;
// Memory is placed whole: showing it lazily needs programs.
process.env.PATH = '';

async function suspended(t: Test, change: Partial<VmSnapshotter> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-prepared-'));
  const guest = new FragileGuest(folder, createPrng(3));
  const store = await openSnapshotStore(new TreacherousFiles(createPrng(1)), 'default', Buffer.alloc(32, 5));
  const told: string[] = [];
  const suspender = new Suspender({
    ...{
      snapshotter: { ...guest.snapshotter(), ...change },
      journal: openSuspendJournal(join(folder, 'journal')),
      store: async () => store,
    },
    ...{ clock: systemClock, folder: join(folder, 'resumed'), learnMs: 3_600_000, aliveMs: 5000 },
    ...{ speaks: () => null, tell: (_vm, words) => void told.push(words), changed: nothing },
    ...{ adoptKey: async (tenant) => tenant, onTakenBack: nothing },
  });
  await suspender.recover();
  t.teardown(async () => {
    await suspender.handOver();
    rmSync(folder, { recursive: true });
  });
  guest.run(20);
  await suspender.suspend(vm, 'guest', 'default', nothing);
  await suspender.prepare(vm, nothing, undefined, true);
  t.equal(suspender.phase(vm), 'prepared');
  return { guest, suspender, told };
}

t.test('its QEMU ends while it waits: suspended, and told', async (t) => {
  const { guest, suspender, told } = await suspended(t);
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), 'prepared', 'an end of before is not one of this');
  guest.die();
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), 'suspended');
  t.match(told, [/ended while it waited/]);
  await suspender.resume(vm, nothing);
  t.equal(guest.power, 'running');
  t.equal(guest.wrong(), null);
});

t.test('brought back before anybody was told of it', async (t) => {
  const { guest, suspender } = await suspended(t);
  guest.die();
  await suspender.resume(vm, nothing);
  t.equal(guest.power, 'running');
  t.equal(guest.wrong(), null);
  t.equal(suspender.phase(vm), 'running');
});

t.test('told late of an end of before, when it runs again: what it lives on stays', async (t) => {
  const { guest, suspender } = await suspended(t);
  await suspender.resume(vm, nothing);
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), 'running');
  guest.run(4);
  t.equal(guest.wrong(), null);
  await suspender.suspend(vm, 'guest', 'default', nothing);
  await suspender.resume(vm, nothing);
  t.equal(guest.wrong(), null);
  guest.die();
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), null, 'and goes with it');
});

t.test('ended and forgotten by libvirt at once: nothing stays of what it lived on', async (t) => {
  const { guest, suspender } = await suspended(t);
  await suspender.resume(vm, nothing);
  guest.beForgotten();
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), null);
});

t.test('ended and forgotten by libvirt while it was ready: suspended', async (t) => {
  const { guest, suspender, told } = await suspended(t);
  guest.beForgotten();
  await suspender.ended(vm);
  t.equal(suspender.phase(vm), 'suspended');
  t.match(told, [/ended while it waited/]);
});

t.test('let go before anybody was told of it', async (t) => {
  const { guest, suspender } = await suspended(t);
  guest.die();
  await suspender.letGo(vm);
  t.equal(suspender.phase(vm), 'suspended');
});

t.test('its QEMU ends as it is set going', async (t) => {
  let guestOf: FragileGuest | null = null;
  const goOn = async (): Promise<void> => {
    guestOf?.die();
    throw new Error('the connection was lost');
  };
  const { guest, suspender, told } = await suspended(t, { goOn });
  guestOf = guest;
  await t.rejects(suspender.resume(vm, nothing), { message: /connection was lost/ });
  t.equal(suspender.phase(vm), null, 'it may have run: its snapshot is given up');
  t.match(told, [/boots from its disk/]);
  guest.boot();
});

t.test('it could not be set going: it is when it is asked for again', async (t) => {
  let fails = true;
  let own: VmSnapshotter | null = null;
  const goOn = async (id: typeof vm): Promise<void> => {
    if (fails) throw new Error('the hypervisor is busy');
    await own?.goOn(id);
  };
  const { guest, suspender } = await suspended(t, { goOn });
  own = guest.snapshotter();
  await t.rejects(suspender.resume(vm, nothing), { message: /busy/ });
  fails = false;
  await suspender.resume(vm, nothing);
  t.equal(guest.power, 'running');
  t.equal(guest.wrong(), null);
  t.equal(suspender.phase(vm), 'running');
});
