/**
 * Goal: every query of every dashboard (panels, variables, annotations) answers with points from a real InfluxDB that a real
 * run has filled: the aggregator as a program writing to it, the host agent's code over a simulated hypervisor, plans
 * carried out. Two guests' worth of what a simulated machine does not have (pressure, swap, network of the host; the agent's
 * figures in a guest) is stored beside it by the adapter, under the names that agents use. The dashboards are checked in as
 * they are generated, and the data source they name is the one that is provisioned.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { dashboardFiles } from '../../ansible/roles/grafana/dashboards/all-dashboards.ts';
import { DATASOURCE, type InfluxTarget } from '../../ansible/roles/grafana/dashboards/influx-target.ts';
import { systemClock } from '../../shared/clock.ts';
import { createPrng } from '../../shared/prng.ts';
import { HOST_FIELDS, type Subject, VM_GUEST_FIELDS, VM_HOST_FIELDS } from '../../shared/telemetry.ts';
import { BIN_MS, block } from '../contract/series-store-contract.ts';
import { freePort } from '../support/free-port.ts';
import { influxQuery, startInfluxDb } from '../support/influxdb.ts';
import { eventually } from '../support/stack.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const FILES = join(root, 'ansible/roles/grafana/files');
const DATABASE = 'headroom';
const HOST: Subject = { kind: 'host', id: 'simulated-host' };

/** The control that trusts itself at once: decisions come within seconds. */
const POLICY = `version: 1
fleet:
  lease: 10s
  staleAfter: 10s
  reserve: {memoryMiB: 256}
  blastRadius: {vmsPerPlan: 10, vmsPerHostPerPlan: 10, vmsPerWindow: 1000, window: 1m}
defaults:
  cpu: {mode: auto, forecaster: last-value, enforcement: cap-always, violationBudget: 0.05, lead: 2s, shrinkHorizon: 3s, cooldownShrink: 1s, stepLimitShrinkFraction: 1, stepLimitGrowFraction: 10}
  memory: {mode: auto, forecaster: last-value, violationBudget: 0.05, lead: 2s, shrinkHorizon: 3s, cooldownShrink: 1s, stepLimitShrinkFraction: 0.5, stepLimitGrowFraction: 10, workingSetWindow: 10s}
`;

interface Dashboard {
  uid: string;
  title: string;
  templating?: { list: { name: string; query: string }[] };
  annotations?: { list: { name: string; target: InfluxTarget }[] };
  panels: { title: string; datasource: unknown; targets: InfluxTarget[] }[];
}

t.setTimeout(120_000);

const dashboards = readdirSync(join(FILES, 'dashboards')).map(
  (name) => JSON.parse(readFileSync(join(FILES, 'dashboards', name), 'utf8')) as Dashboard,
);

t.test('what is checked in is what is generated, and names the data source that is provisioned', async (t) => {
  for (const [name, text] of dashboardFiles()) t.equal(readFileSync(join(FILES, 'dashboards', name), 'utf8'), text, name);
  t.equal(dashboards.length, dashboardFiles().size);
  const source = parse(readFileSync(join(FILES, 'provisioning/datasources/headroom.yaml'), 'utf8')).datasources[0];
  t.match(source, { uid: DATASOURCE.uid, type: DATASOURCE.type, jsonData: { dbName: DATABASE, version: 'InfluxQL' } });
  t.same(
    new Set(dashboards.flatMap(({ panels }) => panels.map(({ datasource }) => JSON.stringify(datasource)))),
    new Set([JSON.stringify(DATASOURCE)]),
  );
  t.match(parse(readFileSync(join(FILES, 'provisioning/dashboards/headroom.yaml'), 'utf8')), { providers: [{ type: 'file' }] });
});

interface Series {
  columns: string[];
  values: (number | string | null)[][];
}

async function ask(url: string, query: string): Promise<Series[]> {
  const { results } = (await influxQuery(url, DATABASE, query)) as { results: { error?: string; series?: Series[] }[] };
  for (const { error } of results) if (error) throw new Error(`${error}: ${query}`);
  return results.flatMap(({ series }) => series ?? []);
}

/** Points of a query: rows whose every column has a value. */
const points = (series: Series[]): number =>
  series.reduce((sum, { values }) => sum + values.filter((row) => row.every((value) => value !== null)).length, 0);

function run(args: string[], log: { text: string }): ChildProcess {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (log.text += chunk.toString()));
  return child;
}

/** Rows of all fields that agents have, of the last minute and of half an hour ago, so that stored statistics exist too. */
async function addTheRest(store: SeriesStore, vm: Subject): Promise<void> {
  const random = createPrng(7);
  const recent = Array.from({ length: 60 }, (_, i) => Date.now() - (60 - i) * 1000);
  const bin = Math.floor(Date.now() / BIN_MS) * BIN_MS - 6 * BIN_MS;
  const earlier = Array.from({ length: 30 }, (_, i) => bin + i * 10_000);
  const rows = (fields: readonly string[], times: number[]) => times.map((time) => [time, ...fields.map(() => random.next())]);
  const sums = ['cpuCores', 'memoryMiB'].flatMap((name) =>
    ['granted', 'baseline', 'demand'].map((what) => `host_allocation.${name}/${what}`),
  );
  await store.append([
    block(HOST, HOST_FIELDS, rows(HOST_FIELDS, recent)),
    block(vm, VM_HOST_FIELDS, rows(VM_HOST_FIELDS, recent)),
    block(vm, VM_GUEST_FIELDS, rows(VM_GUEST_FIELDS, recent), 'guest'),
    block(HOST, sums, rows(sums, earlier)),
  ]);
  // A new store looks through the last two hours, some bins at a time.
  for (let i = 0; i < 4; i++) await store.maintain(Date.now());
}

t.test('every query answers', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-grafana-'));
  const influx = await startInfluxDb();
  const log = { text: '' };
  const children: ChildProcess[] = [];
  t.teardown(async () => {
    for (const child of children) child.kill('SIGKILL');
    await influx.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const port = await freePort();
  writeFileSync(join(folder, 'policy.yaml'), POLICY);
  const config = {
    listen: { port },
    dataDir: join(folder, 'data'),
    policyFile: join(folder, 'policy.yaml'),
    store: { kind: 'influxdb', url: influx.url, database: DATABASE },
    stepMs: 1000,
    planPeriodMs: 1000,
    leaseMs: 10_000,
    seasonsMs: [30_000],
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  mkdirSync(join(folder, 'agent'));
  children.push(run([join(root, 'aggregator/main.ts'), '--config', join(folder, 'config.json')], log));
  await eventually('the aggregator answers', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok, 30_000);
  children.push(run([join(root, 'demo/simulated/main.ts'), `ws://127.0.0.1:${port}/v1/agents`, join(folder, 'agent')], log));
  const decided = async (name: string): Promise<boolean> => points(await ask(influx.url, `SELECT "${name}/target" FROM "vm_decision"`)) > 0;
  await eventually('both resources were decided on', async () => (await decided('cpuCores')) && (await decided('memoryMiB')), 60_000).catch(
    (error) => {
      throw new Error(`${error.message}\n${log.text.slice(-3000)}`);
    },
  );
  // An agent that stops telling while its connection lives: an incident of each of its VMs, over when it goes on.
  const [, agents] = children;
  const seen = async (field: string): Promise<boolean> => points(await ask(influx.url, `SELECT "${field}" FROM "vm_anomaly"`)) > 0;
  agents!.kill('SIGSTOP');
  await eventually('an incident began', () => seen('began'), 14_000).finally(() => agents!.kill('SIGCONT'));
  await eventually('an incident is over', () => seen('lastedSeconds'), 30_000);
  const status = (await (await fetch(`http://127.0.0.1:${port}/v1/status`)).json()) as { seriesStore: object };
  t.match(status.seriesStore, { kind: 'influxdb', problems: [] });

  const vms = await ask(influx.url, 'SELECT last("cpuCores/target"), last("memoryMiB/target") FROM "vm_decision" GROUP BY "vm"');
  t.ok(vms.length > 0);
  const store = await openInfluxSeriesStore({ url: influx.url, database: DATABASE, clock: systemClock, prng: createPrng(1) });
  const both = (await ask(
    influx.url,
    'SELECT count("cpuCores/target") AS a, count("memoryMiB/target") AS b FROM "vm_decision" GROUP BY "vm"',
  )) as (Series & {
    tags: { vm: string };
  })[];
  const vm = both.find(({ values }) => Number(values[0]?.[1]) > 0 && Number(values[0]?.[2]) > 0)?.tags.vm;
  t.ok(vm, 'a VM with decisions of both kinds');
  await addTheRest(store, { kind: 'vm', id: vm! });
  await store.close();

  let queries = 0;
  for (const { uid, title, templating, annotations, panels } of dashboards) {
    const chosen = new Map<string, string>();
    for (const { name, query } of templating?.list ?? []) {
      const values = (await ask(influx.url, query)).flatMap((series) => series.values.map((row) => String(row[1])));
      t.ok(values.length > 0, `${uid}: variable ${name}`);
      const wanted = name === 'vm' ? vm : HOST.id;
      chosen.set(name, values.find((value) => value === wanted) ?? values[0]!);
      queries++;
    }
    const answered = async (query: string): Promise<number> => {
      let text = query.replaceAll('$timeFilter', 'time >= now() - 1h').replaceAll('$__interval', '10s');
      for (const [name, value] of chosen) text = text.replaceAll(`$${name}`, value);
      if (/\$/.test(text.replaceAll('$/', '/'))) throw new Error(`${title}: a macro was left in ${text}`);
      queries++;
      return points(await ask(influx.url, text));
    };
    for (const { name, target } of annotations?.list ?? []) t.ok((await answered(target.query)) > 0, `${uid}: annotation ${name}`);
    for (const panel of panels) {
      t.ok(panel.targets.length > 0, `${uid}: ${panel.title} has queries`);
      for (const { query, alias } of panel.targets) t.ok((await answered(query)) > 0, `${uid}: ${panel.title}: ${alias}: ${query}`);
    }
  }
  t.ok(queries > 60, `${queries} queries`);
});
