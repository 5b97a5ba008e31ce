/**
 * Goal: a disk image goes into the chunk store and comes out of it as it was, by QEMU's own tools: all of it first, then only what its
 * guest wrote since, as the image itself has noted; notes that cannot be trusted are not. An image that moves while it is read is not
 * taken, and one broken chunk leaves no image behind.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { HeldDisk } from '../../agent/core/held-disk.ts';
import { CHUNK_BYTES } from '../../agent/snapshot/chunk.ts';
import { captureDisk, layDisk } from '../../agent/snapshot/disk-capture.ts';
import { describeImage } from '../../agent/snapshot/disk-image.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { openSnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { vmId } from '../../shared/ids.ts';

const MIB = 1024 * 1024;
const VM = vmId('6f1b0000-0000-4000-8009-0000000000d1');
const img = (...args: string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' });
/** As its guest would: QEMU takes the image's notes. */
const write = (path: string, what: string): string =>
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write ${what}`, path], { encoding: 'utf8' });
const never = (): boolean => false;

async function world(t: Test, format: 'qcow2' | 'raw' = 'qcow2') {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-disk-'));
  const files = openLocalFiles(join(folder, 'store'));
  t.teardown(async () => {
    await files.close();
    rmSync(folder, { recursive: true });
  });
  const path = join(folder, `disk.${format}`);
  img('create', '-q', '-f', format, path, '64M');
  const store = await openSnapshotStore(files, 'tenant', Buffer.alloc(32, 3));
  let moment = 0;
  const take = async (held: HeldDisk | null, cancelled = never) => {
    const snapshot = held === null ? null : await store.open(held.snapshot);
    const before = held === null || snapshot === null ? null : { held, snapshot };
    const disk = { target: 'vda', path, format, problem: null };
    const what = { vm: VM, disk, of: String(moment), takenAtMs: moment++, before };
    return captureDisk(store, what, { folder, cancelled }).finally(() => snapshot?.close());
  };
  /** The snapshot laid out is, for a guest, what the image is. */
  const isWhole = async (held: HeldDisk): Promise<boolean> => {
    const snapshot = await store.open(held.snapshot);
    const laid = join(folder, 'laid', 'a.qcow2');
    const modes = new Set<number>();
    const onBytes = (): void => void modes.add(statSync(`${laid}.part`).mode & 0o777);
    await layDisk(snapshot, laid, { cancelled: never, onBytes });
    t.same([...modes, statSync(laid).mode & 0o777], [0o600, 0o600], 'nobody else may read it, from its first byte on');
    snapshot.close();
    return /identical/.test(img('compare', '-f', format, '-F', 'qcow2', path, laid));
  };
  return { folder, path, store, take, isWhole };
}

t.test('all of it, then what was written since', async (t) => {
  const { path, store, take, isWhole } = await world(t);
  write(path, '-P 5 1M 3M');
  write(path, '-P 6 40M 10k');
  const first = await take(null);
  t.ok(first.readBytes >= 3 * MIB && first.readBytes <= 3.2 * MIB, `${first.readBytes} bytes were read: zeros were not`);
  t.ok(await isWhole(first.held));
  write(path, '-P 7 20M 4k');
  write(path, '-z 1M 64k');
  const second = await take(first.held);
  t.equal(second.readBytes, CHUNK_BYTES, 'the chunk that was written; one of zeros is known for that');
  t.ok(await isWhole(second.held));
  t.same(await store.verify(second.held.snapshot), []);
  t.equal((await take(second.held)).readBytes, 0);
  t.equal((await describeImage(path, 'qcow2')).allBitmaps.length, 1, 'older notes are gone');
});

t.test('notes that cannot be trusted are not', async (t) => {
  const { path, take, isWhole } = await world(t);
  write(path, '-P 5 0 2M');
  const { held } = await take(null);
  t.test('of a QEMU that was killed', async (t) => {
    const killed = `exec qemu-io -f qcow2 -c 'write -P 9 1M 64k' -c 'sigraise 9' ${path}`;
    t.throws(() => execFileSync('sh', ['-c', killed], { stdio: 'ignore' }));
    t.same((await describeImage(path, 'qcow2')).bitmaps, [], 'they say themselves that they were in use');
    const again = await take(held);
    t.ok(again.readBytes >= 2 * MIB, 'all of it is read');
    t.ok(again.newBytes < 0.2 * MIB, 'and little of it is new');
    t.ok(await isWhole(again.held));
    t.same((await describeImage(path, 'qcow2')).allBitmaps, [again.held.bitmap]);
  });
  t.test('of another image in its place', async (t) => {
    img('create', '-q', '-f', 'qcow2', path, '64M');
    write(path, '-P 8 0 1M');
    const other = await take(held);
    t.ok(other.readBytes >= MIB);
    t.ok(await isWhole(other.held));
  });
  t.test('of one with snapshots inside, to which its user may go back', async (t) => {
    img('snapshot', '-c', 'mine', path);
    const inside = await take(held);
    t.equal(inside.held.bitmap, null);
    t.equal(img('snapshot', '-a', 'mine', path), '', 'and nothing of ours is in the way of that');
  });
});

t.test('a raw image is read whole each time', async (t) => {
  const { path, take, isWhole } = await world(t, 'raw');
  const bytes = Buffer.alloc(64 * MIB);
  bytes.fill('raw', 5 * MIB, 6 * MIB);
  writeFileSync(path, bytes);
  const first = await take(null);
  bytes[9 * MIB] = 1;
  writeFileSync(path, bytes);
  const second = await take(first.held);
  t.equal(second.held.bitmap, null);
  t.ok(second.newBytes < CHUNK_BYTES);
  t.ok(await isWhole(second.held));
});

t.test('an image that is written to meanwhile is not taken, and one that is needed elsewhere is let go', async (t) => {
  const { path, store, take } = await world(t);
  write(path, '-P 5 0 8M');
  let looks = 0;
  const meddle = (): boolean => {
    if (looks++ === 40) write(path, '-P 6 30M 64k');
    return false;
  };
  await t.rejects(take(null, meddle), { code: 'CONFLICT', message: /was written to while it was read/ });
  await t.rejects(
    take(null, () => looks++ > 60),
    { code: 'CANCELLED' },
  );
  t.same(await store.list(), [], 'nothing is left of either');
  await store.collect();
  t.equal(store.storedBytes, 0);
  t.equal((await take(null)).held.bytes, 64 * MIB, 'and it can be taken after that');
});

t.test('a broken chunk: no image is left that a guest could be given', async (t) => {
  const { folder, path, store, take } = await world(t);
  write(path, '-P 5 0 1M');
  execFileSync('sh', ['-c', `head -c 3000000 /dev/urandom > ${join(folder, 'noise')}`]);
  execFileSync('qemu-io', ['-f', 'qcow2', '-c', `write -s ${join(folder, 'noise')} 8M 2M`, path]);
  const { held } = await take(null);
  const packs = join(folder, 'store', 'tenant', 'packs');
  for (const name of readdirSync(packs)) {
    const bytes = readFileSync(join(packs, name));
    // More than its parity mends.
    for (let at = 1000; at < bytes.length - 20_000; at += 10_000) bytes[at]! ^= 1;
    writeFileSync(join(packs, name), bytes);
  }
  const snapshot = await store.open(held.snapshot);
  const laid = join(folder, 'laid', 'b.qcow2');
  await t.rejects(layDisk(snapshot, laid, { cancelled: never }), { code: 'STORE_CORRUPT' });
  t.notOk(existsSync(laid));
  t.same(readdirSync(join(folder, 'laid')), []);
  t.not((await store.verify(held.snapshot)).length, 0);
  const again = await take(held);
  t.ok(again.readBytes >= 2 * MIB, 'what was found broken is read again, though nobody wrote to it');
  t.same(await store.verify(again.held.snapshot), []);
});
