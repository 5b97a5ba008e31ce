/**
 * Goal: a record that lies in two packs, of which one is broken beyond mending, is found in the other: also by an agent that begins anew and
 * meets the broken one first, and also after a collection, which must not keep the broken one and drop the good.
 */
import t from 'tap';
import { CHUNK_BYTES } from '../../agent/snapshot/chunk.ts';
import { openSnapshotStore, type SnapshotDraft, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import type { StoreFiles } from '../../agent/snapshot/store-files.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { recordsEnd } from '../support/spoiled-pack.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const KEY = Buffer.alloc(32, 7);
const TENANT = 'tenant';
const CHUNKS = 3;
const machine = { qemuVersion: '7.2.22', machineType: 'pc-q35-7.2', domainXml: '<domain/>' };

const draft = (takenAtMs: number): SnapshotDraft => ({
  facts: { vm: vmId('6f1b0000-0000-4000-8000-000000000001'), takenAtMs, memoryBytes: CHUNKS * CHUNK_BYTES, machine },
  state: Buffer.from('state of devices'),
  parent: null,
  readMemory: async (offset, length) => Buffer.alloc(length, `chunk at ${offset} `),
});

const packsOf = (files: TreacherousFiles): string[] => files.paths().filter((path) => path.endsWith('.pack'));

/** All of what it holds, and the parity that could mend it; its index says what should be there. */
async function spoil(files: TreacherousFiles, path: string): Promise<void> {
  files.invert(path, 0, await recordsEnd((await files.read(path, 0, files.bytesOf(path)))!));
}

/** The same disk, with one file met before all others or after them: packs' names are by chance. */
function listed(files: TreacherousFiles, one: string, last: boolean): StoreFiles {
  const rank = (name: string): number => (one.endsWith(`/${name}`) === last ? 1 : 0);
  return new Proxy(files, {
    get: (whole, name: keyof TreacherousFiles) => {
      if (name === 'list') return async (folder: string) => (await whole.list(folder)).toSorted((a, b) => rank(a) - rank(b));
      const own = whole[name];
      return typeof own === 'function' ? own.bind(whole) : own;
    },
  });
}

/** Two packs with the same records, the older of them broken. */
async function twice(seed: number): Promise<{ files: TreacherousFiles; broken: string; id: string }> {
  const files = new TreacherousFiles(createPrng(seed));
  const store = await openSnapshotStore(files, TENANT, KEY);
  const first = await store.save(draft(1));
  const broken = packsOf(files)[0]!;
  await spoil(files, broken);
  if ((await store.verify(first.manifest.id)).length === 0) throw new Error('nothing is broken');
  const { manifest } = await store.save(draft(2));
  if (packsOf(files).length !== 2) throw new Error('nothing was written anew');
  await store.remove(first.manifest.id);
  return { files, broken, id: manifest.id };
}

for (const last of [false, true]) {
  const how = `which meets the broken one ${last ? 'last' : 'first'}`;
  t.test(`read by the next agent, ${how}`, async (t) => {
    const { files, broken, id } = await twice(1);
    const store = await openSnapshotStore(listed(files, broken, last), TENANT, KEY);
    t.same(await store.verify(id), []);
    const lent = await store.lend(id);
    const again: SnapshotStore = await openSnapshotStore(listed(files, broken, last), TENANT, KEY);
    const { manifest } = await again.open(id);
    for (const entry of manifest.memory) if (entry.kind === 'whole') t.ok(await lent.record(entry.digest), 'lent to others, too');
  });

  t.test(`collected by the next agent before anybody read it, ${how}`, async (t) => {
    const { files, broken, id } = await twice(2);
    const store = await openSnapshotStore(listed(files, broken, last), TENANT, KEY);
    await store.collect();
    t.same(await store.verify(id), [], 'nothing that was whole is gone');
    t.equal(packsOf(files).length, 1, 'and the broken pack is');
    const next = await openSnapshotStore(listed(files, broken, last), TENANT, KEY);
    t.same(await next.verify(id), []);
  });
}
