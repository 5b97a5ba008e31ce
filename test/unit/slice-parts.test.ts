/**
 * Goal: the parts of lent memory, each alone: a lender serves one borrower that has the key, zeroed first, and an old connection of the
 * same borrower makes way; keys others may read are refused; the map's words are true to the state files and to their age; a disk is found
 * in a definition; a mirror's place is never taken for another's.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type BorrowedState, type LentState, lentMiB, parseSliceState, sliceWords } from '../../agent/core/slice-state.ts';
import { diskXml, sliceDiskOf } from '../../agent/hypervisor/libvirt/slice-disks.ts';
import type { SliceDisk } from '../../agent/hypervisor/slice-disks.ts';
import { openNbdClient } from '../../agent/nbd/nbd-client.ts';
import { connectTls, parseAddress, readKey } from '../../agent/psk-tls.ts';
import { startLender } from '../../agent/slice/lender.ts';
import { LentMemory } from '../../agent/slice/lent-memory.ts';
import { LentStorage } from '../../agent/slice/lent-storage.ts';
import type { RemoteCopy } from '../../agent/slice/mirror.ts';
import { RemoteDisk } from '../../agent/slice/remote-disk.ts';
import { returnSlice } from '../../agent/slice/return-slice.ts';
import { findSlices, startTicks, writeState } from '../../agent/slice/state-files.ts';
import { openWholeFile } from '../../agent/slice/whole-file.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';

const folder = mkdtempSync(join(tmpdir(), 'headroom-slice-parts-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const KEY = Buffer.alloc(32, 3);
const MIB = 1024 * 1024;
const VM = vmId('6f1b0000-0000-4000-8011-000000000001');

t.test('one borrower at a time, with the key, on zeroed memory', async (t) => {
  const borrowers: (string | null)[] = [];
  const lender = await startLender({
    ...{ bytes: MIB, listen: { host: '127.0.0.1', port: 0 }, key: KEY, host: 'lender-a', lent: new LentMemory(MIB) },
    borrowerOf: (name) => (name === 'stranger' ? null : name),
    onProblem: (problem) => t.fail(problem),
    onChange: (name) => void borrowers.push(name),
  });
  t.teardown(() => lender.close());
  const at = { host: '127.0.0.1', port: lender.port };
  const borrow = async (name: string, key = KEY) => openNbdClient(await connectTls(at, key, name, 5000));

  const first = await borrow('a');
  t.same(first.info, { bytes: MIB, readOnly: false, description: 'lender-a' });
  const data = Buffer.alloc(300_000, 9);
  await Promise.all([first.write(0, data), first.write(MIB - 10, Buffer.from('0123456789'))]);
  await first.flush();
  t.ok((await first.read(0, data.length)).equals(data));
  t.equal((await first.read(MIB - 10, 10)).toString(), '0123456789');
  await t.rejects(first.read(MIB - 5, 10), { code: 'UNAVAILABLE', message: /error 22/ });
  t.equal((await first.read(0, 1))[0], 9, 'a refused request harms no other');

  await t.rejects(borrow('b'), 'it is taken');
  await t.rejects(borrow('a', Buffer.alloc(32, 4)), { code: 'UNAVAILABLE' }, 'another key');
  await t.rejects(borrow('stranger'), { code: 'UNAVAILABLE' });
  t.equal((await first.read(0, 1))[0], 9, 'who was refused took nothing');

  const ended = new Promise<string>((resolve) => first.onEnd(resolve));
  const again = await borrow('a');
  t.match(await ended, /gone/, 'the old connection makes way');
  t.ok((await again.read(0, data.length)).equals(Buffer.alloc(data.length)), 'zeroed');
  await t.rejects(first.read(0, 1), { code: 'CONNECTION_CLOSED' });
  again.destroy();
  while (borrowers.at(-1) !== null) await new Promise((resolve) => setTimeout(resolve, 5));
  const other = await borrow('b');
  t.equal((await other.read(0, 1))[0], 0);
  t.equal(borrowers.at(-1), 'b');
});

t.test('keys and addresses', async (t) => {
  const path = join(folder, 'key');
  writeFileSync(path, `${KEY.toString('hex')}\n`, { mode: 0o600 });
  t.ok(readKey(path).equals(KEY));
  chmodSync(path, 0o640);
  t.throws(() => readKey(path), { code: 'CONFIG_INVALID', message: /mode 640/ });
  chmodSync(path, 0o600);
  writeFileSync(path, 'abcd');
  t.throws(() => readKey(path), { code: 'CONFIG_INVALID', message: /64 hexadecimal/ });
  t.throws(() => readKey(join(folder, 'none')), { code: 'CONFIG_INVALID' });
  t.same(parseAddress('10.0.0.2:7410'), { host: '10.0.0.2', port: 7410 });
  t.same(parseAddress('[fd00::2]:1'), { host: 'fd00::2', port: 1 });
  for (const wrong of ['10.0.0.2', 'a:b:1', 'a:99999', '']) t.throws(() => parseAddress(wrong), { code: 'USAGE' }, wrong);
});

t.test('storage: what is written is there for the same VM after the lender was started again, and for no other', async (t) => {
  const below = join(folder, 'lent');
  const problems: string[] = [];
  const start = () =>
    startLender({
      ...{ bytes: MIB, listen: { host: '127.0.0.1', port: 0 }, key: KEY, host: 'lender-a', lent: new LentStorage(below, MIB) },
      borrowerOf: (name) => name,
      onChange: () => undefined,
      onProblem: (problem) => void problems.push(problem),
    });
  const borrow = async (port: number, name: string) => openNbdClient(await connectTls({ host: '127.0.0.1', port }, KEY, name, 5000));
  const away = async (close: () => void): Promise<void> => {
    close();
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
  const lender = await start();
  const first = await borrow(lender.port, 'a');
  t.match(first.info.description, /^lender-a [0-9a-f-]{36}$/, 'which disk it is');
  const data = Buffer.alloc(300_000, 9);
  await Promise.all([first.write(4096, data), first.write(MIB - 10, Buffer.from('0123456789'))]);
  await first.flush();
  const again = await borrow(lender.port, 'a');
  t.equal(again.info.description, first.info.description);
  t.ok((await again.read(4096, data.length)).equals(data), 'the new connection sees what the old one wrote');
  await away(() => again.destroy());
  const other = await borrow(lender.port, 'b');
  t.not(other.info.description, first.info.description);
  t.ok((await other.read(0, MIB)).equals(Buffer.alloc(MIB)), 'another VM has a disk of its own');
  other.destroy();
  await lender.close();

  const later = await start();
  const third = await borrow(later.port, 'a');
  t.equal(third.info.description, first.info.description, 'the same disk');
  t.ok((await third.read(4096, data.length)).equals(data));
  t.equal((await third.read(MIB - 10, 10)).toString(), '0123456789');
  third.destroy();
  await later.close();
  t.same(problems, []);

  rmSync(join(below, 'a.storage'));
  rmSync(join(below, 'a.storage.id'));
  const empty = await start();
  t.teardown(() => empty.close());
  t.not((await borrow(empty.port, 'a')).info.description, first.info.description, 'a disk that was made anew is another');
});

t.test('a disk that lies elsewhere alone: requests wait for a lender, go to the next, and fail when none comes', async (t) => {
  const lost: string[] = [];
  const disk = new RemoteDisk({ bytes: MIB, clock: systemClock, deadlineMs: 60, waitMs: 400, onLost: (reason) => void lost.push(reason) });
  const bytes = Buffer.alloc(MIB);
  let destroyed = 0;
  const lender = (answers: boolean): RemoteCopy => ({
    read: async (offset, length) => (answers ? Buffer.from(bytes.subarray(offset, offset + length)) : new Promise<Buffer>(() => undefined)),
    write: async (offset, data) => (answers ? void data.copy(bytes, offset) : new Promise<void>(() => undefined)),
    flush: async () => (answers ? undefined : new Promise<void>(() => undefined)),
    destroy: () => void destroyed++,
  });
  const early = disk.write(0, Buffer.from('before there was one'));
  disk.attach(lender(true));
  await early;
  t.equal((await disk.read(0, 6)).toString(), 'before');
  const hung = lender(false);
  disk.attach(hung);
  const written = disk.write(100, Buffer.from('asked again'));
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.match(lost, ['another connection took its place', 'no answer within 60 ms']);
  t.equal(disk.view.lender, false);
  disk.attach(lender(true));
  await written;
  t.equal((await disk.read(100, 11)).toString(), 'asked again');
  t.equal(destroyed, 2);
  const failing: RemoteCopy = { ...lender(true), write: () => Promise.reject(new Error('its disk is full')) };
  disk.attach(failing);
  await t.rejects(disk.write(0, Buffer.from('x')), /full/, 'an answer is an answer');
  disk.lost(failing, 'gone');
  await t.rejects(disk.read(0, 1), { code: 'UNAVAILABLE', message: /no lender answered within 400 ms/ });
});

const writer = { pid: process.pid, startTicks: startTicks('self') ?? 0, bootMs: 100_000 };
const lent: LentState = { kind: 'lent', ...writer, sizeMiB: 256, address: '10.0.0.2:7410', borrower: null };
const borrowed: BorrowedState = {
  ...{ kind: 'borrowed', ...writer, vm: VM, sizeMiB: 256, target: 'vdb', socket: '/run/s', store: '/store' },
  lender: { address: '10.0.0.2:7410', host: 'lender-a', heardBootMs: 99_000, awaySinceMs: null },
  ...{ writtenMiB: 100, lenderMiB: 100 },
};

t.test('the words of the map', async (t) => {
  const words = (state: BorrowedState, nowBootMs = 101_000, vm = VM, target = 'vdb') =>
    sliceWords([{ state, alive: true }], vm, target, nowBootMs);
  t.equal(words(borrowed), 'RAM of lender-a (10.0.0.2:7410), fresh: heard within 5 s');
  t.match(words({ ...borrowed, lenderMiB: 40 }), /; 40 % of it, the rest in the local copy$/);
  t.match(words({ ...borrowed, lender: { ...borrowed.lender, heardBootMs: 60_000 } }), /heard within 60 s/);
  t.equal(
    words({ ...borrowed, lender: { ...borrowed.lender, awaySinceMs: Date.UTC(2026, 0, 1) } }),
    'local copy; lender lender-a (10.0.0.2:7410) away since 2026-01-01T00:00:00.000Z',
  );
  const storage: BorrowedState = { ...borrowed, of: 'storage', store: null };
  t.equal(words(storage), 'disk space of lender-a (10.0.0.2:7410), fresh: heard within 5 s');
  t.match(words({ ...storage, lender: { ...borrowed.lender, awaySinceMs: 0 } }), /^nothing can be read or written; lender lender-a/);
  t.match(words(borrowed, 100_000 + 130_000), /^unknown: .* 2 min ago/, 'what is old says nothing about now');
  t.match(words(borrowed, 101_000, VM, 'vdc'), /^unknown/);
  t.match(sliceWords([], VM, 'vdb', 0), /^unknown/);
});

t.test('state files: half of one is none, and a process that is gone holds no memory', async (t) => {
  for (const state of [lent, borrowed]) t.same(parseSliceState(JSON.stringify(state)), state);
  for (const wrong of [
    '',
    '[]',
    '{}',
    '{"kind":"lent"}',
    JSON.stringify({ ...borrowed, vm: 'x' }),
    JSON.stringify({ ...borrowed, lender: null }),
  ]) {
    t.equal(parseSliceState(wrong), null, wrong);
  }
  const states = join(folder, 'states');
  t.same(findSlices(states), [], 'no such folder');
  writeState(states, 'lent-1.json', lent);
  writeState(states, 'lent-2.json', { ...lent, startTicks: lent.startTicks - 1 });
  writeFileSync(join(states, 'lent-3.json'), '{');
  writeState(states, 'lent-4.json', { ...lent, of: 'storage' });
  t.equal(lentMiB(findSlices(states)), 256, 'disk space is no memory');
  t.same(parseSliceState(JSON.stringify({ ...borrowed, of: 'storage', store: null })), { ...borrowed, of: 'storage', store: null });
  t.equal(parseSliceState(JSON.stringify({ ...borrowed, of: 'tape' })), null);
});

t.test('a disk of a definition', async (t) => {
  const xml = (disks: string): string => `<domain><devices><disk><target dev='vda'/></disk>${disks}</devices></domain>`;
  t.same(sliceDiskOf(xml(''), 'memory'), { target: null, socket: null, freeTarget: 'vdb' });
  const own = diskXml({ target: 'vdb', socket: '/run/a&b', reconnectSeconds: 30 }, 'memory');
  t.same(sliceDiskOf(xml(own), 'memory'), { target: 'vdb', socket: '/run/a&b', freeTarget: 'vdc' });
  t.same(sliceDiskOf(xml(own), 'storage'), { target: null, socket: null, freeTarget: 'vdc' }, 'of the other kind');
});

t.test('a slice is returned only by one who knows that it is unused', async (t) => {
  const states = join(folder, 'return');
  const store = join(folder, 'store', 'x.slice');
  const open = (bytes: number, content: 'new' | 'kept') => openWholeFile({ path: store, bytes, content, durable: false });
  const copy = await open(MIB, 'new');
  await copy.close();
  await t.rejects(open(2 * MIB, 'kept'), { code: 'ENVIRONMENT', message: /not 2097152 bytes/ });
  const disk: SliceDisk = { running: true, stopped: false, target: 'vdb', socket: '/run/s', freeTarget: 'vdc' };
  const detached: string[] = [];
  const disks = {
    look: async () => ({ ...disk, target: detached.length > 0 ? null : disk.target }),
    attach: async () => undefined,
    detach: async (_: string, target: string) => void detached.push(target),
    goOn: async () => undefined,
    close: () => undefined,
  };
  const options = { vm: VM, kind: 'memory' as const, stateFolder: states, disks, clock: systemClock };
  writeState(states, `borrowed-${VM}.json`, { ...borrowed, startTicks: 1, store, socket: join(folder, 's') });
  await t.rejects(returnSlice({ ...options, unused: false }), { code: 'CONFLICT', message: /swapoff/ });
  t.same(detached, []);
  const living = { ...borrowed, pid: process.pid, startTicks: startTicks('self') ?? 0, store, socket: join(folder, 's') };
  writeState(states, `borrowed-${VM}.json`, { ...living, bootMs: systemClock.bootMs() - 1, writtenMiB: 0 });
  const told = setTimeout(() => writeState(states, `borrowed-${VM}.json`, { ...living, bootMs: systemClock.bootMs(), writtenMiB: 1 }), 300);
  t.teardown(() => clearTimeout(told));
  await t.rejects(returnSlice({ ...options, unused: false }), { code: 'CONFLICT' }, 'the guest wrote after the program last told');
  t.same(detached, []);
  writeState(states, `borrowed-${VM}.json`, { ...borrowed, startTicks: 1, store, socket: join(folder, 's') });
  t.match(await returnSlice({ ...options, unused: true }), /256 MiB are returned/);
  t.same(detached, ['vdb']);
  t.same(findSlices(states), []);
  await t.rejects(open(MIB, 'kept'), { code: 'ENVIRONMENT' }, 'the copy is gone');
  await t.rejects(returnSlice({ ...options, unused: true }), { code: 'NOT_FOUND' });
});
