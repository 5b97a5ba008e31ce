/**
 * Goal: a VM that was suspended on one host is brought back on another, its chunks asked of the first as they are needed: it never runs
 * on both, whatever is lost on the way between them, and the first lets go of it only when the other has all of it.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { VmSnapshotter } from '../../agent/hypervisor/snapshotter.ts';
import type { Origin } from '../../agent/loops/arrivals.ts';
import { answerAboutChunks, type ChunkQuestion } from '../../agent/loops/chunk-questions.ts';
import { type LendingParts, lendingOf } from '../../agent/loops/snapshot-lending.ts';
import { Suspender } from '../../agent/loops/suspender.ts';
import { DISKS_TOO, NO_NAME, type QuestionKind } from '../../agent/snapshot/lend-wire.ts';
import { type SnapshotLender, startSnapshotLender } from '../../agent/snapshot/lender.ts';
import { openSnapshotStore, type SnapshotSource, type SnapshotStore } from '../../agent/snapshot/snapshot-store.ts';
import { createTenantKeys } from '../../agent/snapshot/tenant-keys.ts';
import { openSuspendJournal } from '../../agent/suspend-journal.ts';
import { systemClock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAGILE_VM, FragileGuest } from '../support/fragile-guest.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const vm = FRAGILE_VM;
const LEND_KEY = 'ab'.repeat(32);
const nothing = (): void => undefined;
// Memory is placed whole: showing it lazily needs programs, and is shown on real guests.
process.env.PATH = '';

const until = async (what: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; !(await what()); i++) {
    if (i > 1000) throw new Error(`gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};

/** One of two hosts, which share the guest's disk and so the guest, but for who knows it. */
class Host {
  readonly told: string[] = [];
  readonly files: TreacherousFiles;
  /** What the other one asked for, and what it is not answered: the connection is cut then. */
  readonly asked: QuestionKind[] = [];
  cutAt: { kind: QuestionKind; before: boolean } | null = null;
  definition: string | null;
  /** The guest's process is here, if there is one. */
  hasIt: boolean;
  suspender!: Suspender;
  lender!: SnapshotLender;
  readonly #folder: string;
  readonly #guest: FragileGuest;
  readonly #stores = new Map<string, Promise<SnapshotStore>>();
  #port = 0;

  constructor(folder: string, guest: FragileGuest, definition: string | null, seed: number) {
    this.#folder = folder;
    this.#guest = guest;
    this.definition = definition;
    this.hasIt = definition !== null;
    this.files = new TreacherousFiles(createPrng(seed));
    mkdirSync(folder, { recursive: true });
  }

  store(tenant: string): Promise<SnapshotStore> {
    const keys = createTenantKeys(this.files);
    const opened = this.#stores.get(tenant) ?? keys.obtain(tenant).then((key) => openSnapshotStore(this.files, tenant, key));
    this.#stores.set(tenant, opened);
    return opened;
  }

  /** An agent begins, also after one that died. */
  async begin(): Promise<void> {
    const keys = createTenantKeys(this.files);
    const strict = this.#guest.snapshotter();
    const snapshotter: VmSnapshotter = {
      ...strict,
      power: async (one) => (this.hasIt ? strict.power(one) : 'off'),
      prepare: async (one, machine, path) => {
        await strict.prepare(one, machine, path);
        this.hasIt = true;
      },
      end: async (one) => {
        await strict.end(one);
        this.hasIt = false;
      },
      definition: async () => this.definition,
      define: async (_vm, xml) => {
        this.definition = xml;
      },
      undefine: async () => {
        this.definition = null;
      },
    };
    this.#stores.clear();
    this.suspender = new Suspender({
      ...{ snapshotter, journal: openSuspendJournal(join(this.#folder, 'journal')), store: (tenant) => this.store(tenant) },
      ...{ clock: systemClock, folder: join(this.#folder, 'resumed'), learnMs: 3_600_000, aliveMs: 5000 },
      ...{ speaks: () => null, tell: (_vm, words) => void this.told.push(words), changed: nothing },
      adoptKey: (tenant, key) => keys.adopt(tenant, key),
      onTakenBack: (one) => this.lender.end(one),
    });
    await this.suspender.recover();
    const parts: LendingParts = {
      suspender: this.suspender,
      store: (tenant) => this.store(tenant),
      keyOf: (tenant) => keys.obtain(tenant),
      definition: async () => this.definition,
      inTurn: (_vm, task) => task(),
    };
    this.lender = await startSnapshotLender({
      listen: { host: '127.0.0.1', port: this.#port },
      keyOf: (one) => {
        const key = this.suspender.records().find((record) => record.vm === one)?.lentTo?.key;
        return key === undefined ? null : Buffer.from(key, 'hex');
      },
      lending: (one) => this.#lending(parts, one as VmId),
      turn: async () => () => undefined,
    });
    this.#port = this.lender.port;
  }

  async end(): Promise<void> {
    await this.lender.close();
    await this.suspender.handOver();
  }

  get origin(): Origin {
    return { host: 'a', address: `127.0.0.1:${this.#port}`, key: LEND_KEY };
  }

  phase(): string | null {
    return this.suspender.phase(vm);
  }

  async #lending(parts: LendingParts, one: VmId) {
    const lending = await lendingOf(parts, one);
    const cut = (kind: QuestionKind, before: boolean): void => {
      if (this.cutAt?.kind === kind && this.cutAt.before === before) this.lender.end(one);
    };
    return {
      ...lending,
      answer: async (kind: QuestionKind, name: string) => {
        this.asked.push(kind);
        cut(kind, true);
        if (this.cutAt?.kind === kind && this.cutAt.before) throw new Error('never heard');
        const bytes = await lending.answer(kind, name);
        cut(kind, false);
        return bytes;
      },
    };
  }
}

async function hosts(t: Test, name: string) {
  const folder = mkdtempSync(join(tmpdir(), `headroom-${name}-`));
  const guest = new FragileGuest(folder, createPrng(7));
  const a = new Host(join(folder, 'a'), guest, '<domain/>', 1);
  const b = new Host(join(folder, 'b'), guest, null, 2);
  await a.begin();
  await b.begin();
  t.teardown(async () => {
    await a.end();
    await b.end();
    rmSync(folder, { recursive: true });
  });
  guest.run(40);
  await a.suspender.suspend(vm, 'guest', 'default', nothing);
  await a.suspender.lend(vm, 'b', LEND_KEY);
  return { a, b, guest };
}

t.test('brought back on the other host, which needs the first no more once it has all of it', async (t) => {
  const { a, b, guest } = await hosts(t, 'moved');
  await t.rejects(a.suspender.prepare(vm, nothing), { code: 'CONFLICT', message: /lent to host b/ });
  const done = await b.suspender.resume(vm, nothing, a.origin);
  t.ok((done.measured.bytesMoved ?? 0) > 0, 'it is told what moved');
  t.equal(guest.power, 'running');
  t.equal(guest.wrong(), null, 'every byte of its memory is right');
  t.equal(b.definition, '<domain/>', 'it is defined there');
  await until(() => a.phase() === null && b.suspender.records()[0]?.from === null);
  t.equal(a.definition, null, 'and not here any more');
  await a.suspender.collect(['default']);
  t.same(await (await a.store('default')).list(), [], 'nothing is kept of it');
  const { snapshot } = b.suspender.records()[0]!;
  t.same(await (await b.store('default')).verify(snapshot!), [], 'the other host holds all of it, under the same key');
  await b.suspender.suspend(vm, 'guest', 'default', nothing);
  await b.suspender.lend(vm, 'a', LEND_KEY);
  const back = a.asked.length;
  await a.suspender.resume(vm, nothing, { ...b.origin, host: 'b' });
  t.equal(guest.wrong(), null, 'and back');
  t.equal(a.asked.length, back);
});

t.test('what the other host holds already does not travel, and what is lent is that snapshot alone', async (t) => {
  const { a, b } = await hosts(t, 'deduplicated');
  await b.suspender.resume(vm, nothing, a.origin);
  await until(() => a.phase() === null);
  const all = a.asked.filter((kind) => kind === 'record').length;
  await b.suspender.suspend(vm, 'guest', 'default', nothing);
  await b.suspender.lend(vm, 'a', LEND_KEY);
  await a.suspender.resume(vm, nothing, { ...b.origin, host: 'b' });
  const again = b.asked.filter((kind) => kind === 'record').length;
  t.ok(again < all, `${again} records came back, ${all} went`);
  const store = await a.store('default');
  const lent = await store.lend((await store.list())[0]!);
  t.equal(await lent.record('00'.repeat(32)), null);
});

t.test('asked by names of chunks, the other host tells how much of it lies there, under whatever name the key has', async (t) => {
  const { a, b } = await hosts(t, 'asked');
  const asks = (host: Host, tenants: string[], question: ChunkQuestion) =>
    answerAboutChunks(question, {
      records: () => host.suspender.records(),
      tenants: async () => tenants,
      store: (tenant) => host.store(tenant),
      supplied: nothing,
    });
  // A key of its own for the tenant: what comes from the other host lies beside.
  await createTenantKeys(b.files).obtain('default');
  const { chunks: sample } = await asks(a, ['default'], { action: 'sample', vm });
  t.ok(sample!.rest.length > 0 && sample!.filledBytes > 0, JSON.stringify(sample));
  const { tenant, first, rest } = sample!;
  const held = { action: 'held', vm, tenant, first, rest } as const;
  t.same(await asks(b, ['default'], held), { held: { first: 0, rest: 0 } });
  t.same(await asks(a, ['default'], held), { held: { first: first.length, rest: rest.length } });
  await t.rejects(asks(b, ['default'], { action: 'sample', vm }), { code: 'NOT_FOUND' });
  await b.suspender.resume(vm, nothing, a.origin);
  await until(() => a.phase() === null);
  const alias = b.suspender.records()[0]!.tenant;
  t.not(alias, 'default');
  t.same(
    await asks(b, ['default', alias, 'other'], held),
    { held: { first: first.length, rest: rest.length } },
    'by its own names, and not by its tenant’s',
  );
  t.same(await asks(b, ['default'], held), { held: { first: 0, rest: 0 } });
  await b.suspender.suspend(vm, 'guest', 'default', nothing);
  const again = (await asks(b, ['default', alias], { action: 'sample', vm })).chunks!;
  const back = (await asks(a, ['default'], { ...held, tenant: again.tenant, first: again.first, rest: again.rest })).held!;
  t.ok(back.first + back.rest > 0, 'what it left behind is found again, by the name the key has on the other host');
});

t.test('what broke at the host that holds it is had from a third that has it too, and from nobody with another key', async (t) => {
  const { a, b } = await hosts(t, 'third');
  const { snapshot } = a.suspender.records()[0]!;
  const { manifest } = await (await a.store('default')).open(snapshot!);
  const [name] = manifest.memory.flatMap((entry) => (entry.kind === 'whole' ? [entry.digest] : []));
  const refusing: SnapshotSource = {
    manifest: async () => (await (await a.store('default')).lend(snapshot!)).manifest(),
    record: async (digest) => {
      if (digest === name) throw new Error('host a refuses: not as it was written');
      return (await (await a.store('default')).sealed(digest))!;
    },
  };
  const tenant = await createTenantKeys(b.files).adopt('default', await createTenantKeys(a.files).obtain('default'));
  const store = await b.store(tenant);
  const arriving = await store.adopt(snapshot!, refusing);
  await t.rejects(arriving.complete(), /refuses/);
  t.same(arriving.lacking(), [name], 'that one alone, by name');
  const came: unknown[] = [];
  const ground = (host: Host, tenants: string[]) => ({
    records: () => [{ ...a.suspender.records()[0]!, tenant }],
    tenants: async () => tenants,
    store: (one: string) => host.store(one),
    supplied: (...what: unknown[]) => void came.push(what),
  });
  const give = { action: 'give' as const, vm, tenant, names: [name!, 'ff'.repeat(32)] };
  t.same(await answerAboutChunks(give, ground(b, [tenant])), { records: [] }, 'who lacks it has none');
  const { records } = await answerAboutChunks(give, ground(a, ['default']));
  t.same(
    records!.map((one) => one.name),
    [name],
  );
  const broken = Buffer.from(records![0]!.sealed, 'base64');
  broken[40]! ^= 1;
  const supply = (sealed: string) =>
    answerAboutChunks({ action: 'supply', vm, from: 'c', records: [{ name: name!, sealed }] }, ground(b, []));
  await t.rejects(supply(broken.toString('base64')), { code: 'STORE_CORRUPT', message: /1 of 1 records from host c/ });
  t.same([arriving.lacking(), came], [[name], []]);
  await supply(records![0]!.sealed);
  t.same([arriving.lacking(), came], [[], [[vm, 'c', 1]]]);
  await arriving.complete();
  arriving.close();
  t.same(await store.verify(snapshot!), [], 'all of it is there now');
});

t.test('another key of the same tenant stays beside', async (t) => {
  const { a, b } = await hosts(t, 'keys');
  const own = await createTenantKeys(b.files).obtain('default');
  await b.suspender.resume(vm, nothing, a.origin);
  await until(() => a.phase() === null);
  t.match(b.suspender.records()[0], { tenant: /^default-[0-9a-f]{12}$/ });
  t.ok(own.equals((await createTenantKeys(b.files).find('default'))!));
  await b.suspender.suspend(vm, 'guest', 'default', nothing);
  await b.suspender.resume(vm, nothing);
});

t.test('cut off before it may go: the first host brings it back as if nothing had been', async (t) => {
  const { a, b, guest } = await hosts(t, 'cut');
  a.cutAt = { kind: 'record', before: true };
  await t.rejects(b.suspender.resume(vm, nothing, a.origin), { code: 'UNAVAILABLE', message: /host a .* is away/ });
  t.same([b.phase(), b.definition], [null, null], 'nothing is left of it there');
  await a.suspender.resume(vm, nothing);
  t.equal(guest.wrong(), null);
  t.equal(a.suspender.records()[0]?.lentTo, null);
  await t.rejects(b.suspender.resume(vm, nothing, a.origin), { code: 'UNAVAILABLE' }, 'the key holds no more');
});

t.test('cut off as it is asked whether it may go: it runs on neither, and then where it was asked for', async (t) => {
  const { a, b, guest } = await hosts(t, 'asked');
  a.cutAt = { kind: 'going', before: false };
  await t.rejects(b.suspender.resume(vm, nothing, a.origin), { code: 'UNAVAILABLE' });
  t.equal(guest.power, 'off');
  t.same([a.phase(), b.phase()], ['away', 'suspended']);
  await t.rejects(a.suspender.resume(vm, nothing), { code: 'CONFLICT', message: /host b/ }, 'it may run there');
  a.cutAt = null;
  // Both agents begin anew meanwhile.
  for (const host of [a, b]) {
    await host.end();
    await host.begin();
  }
  t.same([a.phase(), b.phase()], ['away', 'suspended']);
  await b.suspender.resume(vm, nothing);
  t.equal(guest.wrong(), null);
  await until(() => a.phase() === null);
});

t.test('taken back before it was asked: it runs on the first alone', async (t) => {
  const { a, b, guest } = await hosts(t, 'taken-back');
  a.cutAt = { kind: 'going', before: true };
  await t.rejects(b.suspender.resume(vm, nothing, a.origin));
  t.equal(b.phase(), 'suspended', 'it does not know whether it was heard');
  a.cutAt = null;
  await a.suspender.resume(vm, nothing);
  t.equal(guest.power, 'running');
  await t.rejects(b.suspender.resume(vm, nothing), 'and never on the other');
  t.equal(guest.wrong(), null);
});

t.test('the rest is asked for until it comes, also by an agent that begins anew, and a guest that ended needs it no more', async (t) => {
  const { a, b, guest } = await hosts(t, 'rest');
  a.cutAt = { kind: 'done', before: true };
  await b.suspender.resume(vm, nothing, a.origin);
  await until(() => b.told.some((words) => /does not come/.test(words)));
  t.equal(a.phase(), 'away');
  guest.die();
  b.hasIt = false;
  await b.suspender.ended(vm);
  await b.end();
  await b.begin();
  t.equal(b.phase(), null);
  a.cutAt = null;
  await until(() => a.phase() === null);
  t.match(b.suspender.records(), [], 'both have forgotten it');
});

t.test('made ready on the other host: there it waits, and goes on; let go, it is the first host’s as if nothing had been', async (t) => {
  const { a, b, guest } = await hosts(t, 'ready');
  const never = (): boolean => false;
  const done = await b.suspender.prepareFrom(vm, a.origin, nothing, never);
  t.ok((done.measured.bytesMoved ?? 0) > 0);
  t.same([a.phase(), b.phase()], ['suspended', 'prepared']);
  await b.suspender.letGo(vm);
  t.same([b.phase(), b.definition], [null, null], 'nothing is left of it there');
  await a.suspender.letGo(vm);
  t.equal(a.suspender.records()[0]?.lentTo, null);
  await t.rejects(b.suspender.prepareFrom(vm, a.origin, nothing, never), { code: 'UNAVAILABLE' }, 'the key holds no more');
  await a.suspender.lend(vm, 'b', LEND_KEY);
  const before = a.asked.filter((kind) => kind === 'record').length;
  await b.suspender.prepareFrom(vm, a.origin, nothing, never);
  t.equal(a.asked.filter((kind) => kind === 'record').length, before, 'what came the first time does not travel again');
  const resumed = await b.suspender.resume(vm, nothing);
  t.equal(resumed.measured.recipe, 'memory-file');
  t.equal(guest.power, 'running');
  t.equal(guest.wrong(), null, 'every byte of its memory is right');
  await until(() => a.phase() === null && b.suspender.records()[0]?.from === null);
});

t.test('a cut while it is made ready on the other host: nothing is left there, and the first brings it back', async (t) => {
  const { a, b, guest } = await hosts(t, 'ready-cut');
  a.cutAt = { kind: 'record', before: true };
  await t.rejects(
    b.suspender.prepareFrom(vm, a.origin, nothing, () => false),
    { code: 'UNAVAILABLE' },
  );
  t.same([b.phase(), b.definition], [null, null]);
  a.cutAt = null;
  await a.suspender.resume(vm, nothing);
  t.equal(guest.wrong(), null);
});

t.test('made ready on the other host, whose agent died, and lent again with another snapshot: never the older one', async (t) => {
  const { a, b, guest } = await hosts(t, 'older');
  await b.suspender.prepareFrom(vm, a.origin, nothing, () => false);
  await b.end();
  await b.begin();
  t.equal(b.phase(), 'suspended', 'it knows it from before');
  await a.suspender.resume(vm, nothing);
  guest.run(40);
  await a.suspender.suspend(vm, 'guest', 'default', nothing);
  const { snapshot } = a.suspender.records()[0]!;
  await a.suspender.lend(vm, 'b', LEND_KEY);
  await b.suspender.resume(vm, nothing, a.origin);
  t.equal(guest.wrong(), null, 'every byte is of the later moment');
  t.equal(b.suspender.records()[0]?.snapshot, snapshot);
});

t.test('an agent that knows nothing of disks is not lent a VM that has some on its host alone', async (t) => {
  const { a } = await hosts(t, 'old-borrower');
  const [record] = a.suspender.records();
  const id = record!.snapshot!;
  const disk = { target: 'vda', path: '/d/a', format: 'raw' as const, bytes: 1, snapshot: id, of: id, bitmap: null, stamp: null };
  const suspender = { records: () => [{ ...record!, disks: [disk] }] } as unknown as Suspender;
  const parts: LendingParts = {
    ...{ suspender, store: (tenant) => a.store(tenant), keyOf: async () => Buffer.alloc(32) },
    ...{ definition: async () => '<domain/>', inTurn: (_vm, task) => task() },
  };
  const lending = await lendingOf(parts, vm);
  await t.rejects(lending.answer('about', NO_NAME), { code: 'CONFLICT', message: /too old to bring them along/ });
  t.match(JSON.parse((await lending.answer('about', DISKS_TOO)).toString()), { disks: [{ target: 'vda', snapshot: id }] });
  lending.close();
});
