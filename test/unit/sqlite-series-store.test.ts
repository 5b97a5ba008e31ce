/**
 * Goal: what is particular to the embedded series store: retention and the byte budget in files, damage put aside, nothing
 * lost by reopening, refusals that say why.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openSqliteSeriesStore, type SqliteSeriesStoreOptions } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import type { NodeClock } from '../../simulation/clock.ts';
import {
  BIN_MS,
  block,
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  rowsOf,
  START_MS,
  standingClock,
  VM_A,
  VM_B,
} from '../contract/series-store-contract.ts';

const CPU = 'vm_cpu.usageCores';
const COUNT = `${CPU}:count`;

interface Fixture {
  clock: NodeClock;
  directory: string;
  reports: string[];
  open(more?: Partial<SqliteSeriesStoreOptions>): Promise<SeriesStore>;
}

function fixture(t: Test): Fixture {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-series-'));
  const clock = standingClock();
  const reports: string[] = [];
  const stores: SeriesStore[] = [];
  t.teardown(async () => {
    for (const store of stores) await store.close();
    rmSync(directory, { recursive: true });
  });
  return {
    clock,
    directory,
    reports,
    async open(more = {}) {
      const store = await openSqliteSeriesStore({ directory, clock, groupMs: 1, onReport: (message) => reports.push(message), ...more });
      stores.push(store);
      return store;
    },
  };
}

const files = (directory: string, tier: string): string[] =>
  readdirSync(directory).filter((name) => name.startsWith(`${tier}-`) && name.endsWith('.db'));

async function rows(store: SeriesStore, fields: readonly string[], resolution: 'raw' | '5m' | '1h', subject = VM_A): Promise<number[][]> {
  const all = { fromMs: START_MS - 1000 * DAY_MS, toMs: START_MS + 1000 * DAY_MS };
  return rowsOf(await store.query({ subject, source: 'host', fields, ...all, resolution }), fields);
}

/** One row each five minutes for so long, with the clock, and upkeep each hour. */
async function live(store: SeriesStore, clock: NodeClock, forMs: number): Promise<void> {
  for (let passedMs = 0; passedMs < forMs; passedMs += BIN_MS) {
    await store.append([block(VM_A, [CPU], [[clock.wallMs(), 1]])]);
    clock.stepWall(BIN_MS);
    if (passedMs % HOUR_MS === 0) await store.maintain(clock.wallMs());
  }
}

t.test('rows go after their retention, their statistics stay for theirs', async (t) => {
  const { open, clock, directory } = fixture(t);
  const store = await open({ rawRetentionMs: 3 * HOUR_MS, fiveMinuteRetentionMs: 8 * DAY_MS, hourRetentionMs: 400 * DAY_MS });
  await live(store, clock, 10 * HOUR_MS);
  const kept = await rows(store, [CPU], 'raw');
  t.ok(kept[0]![0]! >= clock.wallMs() - 5 * HOUR_MS, 'old rows are gone');
  t.ok(kept.length >= 36, 'those within the retention are there');
  t.ok(files(directory, 'raw').length <= 5);
  t.equal((await store.status()).rawFromMs, kept[0]![0]);
  t.equal((await rows(store, [COUNT], '5m')).length, 120);
  t.same(
    await rows(store, [COUNT], '1h'),
    Array.from({ length: 10 }, (_, i) => [START_MS + i * HOUR_MS, 12]),
  );
  clock.stepWall(20 * DAY_MS);
  await live(store, clock, HOUR_MS);
  await store.maintain(clock.wallMs());
  t.equal((await rows(store, [COUNT], '5m')).length, 12, 'statistics of bins are gone too');
  t.equal((await rows(store, [COUNT], '1h')).length, 11, 'those of hours are not');
  t.same((await store.status()).dropped, {}, 'what retention takes is not a loss');
});

t.test('a clock that jumps ahead empties nothing', async (t) => {
  const { open, clock } = fixture(t);
  const store = await open();
  await live(store, clock, HOUR_MS);
  clock.stepWall(3000 * DAY_MS);
  await store.maintain(clock.wallMs());
  t.equal((await rows(store, [CPU], 'raw')).length, 12);
});

t.test('the byte budget wins over retention, and says what it took', async (t) => {
  const { open, clock, directory, reports } = fixture(t);
  const bytesMax = 3_000_000;
  const store = await open({ bytesMax, groupMs: 1 });
  const fields = Array.from({ length: 40 }, (_, i) => `vm_cpu.field${i}`);
  let appended = 0;
  for (let bin = 0; bin < 60; bin++) {
    // Values of full precision hardly compress: about 64 KiB each bin.
    const from = clock.wallMs() - BIN_MS;
    const noise = Array.from({ length: 200 }, (_, i) => [from + i * 1500, ...fields.map((_, j) => Math.sin(bin * 1e5 + i * 41 + j))]);
    await store.append([block(VM_A, fields, noise)]);
    appended += noise.length;
    clock.stepWall(BIN_MS);
    if (bin % 4 === 3) await store.maintain(clock.wallMs());
  }
  await store.maintain(clock.wallMs());
  const { dropped, bytes, rawFromMs } = await store.status();
  const onDisk = readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  t.ok(bytes <= bytesMax, `${bytes} bytes`);
  t.ok(onDisk <= bytesMax + 500_000, `${onDisk} bytes on disk`);
  const left = (await rows(store, [fields[0]!], 'raw')).length;
  t.ok(left > 0);
  t.equal(dropped['byte-budget'], appended - left, 'each row that is gone was counted');
  t.ok(rawFromMs! > START_MS);
  t.ok(reports.some((message) => message.includes('byte budget')));
  t.equal(
    (await rows(store, [`${fields[0]}:count`], '5m')).reduce((sum, [, count]) => sum + count!, 0),
    appended,
    'statistics cover all',
  );
});

t.test('rows for a time that the budget took are too late', async (t) => {
  const { open, clock } = fixture(t);
  const store = await open({ bytesMax: 200_000 });
  await live(store, clock, 2 * HOUR_MS);
  await store.maintain(clock.wallMs());
  const { rawFromMs } = await store.status();
  t.ok(rawFromMs! > START_MS);
  await store.append([block(VM_A, [CPU], [[clock.wallMs() - 119 * MINUTE_MS, 5]])]);
  t.equal((await store.status()).dropped['too-late'], 1);
});

t.test('a damaged slice is put aside; everything else goes on, and its time takes rows again', async (t) => {
  const { open, clock, directory, reports } = fixture(t);
  let store = await open();
  await live(store, clock, 2 * HOUR_MS);
  clock.stepWall(10 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  await store.close();
  const [damaged] = files(directory, 'raw').sort();
  writeFileSync(join(directory, damaged!), 'no database at all'.repeat(1000));
  store = await open();
  const left = await rows(store, [CPU], 'raw');
  t.equal(left.length, 12, 'the other hour is there');
  t.equal((await rows(store, [COUNT], '5m')).length, 24, 'the statistics are there');
  t.ok(existsSync(join(directory, `${damaged}.damaged`)));
  t.ok(reports.some((message) => message.includes(damaged!) && message.includes('put aside')));
  t.ok((await store.status()).problems.some((problem) => problem.includes(damaged!)));
  await store.append([block(VM_B, [CPU], [[START_MS + 30 * MINUTE_MS, 4]])]);
  clock.stepWall(20 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  t.same(await rows(store, [CPU], 'raw', VM_B), [[START_MS + 30 * MINUTE_MS, 4]]);
});

t.test('damage found while reading is put aside as well', async (t) => {
  const { open, clock, directory, reports } = fixture(t);
  let store = await open();
  await live(store, clock, 2 * HOUR_MS);
  clock.stepWall(10 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  await store.close();
  const path = join(directory, files(directory, 'raw').sort()[0]!);
  const bytes = readFileSync(path);
  // The first page says that this is a database; all behind the pages of names is gone.
  bytes.fill(0xee, 3 * 16384);
  writeFileSync(path, bytes);
  store = await open();
  t.equal((await rows(store, [CPU], 'raw')).filter(([time]) => time! >= START_MS + HOUR_MS).length, 12);
  t.ok(reports.length > 0);
  await store.append([block(VM_A, [CPU], [[clock.wallMs(), 4]])]);
  t.equal((await rows(store, [CPU], 'raw')).at(-1)?.[1], 4);
});

t.test('a damaged batch log is put aside', async (t) => {
  const { open, clock, directory, reports } = fixture(t);
  let store = await open();
  await live(store, clock, 2 * HOUR_MS);
  await store.close();
  for (const side of ['-wal', '-shm']) rmSync(join(directory, `batch-log.db${side}`), { force: true });
  writeFileSync(join(directory, 'batch-log.db'), Buffer.alloc(100_000, 7));
  store = await open();
  t.ok((await rows(store, [CPU], 'raw')).length >= 20);
  t.ok(reports.some((message) => message.includes('batch log')));
  await store.append([block(VM_A, [CPU], [[clock.wallMs(), 4]])]);
});

t.test('nothing readable at all is refused, and nothing is touched', async (t) => {
  const { open, clock, directory } = fixture(t);
  const store = await open();
  await live(store, clock, 30 * MINUTE_MS);
  await store.close();
  const names = readdirSync(directory).filter((name) => name.endsWith('.db'));
  for (const name of names) writeFileSync(join(directory, name), Buffer.alloc(50_000, 9));
  await t.rejects(open(), { code: 'STORE_CORRUPT', message: /none of the \d+ files/ });
  t.same(
    readdirSync(directory).filter((name) => name.endsWith('.db')),
    names,
  );
});

t.test('files of a newer version and of other programs are refused', async (t) => {
  for (const [change, message] of [
    ['PRAGMA user_version=2', /written by a newer Headroom \(schema 2/],
    ['PRAGMA application_id=42', /a database of another kind/],
  ] as const) {
    const { open, clock, directory } = fixture(t);
    const store = await open();
    await live(store, clock, 30 * MINUTE_MS);
    await store.close();
    const db = new DatabaseSync(join(directory, files(directory, '5m')[0]!));
    db.exec(change);
    db.close();
    await t.rejects(open(), { code: 'STORE_UNAVAILABLE', message });
  }
});

t.test('a directory has one owner', async (t) => {
  const { open } = fixture(t);
  const store = await open();
  await t.rejects(open(), { code: 'STORE_UNAVAILABLE', message: /no other aggregator/ });
  await store.close();
  await open();
});

t.test('a directory that cannot be made is told', async (t) => {
  const { clock } = fixture(t);
  await t.rejects(openSqliteSeriesStore({ directory: '/dev/null/store', clock }), { code: 'STORE_UNAVAILABLE' });
});

t.test('limits that cannot work are refused', async (t) => {
  const { open } = fixture(t);
  await t.rejects(open({ bytesMax: 0 }), { code: 'CONFIG_INVALID' });
  await t.rejects(open({ rawRetentionMs: HOUR_MS }), { code: 'CONFIG_INVALID' });
});

t.test('a full batch log refuses appends until sealing has made room', async (t) => {
  const { open, clock } = fixture(t);
  const store = await open({ logBytesMax: 600_000 });
  const big = (n: number) =>
    block(
      VM_A,
      [CPU],
      Array.from({ length: 15_000 }, (_, i) => [clock.wallMs() - 20_000 + i, n]),
    );
  await store.append([big(1)]);
  await store.append([big(2)]);
  await t.rejects(store.append([big(3)]), { code: 'STORE_FULL' });
  t.equal((await rows(store, [CPU], 'raw'))[0]?.[1], 2, 'nothing of what was refused is kept');
  clock.stepWall(10 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  await store.append([big(4)]);
  t.equal((await rows(store, [CPU], 'raw')).at(-1)?.[1], 4);
});

t.test('appends beyond the queue are refused and counted; those taken are stored', async (t) => {
  const { open, clock } = fixture(t);
  const store = await open({ queueBytesMax: 100_000 });
  const part = (n: number) =>
    store.append([
      block(
        VM_A,
        [CPU],
        Array.from({ length: 1000 }, (_, i) => [clock.wallMs() - n * 1000 - i, n]),
      ),
    ]);
  const results = await Promise.allSettled(Array.from({ length: 12 }, (_, n) => part(n)));
  const refused = results.filter((result) => result.status === 'rejected');
  t.ok(refused.length > 0 && refused.length < 12);
  for (const { reason } of refused) t.match(reason, { code: 'STORE_UNAVAILABLE' });
  t.equal((await store.status()).dropped['queue-full'], refused.length * 1000);
  t.equal((await rows(store, [CPU], 'raw')).length, (12 - refused.length) * 1000);
});

t.test('hours still to be summed up are summed up after reopening', async (t) => {
  const { open, clock } = fixture(t);
  let store = await open();
  await live(store, clock, 50 * MINUTE_MS);
  clock.stepWall(5 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  await store.close();
  clock.stepWall(HOUR_MS);
  store = await open();
  t.same(await rows(store, [COUNT], '1h'), [[START_MS, 10]], 'before');
  await store.maintain(clock.wallMs());
  t.same(await rows(store, [COUNT], '1h'), [[START_MS, 10]], 'after');
  await store.close();
  // The rows are gone: only what was summed up can answer.
  clock.stepWall(60 * HOUR_MS);
  store = await open();
  await live(store, clock, HOUR_MS);
  await store.maintain(clock.wallMs());
  t.same((await rows(store, [COUNT], '1h'))[0], [START_MS, 10], 'when the rows are gone');
});

t.test('rows read again after a long outage join statistics that were chunked meanwhile', async (t) => {
  const { open, clock } = fixture(t);
  let store = await open();
  await live(store, clock, HOUR_MS);
  await store.close();
  clock.stepWall(DAY_MS);
  store = await open();
  await store.maintain(clock.wallMs());
  clock.stepWall(10 * MINUTE_MS);
  await store.maintain(clock.wallMs());
  await store.maintain(clock.wallMs());
  t.same(
    await rows(store, [COUNT], '5m'),
    Array.from({ length: 12 }, (_, i) => [START_MS + i * BIN_MS, 1]),
  );
});

t.test('after closing, calls are refused', async (t) => {
  const { open } = fixture(t);
  const store = await open();
  await store.close();
  await store.close();
  await t.rejects(store.append([block(VM_A, [CPU], [[START_MS, 1]])]), { code: 'STORE_UNAVAILABLE' });
});
