/**
 * Goal: a real guest (two vCPUs, network card, disk) is suspended into the chunk store and comes back as it was: stopped at
 * once, its memory fetched as it is touched, the chunks it touched first fetched ahead the next time, what it did not touch not
 * read again. A broken chunk is caught before the guest runs, and nothing of the suspended VM is lost by a resume that fails. A
 * guest whose memory is in no file is saved by libvirt, and the reason is told. A guest's clock is set when it is back.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { prepareResume } from '../../agent/actuators/resume-vm.ts';
import { suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { createTouchModel, scoreTouches } from '../../agent/core/touch-model.ts';
import { setGuestClock } from '../../agent/loops/guest-clock.ts';
import { CHUNK_BYTES } from '../../agent/snapshot/chunk.ts';
import { mappingsIn, qemuProcess, touchedChunks } from '../../agent/snapshot/touched-chunks.ts';
import { virsh } from '../support/libvirtd.ts';
import { suspendWorld } from '../support/suspendable-guest.ts';

t.setTimeout(240_000);

const MEMORY_MIB = 160;
const disk = mkdtempSync(join(tmpdir(), 'headroom-snapshots-'));
const world = await suspendWorld(disk);
const { deps, store, daemon } = world;

t.teardown(async () => {
  await world.close();
  rmSync(disk, { recursive: true, force: true });
});

/** By the words its QEMU was started with: nobody is asked who may wait for a chunk from here. */
function generationOf(pid: number): string {
  const [, id] = /vmgenid[^\0]*?guid"?[=:]"?([0-9a-f-]{36})/.exec(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? [];
  if (id === undefined) throw new Error(`process ${pid} was started without a generation id`);
  return id;
}

t.test('suspended and resumed, twice, as if it had never left', async (t) => {
  const guest = await world.boot({ name: 'suspended', number: 1, memoryMiB: MEMORY_MIB, obeysAgent: true });
  const behindSeconds = async (): Promise<number> => Date.now() / 1000 - Number((await guest.ask('clock')).split(' ')[1]);
  const persistent = virsh(daemon.socket, 'dumpxml', '--inactive', guest.name);
  await guest.ask('parts 0 6');
  const sum = await guest.ask('sum');
  const generation = generationOf(Number(readFileSync(join(daemon.runFolder, 'qemu', `${guest.name}.pid`), 'utf8')));

  const first = await suspendVm(deps, guest.vm, null);
  if (first.recipe !== 'memory-file') throw new Error(first.reason);
  // What the benchmark measures is a tenth of it; this machine may be busy.
  t.ok(first.stoppedMs < 1000, `stopped after ${first.stoppedMs.toFixed(0)} ms`);
  t.match(virsh(daemon.socket, 'domstate', guest.name), /shut off/);

  const model = createTouchModel();
  const resumed = await prepareResume(deps, await store.open(first.saved.manifest.id), { predicted: [] });
  let residence = await resumed.go();
  t.equal(await guest.ask('visit 0 4'), 'visited 0 4');
  const stoodSeconds = await behindSeconds();
  t.ok(stoodSeconds > 2, `its clock stood still for ${stoodSeconds.toFixed(1)} s`);
  const told: string[] = [];
  const parts = { ...deps, tell: (_vm: string, words: string) => void told.push(words), wanted: () => true };
  await setGuestClock(parts, guest.vm, stoodSeconds * 1000);
  t.same(told, []);
  t.ok(Math.abs(await behindSeconds()) < 2, 'and is set');
  const pid = await qemuProcess(guest.vm, residence.place.identity);
  t.not(generationOf(pid!), generation, 'it has another generation id');
  for (const { start, offset } of await mappingsIn(pid!, residence.place.identity)) {
    t.equal((start - offset) % CHUNK_BYTES, 0, 'what the kernel maps around a page is of one chunk');
  }
  const touched = await touchedChunks(pid!, residence.place.identity);
  t.ok(touched.length > 256 && touched.length < MEMORY_MIB * 16, `${touched.length} chunks touched, not all`);
  model.observe(touched);
  const unread = first.saved.manifest.memory.length - residence.place.touchedChunks;
  t.ok(unread > 0, `${unread} chunks were never asked for`);

  const second = await suspendVm(deps, guest.vm, residence);
  if (second.recipe !== 'memory-file') throw new Error(second.reason);
  t.equal(virsh(daemon.socket, 'dumpxml', '--inactive', guest.name), persistent, 'its definition is what it was');
  t.ok(second.saved.newBytes < first.saved.newBytes / 3, `${second.saved.newBytes} bytes are new, ${first.saved.newBytes} were`);
  await store.remove(first.saved.manifest.id);
  await store.collect();
  t.same(await store.verify(second.saved.manifest.id), [], 'the older snapshot is not needed');

  const predicted = model.predict(10_000).map(({ chunk }) => chunk);
  const ready = await prepareResume(deps, await store.open(second.saved.manifest.id), { predicted });
  t.ok(ready.inPlace.size > 0.9 * predicted.length, `${ready.inPlace.size} of ${predicted.length} chunks wait in place`);
  t.ok(ready.bytesFirst > 0 && ready.bytesFirst <= predicted.length * 65_536);
  residence = await ready.go();
  t.equal(await guest.ask('visit 0 4'), 'visited 0 4');
  const again = await touchedChunks((await qemuProcess(guest.vm, residence.place.identity))!, residence.place.identity);
  const { hitRate } = scoreTouches(predicted, again);
  t.ok(hitRate > 0.85, `${(hitRate * 100).toFixed(0)} % of what was touched had been fetched`);
  t.equal(await guest.ask('sum'), sum, 'its memory holds what it held');
  t.same(world.stuck, []);
  // As where a snapshot of it cannot be written.
  await deps.snapshotter.save(guest.vm);
  await residence.leave();
  await deps.snapshotter.restore(guest.vm);
  t.equal(await guest.ask('sum'), sum, 'saved by libvirt while its memory was shown, it is brought back without what showed it');
  guest.close();
  // Not by a program that is waited for: the guest may need a chunk from this process to end.
  await deps.snapshotter.end(guest.vm);
});

t.test('a guest whose memory is in no file is saved by libvirt', async (t) => {
  const guest = await world.boot({ name: 'plain', number: 2, memoryMiB: MEMORY_MIB, memoryFile: false });
  await guest.ask('parts 0 2');
  const sum = await guest.ask('sum');
  t.match(await suspendVm(deps, guest.vm, null), { recipe: 'managed-save', reason: /does not lie in a file/ });
  await deps.snapshotter.restore(guest.vm);
  t.equal(await guest.ask('sum'), sum);
  const told: string[] = [];
  await setGuestClock({ ...deps, tell: (_vm, words) => void told.push(words), wanted: () => true }, guest.vm, 60_000);
  t.match(told, [/^its clock is 60 s behind .*agent/], 'a guest without an agent: its user is told');
  await t.rejects(deps.snapshotter.restore(guest.vm), { code: 'HYPERVISOR_REFUSED', message: /nothing saved/ });
  guest.close();
  await deps.snapshotter.end(guest.vm);
});
