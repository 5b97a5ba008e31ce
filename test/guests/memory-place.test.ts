/**
 * Goal: what a guest writes into memory that is shown lazily is what it finds there, however much of it the kernel writes back at once
 * and however long the chunks below take. The guest is QEMU's process alone, paused, with the file as its memory; its pages are written
 * from outside, each with contents of its own. The image that takes what it writes is one by QEMU's own word; a process that has the file
 * mapped is told from those that have not.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { CHUNK_BYTES, PAGE_BYTES } from '../../agent/snapshot/chunk.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { mappedSince } from '../../agent/snapshot/mapped-by.ts';
import { placeLazily } from '../../agent/snapshot/memory-place.ts';
import { emptyOverlay } from '../../agent/snapshot/overlay-image.ts';
import { openSnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { mappingsIn } from '../../agent/snapshot/touched-chunks.ts';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { systemClock } from '../../shared/clock.ts';
import { vmId } from '../../shared/ids.ts';
import { sharedFolder } from '../support/libvirtd.ts';
import { eventually } from '../support/stack.ts';

const CHUNKS = 512;
const VM = vmId('6f1b0000-0000-4000-8009-0000000000bb');
/** Of a chunk whose other pages have to be copied before one of them is written: as from a disk that is busy. */
const CHUNK_MS = 3;

ensurePackages(HYPERVISOR_PACKAGES, t.comment);
const disk = mkdtempSync(join(tmpdir(), 'headroom-place-'));
const ram = sharedFolder('/dev/shm', 'headroom-place-');
const files = openLocalFiles(disk);
t.teardown(async () => {
  await files.close();
  ram.remove();
  rmSync(disk, { recursive: true, force: true });
});

/** Tells which page it is of which writing. */
const contents = (page: number, time: number): Buffer => Buffer.alloc(PAGE_BYTES, `page ${page} the ${time}. time `);

async function ofProcess<T>(pid: number, work: (memory: FileHandle) => Promise<T>): Promise<T> {
  const memory = await open(`/proc/${pid}/mem`, 'r+');
  try {
    return await work(memory);
  } finally {
    await memory.close();
  }
}

t.test('pages written back side by side stay each their own', async (t) => {
  const store = await openSnapshotStore(files, 'tenant', Buffer.alloc(32, 7));
  const before = (chunk: number): Buffer => Buffer.alloc(CHUNK_BYTES, `chunk ${chunk} as it was `);
  const { manifest } = await store.save({
    facts: { vm: VM, takenAtMs: 1, memoryBytes: CHUNKS * CHUNK_BYTES, machine: { qemuVersion: '', machineType: '', domainXml: '' } },
    state: Buffer.alloc(1),
    readMemory: async (offset) => before(offset / CHUNK_BYTES),
    parent: null,
  });
  const snapshot = await store.open(manifest.id);
  const slow = {
    ...snapshot,
    async chunk(index: number): Promise<Buffer> {
      await new Promise((resolve) => setTimeout(resolve, CHUNK_MS));
      return snapshot.chunk(index);
    },
  };
  const place = await placeLazily({
    snapshot: slow,
    folder: join(ram.path, VM),
    clock: systemClock,
    onStuck: (_, problem) => t.fail(`${problem}`),
  });
  const backend = `memory-backend-file,id=m,mem-path=${place.path},size=${CHUNKS * CHUNK_BYTES},share=on`;
  const isMapped = await mappedSince(VM, place.identity);
  t.notOk(await isMapped(), 'nobody has it mapped');
  const guest: ChildProcess = spawn(
    'qemu-system-x86_64',
    ['-S', '-machine', 'none', '-nodefaults', '-display', 'none', '-uuid', VM, '-object', backend],
    {
      stdio: 'ignore',
    },
  );
  try {
    await eventually('somebody to have it mapped', async () => (await isMapped()) || undefined);
    const pid = guest.pid as number;
    const [mapping] = await eventually('the guest to have its memory', async () => {
      const found = await mappingsIn(pid, place.identity);
      return found.length > 0 ? found : undefined;
    });
    const { start } = mapping!;
    const pages = Array.from({ length: CHUNKS }, (_, chunk) => chunk * 16 + ((chunk * 7) % 16));
    await ofProcess(pid, async (memory) => {
      for (const page of pages) await memory.write(contents(page, 1), 0, PAGE_BYTES, start + page * PAGE_BYTES);
    });
    // The kernel writes back what it would have written sooner or later.
    const written = spawn('sync', { stdio: 'ignore' });
    t.equal(await new Promise((resolve) => written.once('exit', resolve)), 0);
    const wrong: string[] = [];
    for (const page of pages) {
      const chunk = Math.floor(page / 16);
      const found = await place.read(chunk * CHUNK_BYTES, CHUNK_BYTES);
      const expected = before(chunk);
      contents(page, 1).copy(expected, (page % 16) * PAGE_BYTES);
      if (!found.equals(expected)) wrong.push(`${page}: ${found.subarray((page % 16) * PAGE_BYTES).toString('latin1', 0, 24)}`);
    }
    t.same(wrong.slice(0, 5), [], `${wrong.length} of ${pages.length} pages are not what was written`);
  } finally {
    const gone = new Promise((resolve) => guest.once('exit', resolve));
    guest.kill('SIGKILL');
    await gone;
    await place.close();
    snapshot.close();
  }
});

t.test('an empty image is one that QEMU finds nothing wrong with', async (t) => {
  const path = join(disk, 'overlay');
  for (const bytes of [CHUNK_BYTES, 161 * 1024 * 1024 + PAGE_BYTES, 2 ** 31, 5 * 2 ** 40]) {
    writeFileSync(path, emptyOverlay(bytes));
    const ask = (...args: string[]): string => spawnSync('qemu-img', [...args, path], { encoding: 'utf8' }).stdout;
    t.match(ask('check', '-f', 'qcow2'), /^No errors were found/, `of ${bytes} bytes`);
    t.match(JSON.parse(ask('info', '--output=json', '-f', 'qcow2')), { 'virtual-size': bytes, format: 'qcow2' });
  }
});
