/**
 * Goal: a snapshot read back is the one that was written or an error, never something else: whatever is saved, removed and
 * collected in whichever order, wherever the power goes (unsynced writes lost), and wherever a bit flips. What a collection
 * leaves is all that a manifest or a reader still needs. Nothing of a guest's memory lies on the disk in the clear.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CHUNK_BYTES, PAGE_BYTES } from '../../agent/snapshot/chunk.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { ROW_BYTES } from '../../agent/snapshot/parity.ts';
import { type OpenSnapshot, openSnapshotStore, type SnapshotDraft, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { createTenantKeys } from '../../agent/snapshot/tenant-keys.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng, type Prng } from '../../shared/prng.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const KEY = Buffer.alloc(32, 7);
const TENANT = 'tenant';
const MEMORY_CHUNKS = 5;
/** The last chunk is cut short. */
const MEMORY_BYTES = MEMORY_CHUNKS * CHUNK_BYTES - 3 * PAGE_BYTES;
const MACHINE = { qemuVersion: '7.2.22', machineType: 'pc-q35-7.2', domainXml: '<domain/>' };

const facts = (takenAtMs: number): SnapshotDraft['facts'] => ({
  vm: vmId('6f1b0000-0000-4000-8000-000000000001'),
  takenAtMs,
  memoryBytes: MEMORY_BYTES,
  machine: MACHINE,
});

/** Memory of few different chunks, some zero, each with a few pages of its own or none. */
function memoryOf(prng: Prng): Buffer {
  const memory = Buffer.alloc(MEMORY_BYTES);
  for (let chunk = 0; chunk < MEMORY_CHUNKS; chunk++) {
    const kind = prng.below(4);
    if (kind === 0) continue;
    for (let page = 0; page < 16; page++) {
      const own = prng.next() < 0.1 ? prng.below(1000) : 0;
      const from = chunk * CHUNK_BYTES + page * PAGE_BYTES;
      if (from < MEMORY_BYTES) memory.fill(`kind ${kind} page ${page} ${own} `, from, from + PAGE_BYTES);
    }
  }
  return memory;
}

const draftOf = (memory: Buffer, state: Buffer, takenAtMs: number, parent: OpenSnapshot | null): SnapshotDraft => ({
  facts: facts(takenAtMs),
  state,
  parent,
  readMemory: async (offset, length) => memory.subarray(offset, offset + length),
});

async function contents(snapshot: OpenSnapshot): Promise<{ memory: Buffer; state: Buffer }> {
  const parts: Buffer[] = [];
  for (const index of snapshot.manifest.memory.keys()) parts.push(await snapshot.chunk(index));
  return { memory: Buffer.concat(parts), state: await snapshot.state() };
}

type Step = { do: 'save'; ofParent: boolean } | { do: 'remove' | 'collect' };
interface Expected {
  memory: Buffer;
  state: Buffer;
}

/** A store with what it must still hold; what was being removed when the power went may be there or not. */
class World {
  files: TreacherousFiles;
  store!: SnapshotStore;
  readonly kept = new Map<string, Expected>();
  readonly #prng: Prng;
  #savedAtMs = 0;

  constructor(seed: number) {
    this.#prng = createPrng(seed);
    this.files = new TreacherousFiles(this.#prng.stream('disk'));
  }

  async start(): Promise<void> {
    this.store = await openSnapshotStore(this.files, TENANT, KEY);
  }

  async act(step: Step): Promise<void> {
    if (step.do === 'collect') await this.store.collect();
    const ids = [...this.kept.keys()];
    const some = ids[this.#prng.below(Math.max(1, ids.length))];
    if (step.do === 'remove' && some !== undefined) {
      this.kept.delete(some);
      await this.store.remove(some);
    }
    if (step.do === 'save') await this.#save(step.ofParent ? some : undefined);
  }

  async #save(parentId: string | undefined): Promise<void> {
    const expected = { memory: memoryOf(this.#prng), state: Buffer.from(`device state ${this.#prng.below(5)}`) };
    const parent = parentId === undefined ? null : await this.store.open(parentId);
    const { manifest } = await this.store.save(draftOf(expected.memory, expected.state, this.#savedAtMs++, parent));
    parent?.close();
    this.kept.set(manifest.id, expected);
  }

  async powerCut(): Promise<void> {
    this.files = this.files.afterPowerCut();
    await this.start();
  }

  async check(): Promise<void> {
    const listed = await this.store.list();
    for (const id of this.kept.keys()) if (!listed.includes(id)) throw new Error(`snapshot ${id} is lost`);
    for (const id of listed) {
      const problems = await this.store.verify(id);
      if (problems.length > 0) throw new Error(problems.join('; '));
      const expected = this.kept.get(id);
      const found = await contents(await this.store.open(id));
      if (expected && !(found.memory.equals(expected.memory) && found.state.equals(expected.state))) throw new Error(`${id} has changed`);
    }
  }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('save' as const), ofParent: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('remove' as const, 'collect' as const) }) },
);

t.test('saved, removed and collected in any order, with the power gone at any step', async (t) => {
  const lives = fc.array(fc.record({ steps: fc.array(step, { maxLength: 6 }), powerSteps: fc.nat(40) }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.nat(), lives, async (seed, all) => {
      const world = new World(seed);
      await world.start();
      for (const { steps, powerSteps } of all) {
        world.files.stepsLeft = powerSteps;
        try {
          for (const one of steps) await world.act(one);
        } catch (error) {
          if (!/power is gone/.test(String(error))) throw error;
        }
        await world.powerCut();
        await world.check();
      }
      await world.store.collect();
      await world.check();
    }),
    { numRuns: 60 },
  );
  t.pass('each snapshot whose saving had ended was there, whole');
});

t.test('a flipped bit anywhere is mended as it is read, and gone after a collection', async (t) => {
  let damaged = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(), async (seed, which, bit) => {
      const world = new World(seed);
      await world.start();
      await world.act({ do: 'save', ofParent: false });
      await world.act({ do: 'save', ofParent: true });
      const paths = world.files.paths();
      world.files.flipBit(paths[which % paths.length]!, bit);
      await world.start();
      await world.check();
      damaged += world.store.damagedFiles;
      await world.store.collect();
      if (world.store.damagedFiles > 0) throw new Error('a damaged file is left');
      await world.start();
      await world.check();
    }),
    { numRuns: 60 },
  );
  t.ok(damaged >= 25, `${damaged} times it was noticed; where it was not, it fell into parity`);
});

t.test('more damage than can be mended is an error, never something else', async (t) => {
  let caught = 0;
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.nat(), fc.array(fc.nat(), { minLength: 20, maxLength: 60 }), async (seed, which, bits) => {
      const world = new World(seed);
      await world.start();
      await world.act({ do: 'save', ofParent: false });
      await world.act({ do: 'save', ofParent: true });
      const paths = world.files.paths().filter((path) => path.endsWith('.pack'));
      for (const bit of bits) world.files.flipBit(paths[which % paths.length]!, bit);
      await world.start();
      for (const [id, expected] of world.kept) {
        try {
          const found = await contents(await world.store.open(id));
          if (!found.memory.equals(expected.memory) || !found.state.equals(expected.state)) throw new Error('changed in silence');
        } catch (error) {
          if ((error as { code?: string }).code !== 'STORE_CORRUPT') throw error;
          caught++;
          if ((await world.store.verify(id)).length === 0) throw new Error('verify says nothing', { cause: error });
        }
      }
    }),
    { numRuns: 60 },
  );
  t.ok(caught >= 25, `${caught} errors`);
});

t.test('a record longer than others around it, and at the seams of parity, is mended bit for bit', async (t) => {
  const files = new TreacherousFiles(createPrng(6));
  const memory = randomBytes(40 * CHUNK_BYTES);
  const draft: SnapshotDraft = {
    ...draftOf(memory, Buffer.from('state'), 1, null),
    facts: { ...facts(1), memoryBytes: memory.length },
  };
  const { manifest } = await (await openSnapshotStore(files, TENANT, KEY)).save(draft);
  const pack = files.paths().find((path) => path.endsWith('.pack'))!;
  const prng = createPrng(7);
  for (let round = 0; round < 20; round++) {
    // A sector of the disk, somewhere in the records.
    const at = prng.below(40 * CHUNK_BYTES - 512);
    files.invert(pack, at, 512);
    const store = await openSnapshotStore(files, TENANT, KEY);
    if (!(await contents(await store.open(manifest.id))).memory.equals(memory)) throw new Error(`lost at ${at}`);
    files.invert(pack, at, 512);
  }
  t.pass('20 lost sectors');
});

t.test('what a reader has open outlives its removal, and goes when it is closed', async (t) => {
  const world = new World(1);
  await world.start();
  await world.act({ do: 'save', ofParent: false });
  const [[id, expected]] = [...world.kept] as [[string, Expected]];
  const reader = await world.store.open(id);
  await world.store.remove(id);
  t.equal((await world.store.collect()).packsRemoved, 0);
  t.ok((await contents(reader)).memory.equals(expected.memory), 'all of it can still be read');
  reader.close();
  t.equal((await world.store.collect()).packsRemoved, 1);
  t.equal(world.store.storedBytes, 0, 'nothing is left');
  await t.rejects(world.store.open(id), { code: 'NOT_FOUND' });
});

t.test('nothing is collected while a manifest cannot be read', async (t) => {
  const world = new World(2);
  await world.start();
  await world.act({ do: 'save', ofParent: false });
  const stored = world.store.storedBytes;
  for (const path of world.files.paths().filter((one) => !one.endsWith('.pack'))) world.files.flipBit(path, 12_345);
  await t.rejects(world.store.collect(), { code: 'STORE_CORRUPT' });
  t.equal(world.store.storedBytes, stored);
});

t.test('a removal that no sync followed is not undone by a power cut once its records have been collected', async (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new World(seed);
    await world.start();
    await world.act({ do: 'save', ofParent: false });
    const [id] = [...world.kept.keys()];
    world.files.stepsLeft = 2;
    await t.rejects(world.store.remove(id!), /power is gone/, 'the process ends before it has synced');
    world.files.stepsLeft = Number.POSITIVE_INFINITY;
    await world.start();
    await world.store.collect();
    world.kept.clear();
    await world.powerCut();
    await world.check();
  }
  t.pass('what is listed is whole');
});

t.test('one changed page costs a page, equal memory nothing, and what broke is written anew', async (t) => {
  const files = new TreacherousFiles(createPrng(3));
  let store = await openSnapshotStore(files, TENANT, KEY);
  const memory = randomBytes(MEMORY_BYTES);
  const first = await store.save(draftOf(memory, Buffer.from('state'), 1, null));
  t.equal(first.newRecords, MEMORY_CHUNKS + 1);
  const parent = await store.open(first.manifest.id);
  const again = await store.save(draftOf(memory, Buffer.from('state'), 2, parent));
  t.equal(again.newRecords, 0);
  t.not(again.manifest.id, first.manifest.id, 'the time it was taken is part of what it is');
  const changed = Buffer.from(memory);
  randomBytes(PAGE_BYTES).copy(changed, 2 * CHUNK_BYTES + PAGE_BYTES);
  const patched = await store.save(draftOf(changed, Buffer.from('state'), 3, parent));
  t.equal(patched.newRecords, 1);
  t.ok(patched.newBytes < 1.1 * PAGE_BYTES, `${patched.newBytes} bytes for a page`);
  t.ok((await contents(await store.open(patched.manifest.id))).memory.equals(changed));

  // Two bytes of one column of parity: neither can be told from the other.
  for (const path of files.paths().filter((one) => one.endsWith('.pack')))
    for (const byte of [1000, 1000 + ROW_BYTES]) files.flipBit(path, 8 * byte);
  store = await openSnapshotStore(files, TENANT, KEY);
  t.match((await store.verify(first.manifest.id)).join(), /chunk 0 of snapshot .* is not what was written/);
  const whole = await store.save(draftOf(memory, Buffer.from('state'), 4, null));
  t.same(await store.verify(whole.manifest.id), [], 'a record known to be broken is not leant on');
  t.same(await store.verify(first.manifest.id), [], 'and the older snapshot has it back');
});

t.test('memory is encrypted, tenants share nothing, and a destroyed key ends it', async (t) => {
  const files = new TreacherousFiles(createPrng(4));
  const keys = createTenantKeys(files);
  const memory = Buffer.alloc(MEMORY_BYTES, 'a word that must not be seen ');
  const ids: string[] = [];
  for (const tenant of ['one', 'two']) {
    const store = await openSnapshotStore(files, tenant, await keys.obtain(tenant));
    const saved = await store.save(draftOf(memory, Buffer.from('state'), 1, null));
    t.ok(saved.newRecords > 0, 'what the other tenant stored is not found');
    ids.push(saved.manifest.id);
  }
  t.not(ids[0], ids[1], 'equal snapshots have no name in common');
  for (const path of files.paths()) {
    t.notOk((await files.read(path, 0, files.bytesOf(path)))!.includes('must not be seen'), `${path} is not in the clear`);
  }
  await keys.destroy('one');
  t.equal(await keys.find('one'), null);
  const after = await openSnapshotStore(files, 'one', await keys.obtain('one'));
  await t.rejects(after.open(ids[0]!), { code: 'STORE_CORRUPT', message: /not this key's/ });
  await t.rejects(keys.obtain('../two'), { code: 'USAGE' });
});

t.test('on a real disk: found again, readable by their owner alone, unfinished files cleared', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-snapshots-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const files = openLocalFiles(folder);
  t.teardown(() => files.close());
  const memory = memoryOf(createPrng(5));
  const first = await (await openSnapshotStore(files, TENANT, KEY)).save(draftOf(memory, Buffer.from('state'), 1, null));
  const packs = join(folder, TENANT, 'packs');
  writeFileSync(join(packs, '.new-half.pack'), 'half');
  const store = await openSnapshotStore(files, TENANT, KEY);
  t.same(await store.list(), [first.manifest.id]);
  t.ok((await contents(await store.open(first.manifest.id))).memory.equals(memory));
  const names = readdirSync(packs);
  t.equal(names.length, 1, 'the unfinished file is gone');
  t.equal(statSync(join(packs, names[0]!)).mode & 0o077, 0);
  const broken = openLocalFiles(folder);
  t.teardown(() => broken.close());
  writeFileSync(join(packs, names[0]!), 'not a pack');
  t.match((await openSnapshotStore(broken, TENANT, KEY)).problems.join(), /has no readable index/);
});
