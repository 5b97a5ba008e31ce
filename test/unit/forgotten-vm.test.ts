/**
 * Goal: a VM that lived on its snapshot, and that was ended and undefined while no agent ran, leaves nothing behind: neither what showed its
 * memory nor its record. One that the hypervisor cannot tell of at the moment keeps both, and so does one that the hypervisor lost while its
 * QEMU lives on: that one is served.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Suspender } from '../../agent/loops/suspender.ts';
import { memoryAt } from '../../agent/snapshot/memory-place.ts';
import { openSnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { FragileGuest, FRAGILE_VM as vm } from '../support/fragile-guest.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const nothing = (): void => undefined;
const shell = '/bin/sh';
// Memory is placed whole: showing it lazily needs programs.
process.env.PATH = '';

/** Two agents after one another; between them the guest is as it was left. */
async function agents(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-forgotten-'));
  const guest = new FragileGuest(folder, createPrng(3));
  const store = await openSnapshotStore(new TreacherousFiles(createPrng(1)), 'default', Buffer.alloc(32, 5));
  const told: string[] = [];
  const hypervisor = { answers: true };
  const begun: Suspender[] = [];
  const begin = (): Suspender => {
    const own = guest.snapshotter();
    const definition: typeof own.definition = async (id) => {
      if (!hypervisor.answers) throw new Error('the hypervisor is away');
      return own.definition(id);
    };
    const suspender = new Suspender({
      ...{ snapshotter: { ...own, definition }, journal: openSuspendJournal(join(folder, 'journal')), store: async () => store },
      ...{ clock: systemClock, folder: join(folder, 'resumed'), learnMs: 3_600_000, aliveMs: 5000 },
      ...{ speaks: () => null, tell: (_vm, words) => void told.push(words), changed: nothing },
      ...{ adoptKey: async (tenant) => tenant, onTakenBack: nothing },
    });
    begun.push(suspender);
    return suspender;
  };
  t.teardown(async () => {
    for (const one of begun) await one.handOver();
    rmSync(folder, { recursive: true });
  });
  const first = begin();
  await first.recover();
  guest.run(20);
  await first.suspend(vm, 'guest', 'default', nothing);
  return { guest, first, begin, told, hypervisor, place: join(folder, 'resumed', vm) };
}

t.test('ended and undefined while no agent ran', async (t) => {
  const { guest, first, begin, told, place } = await agents(t);
  await first.resume(vm, nothing);
  t.ok(existsSync(memoryAt(place)));
  await first.handOver();
  guest.beForgotten();
  const next = begin();
  t.same(await next.recover(), []);
  t.notOk(existsSync(place), 'its memory is not kept for nobody');
  t.equal(next.phase(vm), null);
  t.match(told.at(-1), /boots from its disk/);
});

t.test('made ready, ended and undefined while no agent ran: suspended', async (t) => {
  const { guest, first, begin, place } = await agents(t);
  await first.prepare(vm, nothing, undefined, true);
  await first.handOver();
  guest.beForgotten();
  const next = begin();
  t.same(await next.recover(), []);
  t.notOk(existsSync(place));
  t.equal(next.phase(vm), 'suspended', 'its snapshot is whole');
});

t.test('not to be read at the moment: nothing is touched until it is', async (t) => {
  const { guest, first, begin, hypervisor, place } = await agents(t);
  await first.resume(vm, nothing);
  await first.handOver();
  hypervisor.answers = false;
  const next = begin();
  t.match(await next.recover(), [/the hypervisor is away/]);
  t.ok(existsSync(memoryAt(place)));
  t.equal(next.phase(vm), 'running');
  guest.beForgotten();
  hypervisor.answers = true;
  t.same(await next.recover(), []);
  t.notOk(existsSync(place));
});

for (const phase of ['running', 'prepared'] as const)
  t.test(`lost by the hypervisor while its QEMU lives: ${phase}`, async (t) => {
    const { guest, first, begin, place } = await agents(t);
    if (phase === 'running') await first.resume(vm, nothing);
    else await first.prepare(vm, nothing, undefined, true);
    await first.handOver();
    // Its words name what a QEMU's do; that it waits nobody asks.
    const words = `memory-backend-file,mem-path=${memoryAt(place)},share=on`;
    const process = spawn(shell, ['-c', 'read line', words], { stdio: ['pipe', 'ignore', 'ignore'] });
    t.teardown(() => process.kill('SIGKILL'));
    guest.beLost();
    const next = begin();
    const problems = await next.recover();
    t.ok(existsSync(memoryAt(place)), 'it keeps its memory');
    t.equal(next.phase(vm), phase);
    if (phase === 'prepared') t.match(problems, [/a QEMU lives on its memory/]);
    else t.same(problems, []);
    t.equal(await next.startedElsewhere(vm), false);
  });
