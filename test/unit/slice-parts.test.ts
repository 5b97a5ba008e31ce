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
import { openLocalCopy } from '../../agent/slice/local-copy.ts';
import { returnSlice } from '../../agent/slice/return-slice.ts';
import { findSlices, startTicks, writeState } from '../../agent/slice/state-files.ts';
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
    ...{ bytes: MIB, listen: { host: '127.0.0.1', port: 0 }, key: KEY, host: 'lender-a', isName: (name) => name !== 'stranger' },
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
  t.equal(lentMiB(findSlices(states)), 256);
});

t.test('a disk of a definition', async (t) => {
  const xml = (disks: string): string => `<domain><devices><disk><target dev='vda'/></disk>${disks}</devices></domain>`;
  t.same(sliceDiskOf(xml('')), { target: null, socket: null, freeTarget: 'vdb' });
  const own = diskXml({ target: 'vdb', socket: '/run/a&b', reconnectSeconds: 30 });
  t.same(sliceDiskOf(xml(own)), { target: 'vdb', socket: '/run/a&b', freeTarget: 'vdc' });
});

t.test('a slice is returned only by one who knows that it is unused', async (t) => {
  const states = join(folder, 'return');
  const store = join(folder, 'store', 'x.slice');
  const copy = await openLocalCopy(store, MIB, false);
  await copy.close();
  await t.rejects(openLocalCopy(store, 2 * MIB, true), { code: 'ENVIRONMENT', message: /not 2097152 bytes/ });
  const disk: SliceDisk = { running: true, stopped: false, target: 'vdb', socket: '/run/s', freeTarget: 'vdc' };
  const detached: string[] = [];
  const disks = {
    look: async () => ({ ...disk, target: detached.length > 0 ? null : disk.target }),
    attach: async () => undefined,
    detach: async (_: string, target: string) => void detached.push(target),
    goOn: async () => undefined,
    close: () => undefined,
  };
  const options = { vm: VM, stateFolder: states, disks, clock: systemClock };
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
  await t.rejects(openLocalCopy(store, MIB, true), { code: 'ENVIRONMENT' }, 'the copy is gone');
  await t.rejects(returnSlice({ ...options, unused: true }), { code: 'NOT_FOUND' });
});
