/**
 * Goal: a disk that has not all come, by QEMU's own tools and without a guest: its image reads what it lacks from us and cannot be read
 * without; with the holder away nothing is said to be whole; what the guest wrote stays; once all has come the image stands alone, so does
 * the definition, and a power cut amid that is made good.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { HeldDisk } from '../../agent/core/held-disk.ts';
import { fileDisksOf, policiesOf, withDisks, withServedDisk, withWholeDisk } from '../../agent/hypervisor/libvirt/disk-xml.ts';
import { LocalDisks } from '../../agent/loops/local-disks.ts';
import { SuspendBook } from '../../agent/loops/suspend-book.ts';
import { CHUNK_BYTES } from '../../agent/snapshot/chunk.ts';
import { captureDisk } from '../../agent/snapshot/disk-capture.ts';
import { backingOf } from '../../agent/snapshot/disk-image.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { openSnapshotStore, type SnapshotSource } from '../../agent/snapshot/snapshot-store.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { vmId } from '../../shared/ids.ts';

const VM = vmId('6f1b0000-0000-4000-8009-0000000000d4');
const KEY = Buffer.alloc(32, 4);
const MEMORY = 'ab'.repeat(32);
const MIB = 1024 * 1024;
const never = (): Promise<never> => Promise.reject(new Error('not of a VM that is off'));
const idle = (): boolean => false;

/** Not one after another: what they read is served by this process. */
const io = async (path: string, what: string): Promise<string> =>
  (await promisify(execFile)('qemu-io', ['-f', 'qcow2', '-c', what, path])).stdout;

async function world(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-served-'));
  const images = join(folder, 'images');
  mkdirSync(images);
  const path = join(folder, 'a.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '64M']);
  for (const at of [0, 1, 2, 3]) await io(path, `write -P ${at + 1} ${at * 8}M 1M`);
  const files = [openLocalFiles(join(folder, 'alpha')), openLocalFiles(join(folder, 'beta'))] as const;
  const [alpha, beta] = [await openSnapshotStore(files[0], 'tenant', KEY), await openSnapshotStore(files[1], 'tenant', KEY)];
  const disk = { target: 'vda', path, format: 'qcow2' as const, problem: null };
  const { held } = await captureDisk(alpha, { vm: VM, disk, of: MEMORY, takenAtMs: 1, before: null }, { folder, cancelled: idle });
  const lent = await alpha.lend(held.snapshot);
  const wire = { up: true, records: 0, broken: '' };
  const source: SnapshotSource = {
    manifest: async () => lent.manifest(),
    async record(digest) {
      if (!wire.up) throw new HeadroomError('UNAVAILABLE', 'the holder is away');
      if (digest === wire.broken) throw new HeadroomError('CONFLICT', 'host alpha refuses: not as it was written');
      wire.records++;
      return (await lent.record(digest)) as Buffer;
    },
  };
  const definition = {
    xml: `<domain><devices><disk type='file'><driver type='qcow2'/><source file='${path}'/><target dev='vda'/></disk></devices></domain>`,
  };
  const told: string[] = [];
  let boot = 'first';
  let run: string | null = null;
  const begin = (): { book: SuspendBook; disks: LocalDisks } => {
    const book = new SuspendBook(openSuspendJournal(join(folder, 'journal')), systemClock);
    book.load();
    const filler = { runOf: async () => run, stoppedByDisk: async () => false, fill: never, flush: never, close: () => undefined };
    const xml = { policiesOf, withServed: withServedDisk, withWhole: withWholeDisk };
    const disks = new LocalDisks({
      ...{ book, clock: systemClock, store: async () => beta, changed: () => undefined, bootId: async () => boot },
      tell: (_vm, words) => void told.push(words),
      snapshotter: {
        ...{ goOn: never, definition: async () => definition.xml },
        define: async (_vm, defined) => {
          definition.xml = defined;
        },
      },
      means: {
        ...{ folders: [images], disksOf: fileDisksOf, withDisks },
        served: { ...xml, lazily: true, sockets: join(folder, 's'), filler },
      },
    });
    return { book, disks };
  };
  const { book, disks } = begin();
  book.begin(VM, 'guest', 'tenant');
  const expected = disks.expected(VM, MEMORY, [{ target: 'vda', bytes: held.bytes, snapshot: held.snapshot }], definition.xml);
  book.note(VM, { phase: 'suspended', snapshot: MEMORY, disks: expected });
  definition.xml = disks.placed(book.find(VM)!, definition.xml);
  t.teardown(async () => {
    await disks.stopAll();
    lent.close();
    for (const one of files) await one.close();
    rmSync(folder, { recursive: true });
  });
  const now = (of: SuspendBook = book): HeldDisk => of.find(VM)!.disks[0]!;
  return {
    ...{ folder, alpha, beta, held, book, disks, source, wire, definition, told, now, begin },
    rebooted: () => {
      boot = 'second';
    },
    runs: (now: string | null) => {
      run = now;
    },
  };
}

/** As its guest would find it. */
async function holds(t: Test, path: string, written: readonly (readonly [at: string, value: number])[]): Promise<void> {
  for (const [at, value] of written)
    t.notMatch(await io(path, `read -P ${value} ${at} 64k`), /verification failed/, `${at} holds ${value}`);
}
const ORIGINAL = [
  ['0M', 1],
  ['8M', 2],
  ['16M', 3],
  ['24M', 4],
  ['40M', 0],
] as const;

t.test('only what is touched comes at first; the rest, the image and the definition later', async (t) => {
  const { book, disks, source, wire, definition, now, told } = await world(t);
  book.note(VM, {
    diskTouches: {
      vda: {
        resumes: 1,
        chunks: [
          [(8 * MIB) / CHUNK_BYTES, 1, 0],
          [99_999, 1, 0],
        ],
      },
    },
  });
  await disks.lay(VM, source, idle, () => undefined);
  const { path, served, stamp, bitmap } = now();
  t.ok(stamp !== null && bitmap !== null && served !== undefined);
  t.equal(wire.records, 1, 'what is predicted, where there is such a chunk');
  t.match(definition.xml, served!.socket);
  t.match(definition.xml, "rerror_policy='stop'");
  await io(path, 'write -P 9 16M 64k');
  await holds(t, path, [
    ['0M', 1],
    ['8M', 2],
    ['16M', 9],
  ]);
  t.ok(wire.records <= 4, `${wire.records} records`);
  disks.served.learn(VM);
  t.same(
    book
      .find(VM)!
      .diskTouches!.vda!.chunks.map(([chunk]) => chunk)
      .slice(-1),
    [0],
    'what it read of below it is learnt',
  );
  const { hitRate, wasteRate } = now().score!;
  t.ok(hitRate > 0 && hitRate < 1 && wasteRate === 0, `and how much of it was foretold: ${hitRate}, ${wasteRate}`);
  wire.up = false;
  const failed = await io(path, 'read -P 4 24M 64k').catch((error: { stdout: string }) => error.stdout);
  t.match(failed, /Input\/output error/, 'an error for QEMU, not a wait for ever');
  t.match(book.find(VM)!.problems, [/waits for what disk vda holds.*the holder is away/]);
  await t.rejects(disks.served.complete(VM, idle), { code: 'UNAVAILABLE' });
  t.match(await backingOf(path), served!.socket);
  wire.up = true;
  await disks.served.complete(VM, idle);
  t.equal(await backingOf(path), null);
  t.equal(now().served, undefined);
  t.notMatch(definition.xml, /nbd|policy|backingStore/);
  t.match(definition.xml, path);
  t.notOk(existsSync(served!.socket), 'nobody serves it any more');
  await holds(t, path, [...ORIGINAL.filter(([at]) => at !== '16M'), ['16M', 9]]);
  t.match(told.join('\n'), /all of disk vda has come/);
});

t.test('an agent that dies amid it: the next one serves the same image', async (t) => {
  const { disks, source, wire, now, begin } = await world(t);
  await disks.lay(VM, source, idle, () => undefined);
  const { path } = now();
  await io(path, 'write -P 9 8M 64k');
  await disks.stopAll();
  await t.rejects(io(path, 'read 0 64k'), /No such file|refused/, 'without us it cannot be read: never zeros');
  const next = begin();
  wire.up = false;
  await next.disks.serve(VM, source);
  await holds(t, path, [['8M', 9]]);
  wire.up = true;
  await next.disks.served.complete(VM, idle);
  await holds(t, path, [...ORIGINAL.filter(([at]) => at !== '8M'), ['8M', 9]]);
  t.equal(now(next.book).served, undefined);
  await next.disks.stopAll();
});

t.test('a power cut amid it: what says that it stands alone, and lacks chunks, reads them again', async (t) => {
  const { book, disks, source, now, rebooted, told, runs } = await world(t);
  await disks.lay(VM, source, idle, () => undefined);
  const { path, served } = now();
  await io(path, 'write -P 9 8M 64k');
  book.note(VM, { disks: [{ ...now(), served: { ...served!, filledBy: 'first 7' } }] });
  execFileSync('qemu-img', ['rebase', '-f', 'qcow2', '-u', '-b', '', path]);
  runs('8');
  await t.rejects(
    disks.served.complete(VM, idle),
    { code: 'CONFLICT', message: /stop the VM/ },
    'nor after QEMU was killed, when it runs again',
  );
  runs(null);
  rebooted();
  await disks.served.complete(VM, idle);
  await holds(t, path, [...ORIGINAL.filter(([at]) => at !== '8M'), ['8M', 9]]);
  t.equal(await backingOf(path), null);
  t.match(told.join('\n'), /went down while disk vda .* was made whole/);
});

t.test('let go before it ran, nothing is left; forgotten after it ran, what it lacks is kept', async (t) => {
  const { book, disks, source, now } = await world(t);
  await disks.lay(VM, source, idle, () => undefined);
  book.note(VM, { from: { host: 'alpha', address: 'a:1', key: 'ab', defined: true, asked: true, settled: false } });
  const before = now();
  book.forget(VM);
  t.same(book.find(VM)!.disks, [before]);
  await disks.discard(book.find(VM)!);
  t.notOk(existsSync(before.path));
  t.notOk(existsSync(before.served!.socket));
});

t.test('a chunk that broke where it comes from: its guest waits, and goes on with what another store has of it', async (t) => {
  const { alpha, beta, held, book, disks, source, wire, now, told } = await world(t);
  await disks.lay(VM, source, idle, () => undefined);
  const { manifest } = await alpha.open(held.snapshot);
  const entry = manifest.memory[(8 * MIB) / CHUNK_BYTES]!;
  if (entry.kind !== 'whole') throw new Error(entry.kind);
  wire.broken = entry.digest;
  const { path } = now();
  await t.rejects(io(path, 'read -P 2 8M 64k'), 'an error for QEMU, which stops its guest');
  t.same(disks.served.lacking(VM), [entry.digest], 'it is told by name');
  t.match(book.find(VM)!.problems, [/waits for what disk vda holds.*not as it was written/]);
  await t.rejects(disks.served.complete(VM, idle), { code: 'CONFLICT' });
  const sealed = (await alpha.sealed(entry.digest))!;
  t.notOk(await beta.supply(entry.digest, Buffer.concat([sealed.subarray(0, -1), Buffer.of(sealed.at(-1)! ^ 1)])), 'never another');
  t.same(disks.served.lacking(VM), [entry.digest]);
  t.ok(await beta.supply(entry.digest, sealed));
  t.same(disks.served.lacking(VM), []);
  for (let tries = 0; book.find(VM)!.problems.length > 0 && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 50));
  t.match(told.join('\n'), /what disk vda holds came after all/);
  await holds(t, path, [['8M', 2]]);
  await disks.served.complete(VM, idle);
  t.equal(await backingOf(path), null);
  await holds(t, path, ORIGINAL);
});
