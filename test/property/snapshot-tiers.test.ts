/**
 * Goal: snapshots over several places: whatever is saved, removed, collected, moved up and down, and wherever the power goes, no snapshot
 * that was complete is lost or changed, and no place ever holds more than it may; where nothing fits, a save is refused and the rest stays.
 */
import fc from 'fast-check';
import t from 'tap';
import { CHUNK_BYTES, PAGE_BYTES } from '../../agent/snapshot/chunk.ts';
import { RamCache } from '../../agent/snapshot/ram-cache.ts';
import { type OpenSnapshot, openSnapshotStore, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { Tier } from '../../agent/snapshot/tier.ts';
import { TieredFiles } from '../../agent/snapshot/tiered-files.ts';
import { isHeadroomError } from '../../shared/errors.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng, type Prng } from '../../shared/prng.ts';
import { type Power, TreacherousFiles } from '../support/treacherous-files.ts';

const KEY = Buffer.alloc(32, 7);
const TENANT = 'tenant';
const CHUNKS = 6;
const MACHINE = { qemuVersion: '7.2.22', machineType: 'pc-q35-7.2', domainXml: '<domain/>' };
/** A save takes some tens of KiB: the first is full at once, the second after a few, the third rarely. */
const CAPACITIES = [60_000, 150_000, 400_000] as const;
const POWER_STEPS_MAX = 60;

function memoryOf(prng: Prng): Buffer {
  const memory = Buffer.alloc(CHUNKS * CHUNK_BYTES);
  for (let page = 0; page < memory.length / PAGE_BYTES; page++) {
    if (prng.next() < 0.2) for (let at = 0; at < 400; at += 4) memory.writeUInt32LE(prng.below(2 ** 31), page * PAGE_BYTES + at);
  }
  return memory;
}

type Step = { do: 'save'; ofParent: boolean } | { do: 'remove' | 'collect' | 'balance' | 'warm' | 'read' };

class World {
  readonly #prng: Prng;
  #power: Power = { stepsLeft: Number.POSITIVE_INFINITY };
  #home: TreacherousFiles;
  #disks: TreacherousFiles[];
  #files!: TieredFiles;
  #nowMs = 0;
  store!: SnapshotStore;
  readonly kept = new Map<string, Buffer>();
  full = 0;
  moved = 0;

  constructor(seed: number) {
    this.#prng = createPrng(seed);
    const disk = (name: string): TreacherousFiles => new TreacherousFiles(this.#prng.stream(name), new Map(), this.#power);
    this.#home = disk('home');
    this.#disks = CAPACITIES.map((_, tier) => disk(`tier ${tier}`));
  }

  async start(): Promise<void> {
    const tiers = this.#disks.map((files, i) => new Tier({ name: `tier ${i}`, files, capacityBytes: CAPACITIES[i]!, leaving: false }));
    const clock = { monotonicMs: () => ++this.#nowMs };
    this.#files = await TieredFiles.open({ home: this.#home, tiers, ram: new RamCache(100_000), clock, tenants: [TENANT] });
    this.store = await openSnapshotStore(this.#files, TENANT, KEY);
    this.checkRoom();
  }

  checkRoom(): void {
    for (const [i, disk] of this.#disks.entries()) {
      const held = disk.paths().reduce((sum, path) => sum + disk.bytesOf(path), 0);
      if (held > CAPACITIES[i]!) throw new Error(`tier ${i} holds ${held} bytes of ${CAPACITIES[i]}`);
    }
    if (this.#home.paths().some((path) => path.endsWith('.pack'))) throw new Error('a pack lies in the home folder');
  }

  async act(step: Step): Promise<void> {
    const ids = [...this.kept.keys()];
    const some = ids[this.#prng.below(Math.max(1, ids.length))];
    if (step.do === 'collect') await this.store.collect();
    if (step.do === 'balance') this.moved += await this.#files.balance();
    if (step.do === 'save') await this.#save(step.ofParent ? some : undefined);
    if (some === undefined) return;
    if (step.do === 'warm') this.moved += await this.store.warm(some, [0, 3]).catch(refusedFull);
    if (step.do === 'read') await this.store.verify(some);
    if (step.do === 'remove') {
      this.kept.delete(some);
      await this.store.remove(some);
    }
  }

  async #save(parentId: string | undefined): Promise<void> {
    const memory = memoryOf(this.#prng);
    const parent = parentId === undefined ? null : await this.store.open(parentId);
    const facts = {
      vm: vmId('6f1b0000-0000-4000-8000-000000000001'),
      takenAtMs: ++this.#nowMs,
      memoryBytes: memory.length,
      machine: MACHINE,
    };
    try {
      const readMemory = async (offset: number, length: number): Promise<Buffer> => memory.subarray(offset, offset + length);
      const { manifest } = await this.store.save({ facts, state: Buffer.from('state'), parent, readMemory });
      this.kept.set(manifest.id, memory);
    } catch (error) {
      if (!isHeadroomError(error, 'STORE_FULL')) throw error;
      this.full++;
    } finally {
      parent?.close();
    }
  }

  set stepsLeft(steps: number) {
    this.#power.stepsLeft = steps;
  }

  async powerCut(): Promise<void> {
    this.#power = { stepsLeft: Number.POSITIVE_INFINITY };
    this.#home = this.#home.afterPowerCut(this.#power);
    this.#disks = this.#disks.map((disk) => disk.afterPowerCut(this.#power));
    await this.start();
  }

  async check(): Promise<void> {
    this.checkRoom();
    const listed = await this.store.list();
    for (const [id, memory] of this.kept) {
      if (!listed.includes(id)) throw new Error(`snapshot ${id} is lost`);
      const problems = await this.store.verify(id);
      if (problems.length > 0) throw new Error(problems.join('; '));
      const snapshot = await this.store.open(id);
      if (!(await contents(snapshot)).equals(memory)) throw new Error(`snapshot ${id} has changed`);
      snapshot.close();
    }
  }
}

function refusedPower(error: unknown): void {
  if (!/the power is gone/.test(String(error))) throw error;
}

function refusedFull(error: unknown): number {
  if (isHeadroomError(error, 'STORE_FULL')) return 0;
  throw error;
}

async function contents(snapshot: OpenSnapshot): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const index of snapshot.manifest.memory.keys()) parts.push(await snapshot.chunk(index));
  return Buffer.concat(parts);
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('save' as const), ofParent: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('remove' as const, 'collect', 'balance', 'warm', 'read') }) },
);

t.test('in any order, with the power gone at any step', async (t) => {
  const lives = fc.array(fc.record({ steps: fc.array(step, { maxLength: 10 }), powerSteps: fc.nat(POWER_STEPS_MAX) }), {
    minLength: 1,
    maxLength: 4,
  });
  const seen = { full: 0, moved: 0, kept: 0 };
  await fc.assert(
    fc.asyncProperty(fc.integer(), lives, async (seed, lived) => {
      const world = new World(seed);
      await world.start();
      for (const { steps, powerSteps } of lived) {
        // Each life has some steps in peace, and then loses its power.
        for (const one of steps) await world.act(one);
        await world.check();
        world.stepsLeft = powerSteps;
        try {
          for (const one of steps) {
            await world.act(one);
            world.checkRoom();
          }
        } catch (error) {
          refusedPower(error);
        }
        await world.powerCut();
        await world.check();
      }
      seen.full += world.full;
      seen.moved += world.moved;
      seen.kept += world.kept.size;
    }),
    { numRuns: 60 },
  );
  t.ok(seen.full > 0 && seen.moved > 0 && seen.kept > 0, JSON.stringify(seen));
});

t.test('the power goes at each step of moving: what was moved, was being moved or was to be moved is all there', async (t) => {
  let moves = 0;
  for (let steps = 0; steps < 24; steps++) {
    for (let seed = 0; seed < 3; seed++) {
      const world = new World(seed * 100 + steps);
      await world.start();
      for (let i = 0; i < 3; i++) await world.act({ do: 'save', ofParent: false });
      const before = world.kept.size;
      world.stepsLeft = steps;
      await world.act({ do: 'balance' }).catch(refusedPower);
      moves += world.moved;
      await world.powerCut();
      await world.check();
      t.equal(world.kept.size, before);
    }
  }
  t.ok(moves > 10, `${moves} moves came to their end`);
});
