/**
 * Goal: with a real InfluxDB that is killed, refuses, is slow to take or takes only a part, nothing acknowledged is lost,
 * nothing is doubled in what queries return, and what was dropped is counted. Wrong credentials and wrong kinds of server
 * are told in words that help.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openSeriesStore } from '../../aggregator/open-series-store.ts';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openVictoriaSeriesStore } from '../../aggregator/store/victoria/victoria-series-store.ts';
import { resolveStore } from '../../aggregator/store-config.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { BIN_MS, block, HOST, rowsOf, VM_A } from '../contract/series-store-contract.ts';
import { type Fate, type HttpProxy, type SeenRequest, startHttpProxy } from '../support/http-proxy.ts';
import { influxQuery, startInfluxDb } from '../support/influxdb.ts';
import { startVictoriaMetrics } from '../support/victoria-metrics.ts';

const clock = systemClock;
const HOUR_MS = 3_600_000;
const CPU = 'vm_cpu.usageCores';
const COUNT = `${CPU}:count`;
const nowMs = (): number => Math.floor(Date.now());

const server = await startInfluxDb();
t.teardown(() => server.stop());
let databases = 0;

interface Opened {
  store: SeriesStore;
  proxy: HttpProxy;
  database: string;
  reports: string[];
  writes: () => SeenRequest[];
}

/** A store behind a proxy that lets everything pass but writes, of which `fateOf` decides, counted from 0. */
async function behindProxy(
  t: Test,
  fateOf: (write: number) => Fate,
  more: { retryForMs?: number; waitingMax?: number } = {},
): Promise<Opened> {
  let writes = 0;
  const isWrite = ({ path }: SeenRequest): boolean => path.startsWith('/write');
  const proxy = await startHttpProxy(server.url, (request) => (isWrite(request) ? fateOf(writes++) : 'pass'));
  const database = `faults_${databases++}`;
  const reports: string[] = [];
  const store = await openInfluxSeriesStore({
    url: proxy.url,
    database,
    clock,
    prng: createPrng(1),
    onReport: (message) => reports.push(message),
    ...more,
  });
  t.teardown(async () => {
    await store.close();
    await proxy.stop();
  });
  return { store, proxy, database, reports, writes: () => proxy.seen.filter(isWrite) };
}

async function rows(store: SeriesStore, fromMs: number, resolution: 'raw' | '5m' = 'raw', fields = [CPU]): Promise<number[][]> {
  const result = await store.query({ subject: VM_A, source: 'host', fields, fromMs, toMs: nowMs() + BIN_MS, resolution });
  return rowsOf(result, fields);
}

t.test('503 and 429 are tried again, as long after as the server says; one request per append when all is well', async (t) => {
  const fates: Fate[] = ['pass', { status: 503 }, { status: 429, headers: { 'retry-after': '1' } }, 'pass'];
  const { store, writes } = await behindProxy(t, (write) => fates[write] ?? 'pass');
  const at = nowMs() - 60_000;
  await store.append([block(VM_A, [CPU], [[at, 1]]), block(HOST, ['host_cpu.usageCores'], [[at, 1]])]);
  t.equal(writes().length, 1);
  const startMs = performance.now();
  await store.append([block(VM_A, [CPU], [[at + 1000, 2]])]);
  t.ok(performance.now() - startMs >= 1000, 'Retry-After was kept');
  t.equal(writes().length, 4);
  t.same(await rows(store, at), [
    [at, 1],
    [at + 1000, 2],
  ]);
  t.same((await store.status()).dropped, {});
});

t.test('after a start only bins that can hold rows are summed up anew', async (t) => {
  const { proxy, store, database } = await behindProxy(t, () => 'pass');
  const sums = (): number =>
    proxy.seen.filter(({ body }) => /percentile/.test(decodeURIComponent(body.toString().replaceAll('+', ' ')))).length;
  await store.maintain(nowMs());
  t.equal(sums(), 0, 'none where there is nothing at all');
  const at = Math.floor(nowMs() / BIN_MS) * BIN_MS - 2 * BIN_MS;
  await store.append([block(VM_A, [CPU], [[at, 1]])]);
  const again = await openInfluxSeriesStore({ url: proxy.url, database, clock, prng: createPrng(1) });
  t.teardown(() => again.close());
  // As if it were 15 s after the second bin: told by the wall clock, a bin that ended less than 10 s ago would not count yet.
  const endMs = at + 2 * BIN_MS;
  await again.maintain(endMs + 15_000);
  const hoursEnded = Math.floor(endMs / HOUR_MS) - Math.floor(at / HOUR_MS);
  // The row's bin and the one after it, the hour where it has ended: two hours would be twenty-four bins.
  t.equal(sums(), 2 + hoursEnded);
  t.same(await rows(again, at, '5m', [CPU]), [[at, 1]]);
});

t.test('an answer that is lost on the way: written twice, there once', async (t) => {
  const fates: Fate[] = ['lose-answer', 'cut', 'lose-answer', 'pass'];
  const { store, writes } = await behindProxy(t, (write) => fates[write] ?? 'pass');
  const at = Math.floor(nowMs() / BIN_MS) * BIN_MS - BIN_MS;
  await store.append([
    block(
      VM_A,
      [CPU],
      [
        [at, 1],
        [at + 1000, 3],
      ],
    ),
  ]);
  t.equal(writes().length, 4);
  t.same(await rows(store, at), [
    [at, 1],
    [at + 1000, 3],
  ]);
  t.same(await rows(store, at, '5m', [CPU, COUNT]), [[at, 2, 2]]);
});

t.test('a server that stays away: the append is given back, memory is bounded, later all is as if nothing had been', async (t) => {
  let away = true;
  const { store, reports } = await behindProxy(t, () => (away ? { status: 503, body: 'busy' } : 'pass'), {
    retryForMs: 700,
    waitingMax: 10_000,
  });
  const at = nowMs() - 60_000;
  const big = block(
    VM_A,
    [CPU],
    Array.from({ length: 300 }, (_, i) => [at + i, i]),
  );
  const first = store.append([big]);
  await t.rejects(store.append([block(VM_A, [CPU], [[at, 1]])]), { code: 'STORE_UNAVAILABLE', message: /bytes wait to be stored/ });
  await t.rejects(first, { code: 'STORE_UNAVAILABLE', message: /503: busy/ });
  t.match(reports, [/rows are not stored/]);
  t.match((await store.status()).problems, [/^now: rows are not stored/]);
  away = false;
  await store.append([big]);
  t.same((await rows(store, at)).length, 300);
  t.same((await store.status()).problems, []);
});

t.test('a partial write is done: good lines are in, the refused ones counted, nothing is sent again', async (t) => {
  const { store, writes, database, reports } = await behindProxy(t, () => 'pass');
  // Within one minute: InfluxDB keeps the types of fields by shard, and at the full hour the next one begins.
  const at = Math.floor(nowMs() / 60_000 - 1) * 60_000;
  // Somebody else's lines have made this field a text.
  await fetch(`${server.url}/write?db=${database}&rp=raw&precision=ms`, {
    method: 'POST',
    body: `vm_disk,source=host,vm=x readIops="many" ${at}`,
  });
  await store.append([
    block(
      VM_A,
      [CPU, 'vm_disk.readIops'],
      [
        [at, 1, 10],
        [at + 1000, 2, 20],
      ],
    ),
  ]);
  t.equal(writes().length, 1);
  t.same(await rows(store, at), [
    [at, 1],
    [at + 1000, 2],
  ]);
  t.same((await store.status()).dropped, { 'field-type-conflict': 2 });
  t.match(reports, [/2 lines were refused for good \(field-type-conflict\), the others are stored/]);
  t.match((await store.status()).problems, [/field-type-conflict/]);
});

t.test('a whole batch refused for one line: that line is found and dropped, the others are stored', async (t) => {
  const database = `faults_${databases++}`;
  // As versions 2 and 3 do when they do not accept parts.
  const proxy = await startHttpProxy(server.url, ({ path, body }) =>
    path.startsWith('/write') && body.includes('usageCores=13 ') ? { status: 400, body: '{"code":"invalid"}' } : 'pass',
  );
  t.teardown(() => proxy.stop());
  const store = await openInfluxSeriesStore({ url: proxy.url, database, gzip: false, clock, prng: createPrng(1) });
  t.teardown(() => store.close());
  const at = nowMs() - 60_000;
  await store.append([
    block(
      VM_A,
      [CPU],
      Array.from({ length: 40 }, (_, i) => [at + i, i]),
    ),
  ]);
  t.same(
    (await rows(store, at)).map(([, value]) => value),
    Array.from({ length: 40 }, (_, i) => i).filter((i) => i !== 13),
  );
  t.same((await store.status()).dropped, { 'refused-by-server': 1 });
});

t.test('the database is dropped under way: it is made again, with its policies', async (t) => {
  const { store, database } = await behindProxy(t, () => 'pass', { retryForMs: 500 });
  await influxQuery(server.url, database, `DROP DATABASE "${database}"`);
  const at = nowMs() - 60_000;
  await t.rejects(store.append([block(VM_A, [CPU], [[at, 1]])]), { code: 'STORE_UNAVAILABLE', message: /database not found/ });
  await store.append([block(VM_A, [CPU], [[at, 1]])]);
  t.same(await rows(store, at), [[at, 1]]);
  t.match(await influxQuery(server.url, database, `SHOW RETENTION POLICIES ON "${database}"`), {
    results: [
      { series: [{ values: [['autogen'], ['raw', '48h0m0s', '1h0m0s', 1, true], ['5m', '2160h0m0s', '24h0m0s'], ['1h', '17520h0m0s']] }] },
    ],
  });
});

t.test('kill -9 during ingest, and again: everything acknowledged is there, once, and in the statistics', async (t) => {
  const own = await startInfluxDb();
  t.teardown(() => own.stop());
  const store = await openInfluxSeriesStore({ url: own.url, database: 'killed', clock, prng: createPrng(3), retryForMs: 20_000 });
  t.teardown(() => store.close());
  const seed = 20260701;
  const random = createPrng(seed);
  const base = Math.floor(nowMs() / BIN_MS) * BIN_MS - 2 * BIN_MS;
  const acknowledged: number[] = [];
  let next = 0;
  let writing = true;
  const writer = async (): Promise<void> => {
    while (writing) {
      const n = next++;
      const wide = Array.from({ length: 20 }, (_, i) => [base + n * 40 + i, n]);
      await store.append([block(VM_A, [CPU], wide)]);
      acknowledged.push(n);
    }
  };
  const writers = [writer(), writer(), writer()];
  for (let round = 0; round < 3; round++) {
    const enough = acknowledged.length + 30 + random.below(60);
    while (acknowledged.length < enough) await new Promise((resolve) => setTimeout(resolve, 2));
    await own.kill();
    await own.start();
  }
  writing = false;
  await Promise.all(writers);
  const stored = await rows(store, base - BIN_MS);
  const byNumber = Map.groupBy(stored, ([, n]) => n!);
  const lost = acknowledged.filter((n) => byNumber.get(n)?.length !== 20);
  t.same(lost, [], `${acknowledged.length} appends acknowledged (seed ${seed})`);
  t.equal(stored.length, next * 20, 'nothing else and nothing twice');
  const counted = async (): Promise<number> =>
    (await rows(store, base - BIN_MS, '5m', [COUNT])).reduce((sum, [, count]) => sum + count!, 0);
  t.equal(await counted(), next * 20);
  await store.maintain(nowMs());
  t.equal(await counted(), next * 20, 'the same from stored statistics');
});

t.test('a byte budget wins over the retention, and says so: the oldest rows go, statistics and the present stay', async (t) => {
  const database = `faults_${databases++}`;
  const bytesMax = 1_500_000;
  const reports: string[] = [];
  const store = await openInfluxSeriesStore({
    ...{ url: server.url, database, clock, prng: createPrng(1), bytesMax, lateMs: 12 * HOUR_MS },
    onReport: (message) => reports.push(message),
  });
  t.teardown(() => store.close());
  const random = createPrng(9);
  const fields = Array.from({ length: 10 }, (_, i) => `vm_cpu.field${i}`);
  const thisHour = Math.floor(nowMs() / HOUR_MS) * HOUR_MS;
  for (let hour = 6; hour >= 0; hour--) {
    const times = Array.from({ length: 2000 }, (_, i) => thisHour - hour * HOUR_MS + (hour === 0 ? i : i * 1000));
    await store.append([
      block(
        VM_A,
        fields,
        times.map((time) => [time, ...fields.map(() => random.next())]),
      ),
    ]);
  }
  const counted = async (fromMs: number, toMs: number): Promise<number> => {
    const range = { subject: VM_A, source: 'host', fields: ['vm_cpu.field0'], fromMs, toMs, resolution: 'raw' } as const;
    return (await store.query(range)).timesMs.length;
  };
  const before = await store.status();
  t.ok(before.bytes > bytesMax, `${before.bytes} bytes`);
  t.equal(await counted(thisHour - 6 * HOUR_MS, thisHour + HOUR_MS), 14_000);
  await store.maintain(nowMs());
  const after = await store.status();
  t.ok(after.bytes <= bytesMax, `${after.bytes} bytes are left`);
  t.equal(await counted(thisHour - 6 * HOUR_MS, thisHour - 5 * HOUR_MS), 0, 'the oldest hour is gone');
  t.equal(await counted(thisHour, thisHour + HOUR_MS), 2000, 'the present is not');
  t.ok(after.rawFromMs! > before.rawFromMs!);
  t.match(reports, [/^rows before .* were given up: seriesBytesMax is 1500000/]);
  t.match(after.problems, [/^rows before .* were given up/]);
});

t.test('a new start sums up what the last one had left', async (t) => {
  const database = `faults_${databases++}`;
  const open = () => openInfluxSeriesStore({ url: server.url, database, clock, prng: createPrng(1) });
  const bin = Math.floor(nowMs() / BIN_MS) * BIN_MS - 6 * BIN_MS;
  const first = await open();
  await first.append([
    block(
      VM_A,
      [CPU],
      [
        [bin, 1],
        [bin + 1000, 5],
      ],
    ),
  ]);
  await first.close();
  const second = await open();
  t.teardown(() => second.close());
  for (let i = 0; i < 4; i++) await second.maintain(nowMs());
  t.match(await influxQuery(server.url, database, `SELECT "usageCores:mean", "usageCores:count" FROM "5m"."vm_cpu"`), {
    results: [{ series: [{ values: [[bin, 3, 2]] }] }],
  });
});

t.test('who is there and who may: told in words', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-store-'));
  const locked = await startInfluxDb({ auth: true });
  const victoria = await startVictoriaMetrics([]);
  t.teardown(async () => {
    await Promise.all([locked.stop(), victoria.stop()]);
    rmSync(folder, { recursive: true });
  });
  await influxQuery(locked.url, '', `CREATE USER "admin" WITH PASSWORD 'it\\'s secret' WITH ALL PRIVILEGES`);
  const secretFile = join(folder, 'secret');
  writeFileSync(secretFile, "it's secret\n");
  const opened = (store: unknown): Promise<SeriesStore> =>
    openSeriesStore({
      config: { store: resolveStore(store), dataDir: folder, seriesBytesMax: null, rawRetentionMs: null },
      clock,
      prng: createPrng(1),
      onReport: () => undefined,
    });
  const basic = { scheme: 'basic', username: 'admin', secretFile };
  const store = await opened({ kind: 'influxdb', url: locked.url, auth: basic });
  const at = nowMs() - 1000;
  await store.append([block(VM_A, [CPU], [[at, 1]])]);
  t.same(await rows(store, at), [[at, 1]]);
  await store.close();
  await t.rejects(opened({ kind: 'influxdb', url: locked.url }), { code: 'PERMISSION', message: /401.*store\.auth/ });
  await t.rejects(opened({ kind: 'influxdb', url: locked.url, auth: { scheme: 'token', secretFile } }), { code: 'PERMISSION' });
  await t.rejects(opened({ kind: 'influxdb', url: locked.url, auth: { ...basic, secretFile: `${folder}/none` } }), {
    code: 'CONFIG_INVALID',
    message: /secretFile .*none cannot be read/,
  });
  await t.rejects(opened({ kind: 'influxdb', url: 'http://127.0.0.1:9' }), {
    code: 'STORE_UNAVAILABLE',
    message: /127\.0\.0\.1:9 cannot be reached/,
  });
  await t.rejects(opened({ kind: 'influxdb', url: victoria.url }), {
    code: 'CONFIG_INVALID',
    message: /another kind of server.*victoriametrics/,
  });
  await t.rejects(opened({ kind: 'victoriametrics', url: locked.url }), { code: 'CONFIG_INVALID', message: /InfluxDB/ });
  await t.rejects(opened({ kind: 'victoriametrics', url: 'ftp://x' }), { code: 'CONFIG_INVALID', message: /store\.url is "ftp:\/\/x"/ });
  const other = await openVictoriaSeriesStore({ url: victoria.url, database: 'h', clock, prng: createPrng(1) });
  t.match((await other.status()).problems, [/dedup\.minScrapeInterval/]);
  await other.close();
});

t.test('requests beyond this machine are compressed, credentials go with every one of them', async (t) => {
  const { proxy, database } = await behindProxy(t, () => 'pass');
  const store = await openInfluxSeriesStore({
    url: proxy.url,
    database,
    gzip: true,
    credentials: { scheme: 'bearer', secret: 'abc' },
    clock,
    prng: createPrng(1),
  });
  t.teardown(() => store.close());
  const at = nowMs() - 60_000;
  const before = proxy.seen.length;
  await store.append([
    block(
      VM_A,
      [CPU],
      Array.from({ length: 100 }, (_, i) => [at + i, i]),
    ),
  ]);
  t.equal((await rows(store, at)).length, 100);
  const [write, read] = proxy.seen.slice(before);
  t.match(write?.headers, { 'content-encoding': 'gzip', authorization: 'Bearer abc' });
  t.match(read?.headers, { authorization: 'Bearer abc' });
});
