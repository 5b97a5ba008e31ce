/**
 * Goal: the places for snapshots that a host's configuration names: what is wrong with them is said, packs go where there is room and to the
 * next place where there is none, a place that is not mounted is never written beneath, one that is named no longer is read and emptied,
 * and a suspension that fits nowhere leaves its VM running.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type SuspendDeps, suspendVm } from '../../agent/actuators/suspend-vm.ts';
import { parseTiers } from '../../agent/core/tier-config.ts';
import { openLocalFiles } from '../../agent/snapshot/local-files.ts';
import { openTiers } from '../../agent/snapshot/open-tiers.ts';
import { RamCache } from '../../agent/snapshot/ram-cache.ts';
import { putDurably } from '../../agent/snapshot/store-files.ts';
import { Tier } from '../../agent/snapshot/tier.ts';
import { movesFor } from '../../agent/snapshot/tier-balance.ts';
import { TieredFiles } from '../../agent/snapshot/tiered-files.ts';
import { systemClock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { vmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import { TreacherousFiles } from '../support/treacherous-files.ts';

const MIB = 2 ** 20;
const PACKS = 'tenant/packs';
const packName = (digit: string): string => `${digit.repeat(64)}.pack`;
const folder = mkdtempSync(join(tmpdir(), 'headroom-tiers-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

t.test('what may be configured, and what is said of the rest', async (t) => {
  t.same(parseTiers([]), { ramBytes: 0, dirs: [] });
  t.same(parseTiers(['ram=512MiB', '/mnt/nvme/=1.5GiB', '/srv/cold=2TiB']), {
    ramBytes: 512 * MIB,
    dirs: [
      { dir: '/mnt/nvme', capacityBytes: 1536 * MIB },
      { dir: '/srv/cold', capacityBytes: 2 * 2 ** 40 },
    ],
  });
  const wrong: [string[], RegExp][] = [
    [['/mnt/nvme'], /"\/mnt\/nvme": expected DIR=SIZE/],
    [['mnt=20GiB'], /expected DIR=SIZE/],
    [['/mnt/nvme=20GB'], /MiB, GiB or TiB/],
    [['/mnt/nvme=20MiB'], /takes 80MiB or more/],
    [['ram=1GiB'], /no directory is named/],
    [['/a=1GiB', 'ram=1GiB'], /named first/],
    [['/a=1GiB', '/a/b=1GiB'], /lies in the same place as \/a/],
    [['/a/b=1GiB', '/a=1GiB'], /lies in the same place as \/a\/b/],
  ];
  for (const [texts, message] of wrong) t.throws(() => parseTiers(texts), { code: 'CONFIG_INVALID', message }, texts.join(' '));
});

t.test(
  'what is moved: down what was not used when a place is nearly full, up what is read again, out of a place that is left',
  async (t) => {
    const tier = (usedBytes: number, leaving = false) => ({ capacityBytes: 100, usedBytes, leaving });
    const pack = (path: string, at: number, usedAtMs: number, heat = 0) => ({ path, tier: at, bytes: 20, usedAtMs, heat });
    t.same(movesFor([tier(80), tier(0)], [pack('a', 0, 1)]), [], 'room enough');
    const full = [pack('a', 0, 3), pack('b', 0, 1), pack('c', 0, 2), pack('d', 0, 4), pack('e', 0, 5)];
    t.same(movesFor([tier(100), tier(0)], full), [{ path: 'b', to: 1 }]);
    t.same(movesFor([tier(100), tier(100), tier(0)], [...full, ...full.map((one) => pack(`${one.path}2`, 1, one.usedAtMs))]), [
      { path: 'b2', to: 2 },
      { path: 'b', to: 1 },
    ]);
    t.same(movesFor([tier(100), tier(95)], full), [], 'nowhere to go: it stays');
    t.same(movesFor([tier(20), tier(40)], [pack('a', 0, 1), pack('hot', 1, 2, 2.5), pack('once', 1, 3, 1)]), [{ path: 'hot', to: 0 }]);
    t.same(movesFor([tier(80), tier(20)], [pack('hot', 1, 2, 9)]), [], 'not where it would have to go down again');
    t.same(movesFor([tier(0), tier(20, true), tier(90)], [pack('a', 1, 1)]), [{ path: 'a', to: 0 }], 'the slowest that has room');
  },
);

t.test(
  'a place that is full or broken passes on, nothing is written beyond a limit, and what is moved can be read all the while',
  async (t) => {
    const disks = [0, 1].map((index) => new TreacherousFiles(createPrng(index)));
    const tiers = disks.map((files, index) => new Tier({ name: `t${index}`, files, capacityBytes: 100, leaving: false }));
    const files = await TieredFiles.open({ home: new TreacherousFiles(createPrng(9)), tiers, ram: null, clock: systemClock, tenants: [] });
    await files.makeFolder(PACKS);
    const put = (digit: string, bytes: number): Promise<void> => putDurably(files, PACKS, packName(digit), [Buffer.alloc(bytes, digit)]);
    await put('a', 60);
    await put('b', 60);
    t.same(
      tiers.map(({ usedBytes }) => usedBytes),
      [60, 60],
      'the second went to the next',
    );
    await t.rejects(put('c', 60), { code: 'STORE_FULL', message: /t0 has .* free, t1 has .* free/ });
    await put('d', 40);
    disks[0]!.stepsLeft = 0;
    await put('e', 40);
    t.match(tiers[0]!.problem, null, 'it was full, so nobody tried');
    disks[0]!.stepsLeft = Number.POSITIVE_INFINITY;
    await files.remove(`${PACKS}/${packName('e')}`);
    const reading = Promise.all(Array.from({ length: 20 }, () => files.read(`${PACKS}/${packName('d')}`, 0, 40)));
    t.equal(await files.balance(), 1, 'the one that fits below');
    t.ok((await reading).every((bytes) => bytes?.equals(Buffer.alloc(40, 'd'))));
    t.same([disks[0]!.paths().length, disks[1]!.paths().length], [1, 2]);
    await files.remove(`${PACKS}/${packName('b')}`);
    disks[0]!.stepsLeft = 0;
    await put('f', 30);
    t.match(tiers[0]!.problem, /write: the power is gone/, 'a broken place passes on, and it is said');
    t.equal(tiers[0]!.freeBytes, 40, 'what was to be written there counts no more');
  },
);

t.test('a disk that is not mounted is told from an empty one; a place no longer named is read, emptied and forgotten', async (t) => {
  const homeDir = join(folder, 'home');
  const [fast, slow] = [join(folder, 'fast'), join(folder, 'slow')];
  const open = async (...asked: string[]) => {
    const home = openLocalFiles(homeDir);
    const opened = await openTiers({ homeDir, home, asked: parseTiers(asked), clock: systemClock, tenants: ['tenant'] });
    const close = async (): Promise<void> => {
      await opened?.close();
      await home.close();
    };
    return { opened, close };
  };
  t.equal((await open()).opened, null, 'as before there were tiers');
  await t.rejects(open(`${join(folder, 'nowhere', 'deep')}=1GiB`), { code: 'CONFIG_INVALID', message: /cannot be used/ });
  // The home folder is made with the first place.
  await t.rejects(open(`${join(homeDir, 'fast')}=1GiB`), { code: 'CONFIG_INVALID', message: /lie in one another/ });
  const first = await open(`${fast}=1GiB`, `${slow}=1GiB`);
  await first.opened!.files.makeFolder(PACKS);
  await putDurably(first.opened!.files, PACKS, packName('a'), [Buffer.from('pack')]);
  await first.close();
  t.same(readdirSync(join(fast, PACKS)), [packName('a')]);
  renameSync(fast, `${fast}-unmounted`);
  mkdirSync(fast);
  const away = await open(`${fast}=1GiB`, `${slow}=1GiB`);
  t.match(away.opened!.problems, [/is its disk mounted/]);
  await putDurably(away.opened!.files, PACKS, packName('b'), [Buffer.from('other')]);
  await away.close();
  t.same(readdirSync(fast), [], 'nothing is written beneath it');
  rmSync(fast, { recursive: true });
  renameSync(`${fast}-unmounted`, fast);
  const gone = await open();
  t.same(gone.opened!.problems, []);
  const { files } = gone.opened!;
  t.match(await files.read(`${PACKS}/${packName('a')}`, 0, 4), Buffer.from('pack'), 'named no longer, and read');
  t.equal(await files.balance(), 2);
  await gone.close();
  t.same(readdirSync(join(homeDir, PACKS)).toSorted(), [packName('a'), packName('b')], 'and emptied');
  await (await open()).close();
  t.same(JSON.parse(readFileSync(join(homeDir, '.tiers.json'), 'utf8')).marks, {});
  writeFileSync(join(slow, '.headroom-tier'), JSON.stringify({ home: 'somebody', mark: 'x' }));
  await t.rejects(open(`${slow}=1GiB`), { code: 'CONFIG_INVALID', message: /another host's snapshots/ });
});

t.test('records in memory: the ones unused for longest go first, and never more than the budget', async (t) => {
  const cache = new RamCache(100);
  for (const key of ['a', 'b', 'c']) cache.put(key, Buffer.alloc(40));
  t.same([cache.get('a'), cache.usedBytes], [undefined, 80]);
  cache.get('b');
  cache.put('d', Buffer.alloc(40));
  t.ok(cache.get('b') !== undefined && cache.get('c') === undefined);
  cache.put('huge', Buffer.alloc(101));
  t.equal(cache.usedBytes, 80);
});

t.test('a suspension that fits nowhere: the VM goes on, and libvirt is not asked to save it beyond the limits instead', async (t) => {
  const calls: string[] = [];
  const call = (name: string) => async () => void calls.push(name);
  const snapshotter = {
    inspect: async () => ({ recipe: 'memory-file', memoryPath: '/nowhere', memoryBytes: 65_536, machine: {} }),
    ...{ pause: call('pause'), goOn: call('goOn'), save: call('save'), end: call('end') },
    ...{ power: async () => 'paused', deviceState: async () => Buffer.alloc(1) },
  };
  const store = { save: () => Promise.reject(new HeadroomError('STORE_FULL', 'no place for 3.0 MiB')) };
  const deps = { snapshotter, store, clock: systemClock } as unknown as SuspendDeps;
  await t.rejects(suspendVm(deps, vmId('6f1b0000-0000-4000-8000-000000000001'), null), { code: 'STORE_FULL' });
  t.same(calls, ['pause', 'goOn']);
});
