/**
 * Goal: what services that hold history answer becomes traces: bins labelled by their start, unknown left out, sizes known; what is
 * asked is what their documentation says; and answers that are none are told with what to do.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { csvSource } from '../../aggregator/cli/backtest/sources/csv-source.ts';
import { prometheusSource } from '../../aggregator/cli/backtest/sources/prometheus-source.ts';
import { proxmoxSource } from '../../aggregator/cli/backtest/sources/proxmox-source.ts';
import type { CliIo } from '../../aggregator/cli/command.ts';
import { systemClock } from '../../shared/clock.ts';
import { keptSettings } from '../support/cli-world.ts';

const directory = mkdtempSync(join(tmpdir(), 'headroom-history-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const recorded = (name: string): string => readFileSync(new URL(`../fixtures/history/${name}.json`, import.meta.url), 'utf8');
const NOW_MS = 1_762_740_000_000;

interface Asked {
  path: string;
  parameters: URLSearchParams;
  authorization: string | null;
}

/** A world whose servers answer what was recorded, and what they were asked. */
function world(answer: (asked: Asked) => string | Response, env: Record<string, string> = {}) {
  const asked: Asked[] = [];
  const told: string[] = [];
  const io: CliIo = {
    out: () => undefined,
    err: (text) => told.push(text),
    env,
    read: async () => '',
    fetch: async (input, init) => {
      const url = new URL(String(input));
      const parameters = init?.body instanceof URLSearchParams ? init.body : url.searchParams;
      const one = { path: url.pathname, parameters, authorization: new Headers(init?.headers).get('authorization') };
      asked.push(one);
      const said = answer(one);
      return typeof said === 'string' ? new Response(said) : said;
    },
    clock: { ...systemClock, wallMs: () => NOW_MS },
    stop: new AbortController().signal,
    catchInterrupts: () => undefined,
    terminal: false,
    rows: () => 24,
    settings: keptSettings(),
  };
  return { io, asked, told };
}

function prometheusAnswer({ path, parameters }: Asked): string {
  if (path === '/api/v1/label/__name__/values') return recorded('prometheus/metric-names');
  if (path === '/api/v1/label/domain/values') return recorded('prometheus/domains');
  const query = parameters.get('query')!;
  // The first of two stretches holds the recorded rows.
  if (Number(parameters.get('end')) < 1_762_732_800) return recorded('prometheus/empty');
  return recorded(query.includes('virtual_cpus') || query.includes('maximum_memory') ? 'prometheus/cpu-size' : 'prometheus/cpu-used');
}

t.test('Prometheus: names, bins by their start, long histories in stretches the server takes', async (t) => {
  const { io, asked, told } = world(prometheusAnswer, { HEADROOM_HISTORY_AUTHORIZATION: 'Bearer abc' });
  const source = prometheusSource({ url: 'http://prom.example:9090/', days: 60, match: 'job="kvm"', layout: null }, io);
  t.same(await source.names(), ['db "main"', 'web-1']);
  const trace = (await source.read('db "main"', 'cpu'))!;
  t.same(
    [...trace.timesMs],
    [1762732500, 1762732800, 1762733700].map((s) => s * 1000),
    'each value told of the five minutes before it',
  );
  t.same([...trace.used], [0.25, 0.5, 1.75], 'what is not a number is unknown');
  t.equal(trace.granted, 4, 'the largest size it had');
  const ranges = asked.filter(({ path }) => path === '/api/v1/query_range');
  t.equal(
    ranges[0]!.parameters.get('query'),
    'sum(rate(libvirt_domain_info_cpu_time_seconds_total{domain="db \\"main\\"",job="kvm"}[5m]))',
  );
  for (const { parameters } of ranges) {
    const points = (Number(parameters.get('end')) - Number(parameters.get('start'))) / Number(parameters.get('step')) + 1;
    t.ok(points > 0 && points <= 11_000, `${points} points`);
  }
  t.equal(ranges.length, 10, 'two stretches of use, size, and what is heard of memory, network and disk');
  const rates = (one: string, other: string) =>
    [one, other].map((metric) => `sum(rate(libvirt_domain_${metric}_bytes_total{domain="db \\"main\\"",job="kvm"}[5m]))`).join(' + ');
  t.equal(ranges[6]!.parameters.get('query'), rates('interface_stats_receive', 'interface_stats_transmit'));
  t.equal(ranges[8]!.parameters.get('query'), rates('block_stats_read', 'block_stats_write'));
  t.same(
    trace.others!.map((series) => [...series]),
    new Array(3).fill([0.25, 0.5, 1.75]),
    'at the same times',
  );
  t.ok(asked.every(({ authorization }) => authorization === 'Bearer abc'));
  await source.read('web-1', 'memory');
  const about = asked.slice(-10).map(({ parameters }) => parameters.get('query')!);
  t.match(about[0], 'libvirt_domain_memory_stats_unused_bytes');
  t.match(about[2], 'libvirt_domain_info_maximum_memory_bytes');
  t.match(about[4], 'libvirt_domain_info_cpu_time_seconds_total');
  t.match(told.join(''), 'cache counts as used');
});

t.test('Prometheus: refusals are told with what to do, credentials never', async (t) => {
  const reading = (answer: string | Response, url = 'http://me:s3cret@prom.example') =>
    prometheusSource({ url, days: 7, match: '', layout: null }, world(() => answer).io).names();
  await t.rejects(reading(recorded('prometheus/error')), { code: 'UNAVAILABLE', message: /too many samples/ });
  await t.rejects(reading('<html>'), { code: 'UNAVAILABLE', message: /no answer of Prometheus/ });
  await t.rejects(reading(new Response('no', { status: 401 })), {
    code: 'PERMISSION',
    message: /^(?!.*s3cret).*HEADROOM_HISTORY_AUTHORIZATION/,
  });
  await t.rejects(reading('{"status":"success","data":[]}'), { code: 'NOT_FOUND', message: /has none of libvirt_domain_info_cpu_time/ });
  t.throws(() => prometheusSource({ url: 'prom', days: 7, match: '', layout: null }, world(() => '').io), { code: 'USAGE' });
  t.throws(() => prometheusSource({ url: 'http://p', days: 7, match: '', layout: 'x' }, world(() => '').io), {
    message: /libvirt, pve, node/,
  });
  const { io, asked } = world(prometheusAnswer);
  await prometheusSource({ url: 'http://me:s3cret@prom.example', days: 7, match: '', layout: null }, io).names();
  t.equal(asked[0]!.authorization, `Basic ${Buffer.from('me:s3cret').toString('base64')}`);
});

t.test('Proxmox: guests that are no templates, means for CPU and maxima for memory, from the API and from files alike', async (t) => {
  const { io, asked } = world(({ path }) => recorded(path.endsWith('/rrddata') ? 'proxmox/rrddata' : 'proxmox/resources'));
  const source = proxmoxSource('https://pve.example:8006', io);
  t.same(await source.names(), ['100-web']);
  const cpu = (await source.read('100-web', 'cpu'))!;
  t.same([...cpu.used], [0.5, 2, 1], 'cores, not shares');
  t.match(cpu, { vm: '100-web', stepMs: 3_600_000, granted: 4 });
  t.equal(asked.at(-1)!.path, '/api2/json/nodes/pve1/qemu/100/rrddata');
  t.equal(asked.at(-1)!.parameters.get('cf'), 'AVERAGE');
  t.same(
    cpu.others!.map((series) => [...series]),
    [
      [1024, 2048, 1536],
      [200.75, null, null],
      [4096, null, null],
    ].map((series) => series.map((value) => value ?? Number.NaN)),
    'memory, network and disk beside it',
  );
  const memory = (await source.read('100-web', 'memory'))!;
  t.same([...memory.used], [1024, 2048, 1536]);
  t.same([...memory.others![0]!], [0.5, 2, 1]);
  t.equal(asked.at(-1)!.parameters.get('cf'), 'MAX');
  const files = mkdtempSync(join(directory, 'rrd-'));
  writeFileSync(join(files, 'web.json'), JSON.stringify(JSON.parse(recorded('proxmox/rrddata')).data));
  writeFileSync(join(files, 'torn.json'), '[{"time":');
  const offline = proxmoxSource(files, io);
  t.same(await offline.names(), ['torn.json', 'web.json']);
  t.same([...(await offline.read('web.json', 'cpu'))!.used], [0.5, 2, 1]);
  await t.rejects(offline.read('torn.json', 'cpu'), { code: 'USAGE' });
  await t.rejects(proxmoxSource(join(files, 'nowhere'), io).names(), { code: 'NOT_FOUND' });
});

t.test('CSV: any order, quotes, finer samples gathered, headings of one’s own; wrong lines are told', async (t) => {
  const file = join(directory, 'all.csv');
  const minute = (m: number): string => new Date(Date.UTC(2026, 0, 1, 0, m)).toISOString();
  const rows = [
    ['"web, one"', minute(1), '1', '4', '1000', '4096', '10', '1'],
    ['db', minute(0), '0.5', '2', '', '', '', ''],
    ['"web, one"', minute(0), '3', '4', '2000', '4096', '20', '3'],
    ['"web, one"', minute(5), '', '4', '500', '4096', '90', '90'],
    ['"web, one"', minute(6), '2', '4', '600', '4096', '30', ''],
    ['"web, one"', minute(6), '9', '4', '9', '4096', '9', '9'],
  ];
  writeFileSync(
    file,
    [['VM', 'Time', 'CPU', 'vCPUs', 'Memory', 'Size', 'net_rx_Bps', 'Sent'], ...rows].map((row) => row.join(',')).join('\r\n'),
  );
  const source = csvSource(file, 'memory-size=Size,network-out=Sent');
  t.same(await source.names(), ['db', 'web, one']);
  const cpu = (await source.read('web, one', 'cpu'))!;
  t.same([...cpu.timesMs], [Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 1, 0, 5)]);
  t.same([...cpu.used], [2, 2], 'the mean within each five minutes; a repeated row counts once');
  const memory = (await source.read('web, one', 'memory'))!;
  t.same([[...memory.used], memory.granted], [[2000, 600], 4096], 'the maximum within each');
  t.same(
    cpu.others!.map((series) => [...series]),
    [
      [2000, 600],
      [17, Number.NaN],
      [Number.NaN, Number.NaN],
    ],
    'of memory the maximum, of the network the mean of both directions; what is unknown',
  );
  t.same([...memory.others![0]!], [2, 2], 'CPU beside memory');
  t.equal((await source.read('db', 'cpu'))!.others, undefined);
  t.equal(await source.read('db', 'memory'), null);
  t.equal(await source.read('db', 'cpumax'), null);
  for (const [text, columns, message] of [
    ['vm,when,cpu\na,1,1', '', /no column for time among vm, when, cpu/],
    ['vm,time,cpu\na,soon,1', '', /line 2: "soon"/],
    ['vm,time,cpu\na,1,x', '', /line 2: cpu is "x"/],
    ['vm,time,cpu\na,1', '', /record/i],
    ['vm,time,cpu\na,1,1', 'cpu=load', /--columns cpu=load/],
  ] as const) {
    writeFileSync(file, text);
    await t.rejects(csvSource(file, columns).names(), { code: 'USAGE', message }, text);
  }
  t.throws(() => csvSource(file, 'colour=red'), { message: /MEANING=HEADING/ });
  writeFileSync(file, 'host,time,cpu_percent\na,0,50\na,300,25');
  const shares = csvSource(file, '');
  await shares.names();
  t.same([...(await shares.read('a', 'cpu'))!.used], [0.5, 0.25], 'without a size a whole VM is the unit');
});
