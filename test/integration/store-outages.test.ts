/**
 * Goal: an agent's connection, an aggregator process and a real InfluxDB, each killed with kill -9 while rows flow, with
 * refusals and lost answers in between: nothing acknowledged is lost, nothing is there twice, and at the end everything is
 * there. The aggregator starts without its store and says so. The same for the embedded store and kills of the aggregator.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { BIN_MS, rowsOf } from '../contract/series-store-contract.ts';
import { freePort } from '../support/free-port.ts';
import { type Fate, startHttpProxy } from '../support/http-proxy.ts';
import { influxQuery, startInfluxDb } from '../support/influxdb.ts';
import { NUMBER, type NumberedRows, numberedRows, VM } from '../support/numbered-rows.ts';
import { type Program, programOf } from '../support/program.ts';

const MAIN = fileURLToPath(new URL('../../aggregator/main.ts', import.meta.url));
const SEED = 20261121;

t.setTimeout(120_000);

interface Served {
  program: Program;
  url: string;
  agents: string;
}

/** The aggregator as a program; it keeps its port over restarts. */
async function aggregator(folder: string, store: object): Promise<Served> {
  const port = await freePort();
  const config = join(folder, 'config.json');
  writeFileSync(
    config,
    JSON.stringify({ listen: { port }, dataDir: join(folder, 'data'), store, stepMs: 2000, planPeriodMs: 500, logLevel: 'error' }),
  );
  const url = `http://127.0.0.1:${port}`;
  const program = programOf({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', MAIN, '--config', config],
    debianPackage: 'nodejs',
    answers: () => fetch(`${url}/healthz`),
  });
  return { program, url, agents: `ws://127.0.0.1:${port}/v1/agents` };
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-outages-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function eventually(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  for (const endMs = Date.now() + 30_000; !(await look()); await new Promise((resolve) => setTimeout(resolve, 25))) {
    if (Date.now() > endMs) throw new Error(`waited in vain until ${what} (seed ${SEED})`);
  }
}

/** What the store holds of the rows, by any reader's way: every acknowledged one, each once, with its own value. */
async function check(t: Test, store: SeriesStore, rows: NumberedRows, acknowledged: readonly number[], when: string): Promise<void> {
  const range = { subject: VM, source: 'host', fromMs: rows.timeOf(0), toMs: rows.timeOf(rows.sent) + BIN_MS } as const;
  const found = rowsOf(await store.query({ ...range, fields: [NUMBER], resolution: 'raw' }), [NUMBER]);
  const numbers = new Set(found.map(([timeMs, value]) => (rows.timeOf(value!) === timeMs ? value! : Number.NaN)));
  t.equal(numbers.size, found.length, `${when}: ${found.length} rows, each once`);
  t.same(
    acknowledged.filter((n) => !numbers.has(n)),
    [],
    `${when}: ${acknowledged.length} acknowledged rows are there (seed ${SEED})`,
  );
  if (acknowledged.length < rows.sent) return;
  // Nothing flows any more: statistics are of the same rows.
  const count = `${NUMBER}:count`;
  const bins = await store.query({ ...range, fromMs: Math.floor(rows.timeOf(0) / BIN_MS) * BIN_MS, fields: [count], resolution: '5m' });
  t.equal(
    rowsOf(bins, [count]).reduce((sum, [, rows]) => sum + rows!, 0),
    found.length,
    `${when}: statistics count the same`,
  );
}

t.test('InfluxDB and the aggregator die under way, and answers are lost', async (t) => {
  const folder = folderOf(t);
  const random = createPrng(SEED);
  const influx = await startInfluxDb();
  t.teardown(() => influx.stop());
  await influx.kill();
  let faults = true;
  const fates: readonly Fate[] = ['lose-answer', 'cut', { status: 503, body: 'busy' }, { status: 429, headers: { 'retry-after': '1' } }];
  const proxy = await startHttpProxy(influx.url, ({ path }) => {
    if (!faults || !path.startsWith('/write') || random.next() > 0.2) return 'pass';
    return fates[random.below(fates.length)]!;
  });
  t.teardown(() => proxy.stop());
  const { program, url, agents } = await aggregator(folder, { kind: 'influxdb', url: proxy.url, database: 'outages' });
  t.teardown(() => program.kill());
  await program.start();
  const rows = numberedRows(agents, createPrng(SEED, 'agent'));
  t.teardown(() => rows.stop());
  const ready = async (): Promise<{ ready: boolean; reason: string }> => (await fetch(`${url}/readyz`)).json() as never;

  await eventually('it says that its store is away', async () => /influxdb is waited for/.test((await ready()).reason));
  t.match(await ready(), { ready: false });
  rows.feed();
  await eventually('rows were sent', () => rows.sent > 200);
  t.same(rows.acknowledged, [], 'nothing is acknowledged while there is no store');
  t.match(await (await fetch(`${url}/v1/status`)).json(), {
    seriesStore: { kind: 'influxdb', problems: [/^now: influxdb is waited for since the start/] },
  });
  await influx.start();
  await eventually('it goes on once InfluxDB answers', async () => rows.acknowledged.length > 200 && (await ready()).ready);

  const own = await openInfluxSeriesStore({ url: influx.url, database: 'outages', clock: systemClock, prng: createPrng(1) });
  t.teardown(() => own.close());
  const deaths = [[program], [influx], [program, influx]];
  for (const [round, dying] of deaths.entries()) {
    const enough = rows.acknowledged.length + 200 + random.below(200);
    await eventually('more rows were acknowledged', () => rows.acknowledged.length > enough);
    await Promise.all(dying.map((each) => each.kill()));
    const acknowledged = [...rows.acknowledged];
    for (const each of [...dying].reverse()) await each.start();
    await check(t, own, rows, acknowledged, `death ${round + 1}`);
  }
  faults = false;
  rows.rest();
  await eventually('everything was acknowledged', () => rows.acknowledged.length === rows.sent);
  await check(t, own, rows, rows.acknowledged, 'at the end');

  // Somebody else's line has made a field a text: InfluxDB takes a part of what is sent from now on.
  const partly = rows.timeOf(rows.sent);
  await fetch(`${influx.url}/write?db=outages&rp=raw&precision=ms`, {
    method: 'POST',
    body: `vm_disk,source=host,vm=x readIops="many" ${partly}`,
  });
  const before = proxy.seen.length;
  const numbers = rows.sendPartlyRefused(40);
  await eventually('they were acknowledged', () => rows.acknowledged.length === rows.sent);
  await check(t, own, rows, rows.acknowledged, 'after a partial write');
  const carrying = proxy.seen.slice(before).filter(({ body }) => body.includes(`usageCores=${numbers[0]} `));
  t.equal(carrying.length, 1, 'what is stored in part is not sent again');
  const { seriesStore } = (await (await fetch(`${url}/v1/status`)).json()) as { seriesStore: { problems: string[] } };
  t.match(seriesStore.problems.join('\n'), /40 lines were refused for good \(field-type-conflict\)/);
  t.match(await influxQuery(influx.url, 'outages', 'SELECT count("usageCores") FROM "raw"."vm_cpu"'), {
    results: [{ series: [{ values: [[0, rows.sent]] }] }],
  });
});

t.test('the aggregator dies under way, its store is embedded', async (t) => {
  const folder = folderOf(t);
  const { program, agents } = await aggregator(folder, { kind: 'sqlite' });
  t.teardown(() => program.kill());
  await program.start();
  const random = createPrng(SEED, 'embedded');
  const rows = numberedRows(agents, createPrng(SEED, 'agent'));
  t.teardown(() => rows.stop());
  rows.feed();
  const opened = (): Promise<SeriesStore> => openSqliteSeriesStore({ directory: join(folder, 'data', 'series'), clock: systemClock });
  for (let death = 1; death <= 2; death++) {
    const enough = rows.acknowledged.length + 200 + random.below(400);
    await eventually('more rows were acknowledged', () => rows.acknowledged.length > enough);
    await program.kill();
    const acknowledged = [...rows.acknowledged];
    const store = await opened();
    await check(t, store, rows, acknowledged, `death ${death}`);
    await store.close();
    await program.start();
  }
  rows.rest();
  await eventually('everything was acknowledged', () => rows.acknowledged.length === rows.sent);
  await program.stop();
  const store = await opened();
  await check(t, store, rows, rows.acknowledged, 'at the end');
  await store.close();
});
