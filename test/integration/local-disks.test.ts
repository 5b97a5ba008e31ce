/**
 * Goal: disks of suspended VMs that one host alone sees: taken when their VM is off, let go as soon as it is wanted, taken up again when it
 * is to go elsewhere; one that was written to since goes nowhere; and no image is ever removed but those that were laid out here.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { fileDisksOf, withDisks } from '../../agent/hypervisor/libvirt/disk-xml.ts';
import { LocalDisks } from '../../agent/loops/local-disks.ts';
import { lendingOf } from '../../agent/loops/snapshot-lending.ts';
import { SuspendBook } from '../../agent/loops/suspend-book.ts';
import type { Suspender } from '../../agent/loops/suspender.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { openSnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { spoiledPack } from '../support/spoiled-pack.ts';

const VM = vmId('6f1b0000-0000-4000-8009-0000000000d2');
const MIB = 1024 * 1024;
const never = (): Promise<never> => Promise.reject(new Error('nobody asks the hypervisor'));
const NOBODY = { definition: never, define: never, goOn: never };
const write = (path: string, what: string): string =>
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write ${what}`, path], { encoding: 'utf8' });

async function world(t: Test, { more = '', dataMiB = 2 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-local-disks-'));
  const [images, shared] = [join(folder, 'images'), join(folder, 'shared')];
  for (const one of [images, shared]) mkdirSync(one);
  const path = join(images, 'a.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '256M']);
  write(path, `-P 5 0 ${dataMiB}M`);
  const disk = (target: string, at: string): string =>
    `<disk type='file'><driver type='qcow2'/><source file='${at}'/><target dev='${target}'/>${more}</disk>`;
  const domainXml = `<domain><devices>${disk('vda', path)}${disk('vdb', join(shared, 'b.qcow2'))}</devices></domain>`;
  const files = openLocalFiles(join(folder, 'store'));
  const store = await openSnapshotStore(files, 'tenant', Buffer.alloc(32, 4));
  const book = new SuspendBook(openSuspendJournal(join(folder, 'journal')), systemClock);
  book.load();
  book.begin(VM, 'guest', 'tenant');
  let moment = 0;
  const suspended = async (): Promise<string> => {
    const machine = { qemuVersion: '7', machineType: 'q35', domainXml };
    const facts = { vm: VM, takenAtMs: moment++, memoryBytes: 65_536, machine };
    const { manifest } = await store.save({ facts, state: Buffer.of(1), readMemory: async () => Buffer.alloc(65_536), parent: null });
    book.note(VM, { phase: 'suspended', snapshot: manifest.id });
    return manifest.id;
  };
  const told: string[] = [];
  const disks = new LocalDisks({
    ...{ book, snapshotter: NOBODY, clock: systemClock },
    ...{ store: async () => store, tell: (_vm, words) => void told.push(words), changed: () => undefined },
    means: { folders: [images], disksOf: fileDisksOf, withDisks },
  });
  t.teardown(async () => {
    await disks.stopAll();
    await files.close();
    rmSync(folder, { recursive: true });
  });
  return { ...{ folder, images, shared, path, store, book, disks, suspended, told, domainXml } };
}

t.test('taken in its own time, that of this host alone; again when it goes elsewhere, if it was written to', async (t) => {
  const { path, book, disks, suspended, store, told } = await world(t);
  const snapshot = await suspended();
  disks.start(VM);
  t.ok(disks.busy, 'a collection leaves what nobody names yet');
  await disks.whole(VM);
  t.notOk(disks.busy);
  const [first] = book.find(VM)!.disks;
  t.match(book.find(VM)!.disks, [{ target: 'vda', path, of: snapshot }], 'the other is shared');
  await disks.whole(VM);
  t.equal(book.find(VM)!.disks[0]?.snapshot, first?.snapshot, 'once is enough');
  await disks.asTaken(VM);
  write(path, '-P 6 100M 64k');
  await t.rejects(disks.asTaken(VM), { code: 'CONFLICT', message: /was written to/ });
  await disks.whole(VM);
  t.not(book.find(VM)!.disks[0]?.snapshot, first?.snapshot);
  await disks.asTaken(VM);
  t.equal((await store.list()).length, 2, 'the memory and the newer disk');
  t.same(told, []);
});

t.test('let go when the VM is wanted: nothing reads it any more, and nothing of it is left', async (t) => {
  const { book, disks, suspended, store, path } = await world(t, { dataMiB: 200 });
  const snapshot = await suspended();
  disks.start(VM);
  await new Promise((resolve) => setTimeout(resolve, 150));
  await disks.stop(VM);
  t.same(book.find(VM)!.disks, []);
  t.same(await store.list(), [snapshot]);
  // As a guest that starts: it takes the image's lock.
  write(path, '-P 7 0 64k');
  await disks.whole(VM);
  t.equal(book.find(VM)!.disks.length, 1);
});

t.test('one that cannot be taken is told, and keeps the VM from going elsewhere', async (t) => {
  const { book, disks, suspended, told } = await world(t, { more: '<shareable/>' });
  await suspended();
  disks.start(VM);
  await disks.stop(VM);
  await t.rejects(disks.whole(VM), { code: 'CONFLICT', message: /vda .*other VMs may write to it/ });
  t.match(told, [/its disks are not in its snapshot.*vda/]);
  t.match(book.find(VM)!.problems, [/vda/]);
});

t.test('no image is removed but those laid out here', async (t) => {
  const { images, path, book, disks, suspended, told, domainXml } = await world(t);
  const snapshot = await suspended();
  await disks.whole(VM);
  const record = book.find(VM)!;
  const lent = record.disks.map(({ target, bytes, snapshot: id }) => ({ target, bytes, snapshot: id }));
  const [laid] = disks.expected(VM, snapshot, lent);
  t.match(laid, { path: new RegExp(`^${images}/headroom/${VM}/vda-[0-9a-f]{16}\\.qcow2$`), stamp: null });
  for (const target of ['../vda', 'a/b', '', '.'])
    t.throws(() => disks.expected(VM, snapshot, [{ ...lent[0]!, target }]), { code: 'STORE_CORRUPT' });
  mkdirSync(dirname(laid!.path), { recursive: true });
  writeFileSync(laid!.path, 'laid');
  const sibling = join(images, 'headroom', 'of-another.qcow2');
  writeFileSync(sibling, 'other');
  t.match(disks.placed({ ...record, disks: [laid!] }, domainXml), laid!.path);
  t.equal(disks.placed({ ...record, snapshot: 'ab'.repeat(32) }, domainXml), domainXml, 'those of another moment are not put in its place');
  await disks.retire({ ...record, disks: [...record.disks, laid!, { ...laid!, path: sibling }] }, { host: 'b' });
  t.same([existsSync(path), existsSync(sibling), existsSync(laid!.path)], [true, true, false]);
  t.match(told, [/a\.qcow2.* is of the past, host b/, /of-another/]);
  writeFileSync(`${laid!.path}.part`, 'part');
  await disks.discard({ ...record, disks: [{ ...laid!, path }, laid!] });
  t.same([existsSync(path), existsSync(`${laid!.path}.part`)], [true, false]);
});

t.test('a host without a place for disks is told so, not given another file of the same path', async (t) => {
  const { book, store } = await world(t);
  const none = new LocalDisks({
    ...{ means: null, book, snapshotter: NOBODY, clock: systemClock, store: async () => store },
    ...{ tell: () => undefined, changed: () => undefined },
  });
  t.throws(() => none.expected(VM, 'ab', [{ target: 'vda', bytes: MIB, snapshot: 'ab'.repeat(32) }]), {
    code: 'CONFLICT',
    message: /localDisks/,
  });
  t.same(none.expected(VM, 'ab', []), []);
});

t.test('what a killed agent left of its work goes, and no image', async (t) => {
  const { images, path, disks } = await world(t);
  const own = join(images, 'headroom');
  const [arrived, gone] = [join(own, VM), join(own, '6f1b0000-0000-4000-8009-0000000000d3')];
  for (const folder of [arrived, gone, join(own, '.image-x1'), join(arrived, '.image-x2')]) mkdirSync(folder, { recursive: true });
  const [whole, part] = [join(arrived, 'vda-0123.qcow2'), join(arrived, 'vda-4567.qcow2.part')];
  for (const file of [whole, part, join(own, '.image-x1', 'socket'), join(gone, 'vda-89ab.qcow2.part')]) writeFileSync(file, 'x');
  await disks.clearLeft();
  t.same(readdirSync(own), [VM]);
  t.same(readdirSync(arrived), ['vda-0123.qcow2']);
  t.ok(existsSync(path));
});

t.test('a chunk that broke in the store is lent all the same, read anew from the image, while that is as it was', async (t) => {
  const { folder, path, book, disks, suspended, store, told } = await world(t);
  const id = await suspended();
  await disks.whole(VM);
  write(path, '-P 6 64k 4k');
  await disks.whole(VM);
  const { snapshot } = book.find(VM)!.disks[0]!;
  const { manifest } = await store.open(snapshot);
  const [whole, patched] = (['whole', 'patched'] as const).map((kind) => manifest.memory.find((entry) => entry.kind === kind));
  if (whole?.kind !== 'whole' || patched?.kind !== 'patched') throw new Error('one of each is needed');
  book.note(VM, { lentTo: { host: 'b', key: '00' } });
  const suspender = {
    records: () => book.all(),
    rereadDisk: (...asked: Parameters<LocalDisks['reread']>) => disks.reread(...asked),
  } as unknown as Suspender;
  const parts = { suspender, store: async () => store, keyOf: async () => Buffer.alloc(32), definition: async () => '<domain/>' };
  const lending = await lendingOf({ ...parts, inTurn: (_vm, task) => task() }, VM);
  const packs = join(folder, 'store', 'tenant', 'packs');
  const spoil = async (name: string): Promise<void> => writeFileSync(join(packs, name), await spoiledPack(readFileSync(join(packs, name))));
  const ask = (name: string): Promise<Buffer> => lending.answer('record', name);
  const before = readdirSync(packs);
  t.ok((await ask(whole.digest)).length > 0);
  for (const name of before) await spoil(name);
  t.ok((await ask(whole.digest)).length > 0, 'a chunk');
  t.ok((await ask(patched.base)).length > 0, 'or one that others are made of, where the image has it still');
  t.match(told, [/a chunk of disk vda was broken .*read anew from .*a.qcow2/]);
  t.equal(book.find(VM)!.disks[0]?.of, id, 'it need not be taken anew');
  for (const name of readdirSync(packs)) if (!before.includes(name)) await spoil(name);
  write(path, '-P 8 128k 64k');
  await t.rejects(ask(whole.digest), { code: 'STORE_CORRUPT' }, 'what was written since is another disk');
  lending.close();
});
