/**
 * Goal: the parts of stores on servers: which bins are due when, what a server's answer to a write means for every version
 * we know the words of, how version 2 is set up by its documented API (no such server can be had for tests), selectors and
 * names of PromQL.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { InfluxConnection } from '../../aggregator/store/influx/influx-connection.ts';
import { goDurationMs, prepareInflux } from '../../aggregator/store/influx/influx-setup.ts';
import { HttpEndpoint } from '../../aggregator/store/remote/http-endpoint.ts';
import { Opening } from '../../aggregator/store/remote/opening.ts';
import { REMOTE_DEFAULTS, remoteOptions } from '../../aggregator/store/remote/remote-options.ts';
import { type Aggregated, BIN_MS, RollUp } from '../../aggregator/store/remote/roll-up.ts';
import { parseSeriesName } from '../../aggregator/store/remote/series-name.ts';
import { readWriteAnswer } from '../../aggregator/store/remote/write-answer.ts';
import { nameOfMetric, selector } from '../../aggregator/store/victoria/promql.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { block, VM_A } from '../contract/series-store-contract.ts';

const HOUR_MS = BIN_MS['1h'];
const START = Date.UTC(2026, 6, 1, 12);
const row = (time: number) => [block(VM_A, ['vm_cpu.usageCores'], [[time, 1]])];

t.test('a server that is away is waited for, ever less often, and told once; what waiting would not mend is refused', async (t) => {
  const time = new SimulatedTime(createPrng(1), START);
  const clock = new NodeClock(time);
  const reports: string[] = [];
  const tries: number[] = [];
  let answer: HeadroomError | null = new HeadroomError('STORE_UNAVAILABLE', 'nobody is there');
  const opening = new Opening({
    name: 'InfluxDB',
    open: async () => {
      tries.push(time.nowMs);
      if (answer) throw answer;
    },
    clock,
    prng: createPrng(2),
    onReport: (message) => reports.push(message),
  });
  await opening.patiently();
  t.throws(() => opening.check(), { code: 'STORE_UNAVAILABLE', message: /waited for since the start: nobody is there/ });
  await time.runUntil(time.nowMs + 600_000);
  t.ok(tries.length > 15 && tries.length < 60, `${tries.length} tries in ten minutes`);
  t.ok(tries[2]! - tries[0]! < 5000, 'soon at first');
  t.equal(reports.length, 1);
  answer = new HeadroomError('PERMISSION', 'wrong password');
  await time.runUntil(time.nowMs + 60_000);
  t.match(reports.slice(1), [/waited for.*wrong password/]);
  answer = null;
  await time.runUntil(time.nowMs + 60_000);
  t.doesNotThrow(() => opening.check());
  t.match(reports.slice(2), [/answers now/]);
  const done = tries.length;
  await time.runUntil(time.nowMs + 600_000);
  t.equal(tries.length, done, 'and that is it');

  const refused = {
    ...{ name: 'x', clock, prng: createPrng(2), onReport: () => {} },
    open: () => Promise.reject(new HeadroomError('CONFIG_INVALID', 'no')),
  };
  await t.rejects(new Opening(refused).patiently(), { code: 'CONFIG_INVALID' });
});

t.test('bins are summed up once they are over, oldest first, hours too', async (t) => {
  const rollUp = new RollUp();
  const done: [Aggregated, number][] = [];
  const sumUp = async (resolution: Aggregated, startMs: number): Promise<void> => void done.push([resolution, startMs - START]);
  rollUp.mark(row(START + 1000));
  rollUp.mark(row(START + BIN_MS['5m']));
  t.equal(await rollUp.run(START + BIN_MS['5m'] + 1000, sumUp), 0, 'rows may still be on their way');
  t.equal(await rollUp.run(START + BIN_MS['5m'] + 20_000, sumUp), 1);
  t.equal(rollUp.throughMs('5m'), START + BIN_MS['5m']);
  t.equal(rollUp.throughMs('1h'), START);
  await rollUp.run(START + HOUR_MS + 20_000, sumUp);
  t.same(done, [
    ['5m', 0],
    ['1h', 0],
    ['5m', BIN_MS['5m']],
  ]);
  t.equal(rollUp.throughMs('5m'), null);
  t.equal(rollUp.freshFromMs('5m', START + HOUR_MS), START + HOUR_MS - BIN_MS['5m'], 'other aggregators may write to the bin before');
});

t.test('whose end has come begins no further bin; what is left stays due', async (t) => {
  const rollUp = new RollUp();
  let ended = false;
  rollUp.markRange(START, START + 4 * BIN_MS['5m']);
  const end = async (): Promise<void> => {
    ended = true;
  };
  t.equal(await rollUp.run(START + HOUR_MS / 2, end, () => ended), 1);
  t.equal(rollUp.throughMs('5m'), START + BIN_MS['5m']);
});

t.test('what is touched while it is summed up is due again, a minute later; what failed is due at once', async (t) => {
  const rollUp = new RollUp();
  let runs = 0;
  const touching = async (resolution: Aggregated): Promise<void> => {
    if (resolution === '5m') runs++;
    t.equal(rollUp.freshFromMs('5m', START + 10 * HOUR_MS), START, 'rows are read until it is done');
    if (runs === 1) rollUp.mark(row(START + 2000));
  };
  rollUp.mark(row(START));
  const nowMs = START + BIN_MS['5m'] + 20_000;
  await rollUp.run(nowMs, touching);
  t.equal(rollUp.throughMs('5m'), START);
  await rollUp.run(nowMs + 10_000, touching);
  t.equal(runs, 1);
  await rollUp.run(nowMs + 61_000, touching);
  t.equal(runs, 2);
  t.equal(rollUp.throughMs('5m'), null);
  rollUp.mark(row(START + 3000));
  await rollUp.run(nowMs + 70_000, touching);
  t.equal(runs, 2, 'late rows do not have it summed up each time');
  const broken = new RollUp();
  broken.mark(row(START));
  await t.rejects(
    broken.run(nowMs, () => Promise.reject(new Error('away'))),
    /away/,
  );
  t.equal(broken.throughMs('5m'), START);
  t.equal(await broken.run(nowMs, async () => undefined), 1);
});

const ANSWERS: [string, number, string, object][] = [
  ['stored', 204, '', { kind: 'stored' }],
  [
    '1.x, retention',
    400,
    '{"error":"partial write: points beyond retention policy dropped=3"}',
    { kind: 'partial', refusedLines: 3, reason: 'beyond-retention' },
  ],
  [
    '1.x, type',
    400,
    '{"error":"partial write: field type conflict: input field \\"x\\" … dropped=2"}',
    { kind: 'partial', refusedLines: 2, reason: 'field-type-conflict' },
  ],
  [
    '1.x, line',
    400,
    '{"error":"partial write: unable to parse \'a b\': invalid dropped=0"}',
    { kind: 'partial', refusedLines: 1, reason: 'refused-by-server' },
  ],
  [
    '1.x, series',
    400,
    '{"error":"partial write: max-values-per-tag limit exceeded (100000/100000) dropped=7"}',
    { kind: 'partial', refusedLines: 7, reason: 'cardinality-limit' },
  ],
  [
    '2.x, type',
    422,
    '{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: … dropped=1"}',
    { kind: 'partial', refusedLines: 1, reason: 'field-type-conflict' },
  ],
  [
    '3, lines',
    400,
    '{"error":"partial write of line protocol occurred","data":[{"line_number":2},{"line_number":5}]}',
    { kind: 'partial', refusedLines: 2 },
  ],
  ['2.x, none of it', 400, '{"code":"invalid","message":"unable to parse"}', { kind: 'unusable' }],
  ['too large', 413, '', { kind: 'unusable' }],
  ['busy', 503, 'timeout', { kind: 'later' }],
  ['too many', 429, '', { kind: 'later' }],
  ['failed', 500, 'engine: …', { kind: 'later' }],
  ['no database', 404, '{"error":"database not found: \\"x\\""}', { kind: 'refused' }],
  ['no right', 401, '', { kind: 'refused' }],
];
for (const [name, status, text, meaning] of ANSWERS) {
  t.test(`answer to a write: ${name}`, async (t) => {
    t.match(readWriteAnswer(status, text), meaning);
  });
}

t.test('version 2: buckets are made, set where they differ, left alone where they are right; lines go to its own path', async (t) => {
  const buckets = [
    { id: 'b1', name: 'h/5m', retentionRules: [{ everySeconds: 60 }] },
    { id: 'b2', name: 'h/1h', retentionRules: [{ everySeconds: 63_072_000 }] },
  ];
  const changes: [string | undefined, string | undefined, unknown][] = [];
  const server = createServer((request, answer) => {
    const url = new URL(request.url ?? '/', 'http://x');
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      if (request.method !== 'GET') changes.push([request.method, url.pathname, JSON.parse(body)]);
      answer.setHeader('x-influxdb-version', 'v2.7.1');
      if (url.pathname === '/api/v2/orgs') answer.end('{"orgs":[{"id":"o1"}]}');
      else answer.end(JSON.stringify({ buckets: buckets.filter(({ name }) => name === url.searchParams.get('name')) }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const endpoint = new HttpEndpoint({
    name: 'InfluxDB',
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    credentials: null,
    timeoutMs: 5000,
  });
  const connection = new InfluxConnection({ endpoint, database: 'h', org: 'ours', writePath: 'auto' });
  await prepareInflux(connection, REMOTE_DEFAULTS);
  t.match(changes, [
    ['POST', '/api/v2/buckets', { orgID: 'o1', name: 'h/raw', retentionRules: [{ type: 'expire', everySeconds: 172_800 }] }],
    ['PATCH', '/api/v2/buckets/b1', { retentionRules: [{ everySeconds: 7_776_000 }] }],
  ]);
  t.equal(changes.length, 2);
  t.equal(connection.writePath('5m'), '/api/v2/write?bucket=h%2F5m&org=ours&precision=ms');
  const forced = new InfluxConnection({ endpoint, database: 'h', org: null, writePath: 'v1' });
  await forced.greet();
  t.equal(forced.writePath('raw'), '/write?db=h&rp=raw&precision=ms');
});

t.test('durations as Go writes them', async (t) => {
  t.equal(goDurationMs('2160h0m0s'), 90 * 24 * HOUR_MS);
  t.equal(goDurationMs('1h30m0.5s'), 1.5 * HOUR_MS + 500);
  t.equal(goDurationMs('0s'), 0);
});

t.test('limits that cannot work are refused', async (t) => {
  t.throws(() => remoteOptions({ lateMs: 0 }), { code: 'CONFIG_INVALID', message: /lateMs is 0/ });
  t.throws(() => remoteOptions({ rawRetentionMs: HOUR_MS }), { code: 'CONFIG_INVALID', message: /rawRetentionMs is 3600000/ });
  for (const url of ['influx:8086', 'http://user@host', 'http://a?b']) {
    t.throws(() => new HttpEndpoint({ name: 'InfluxDB', url, credentials: null, timeoutMs: 1 }), { code: 'CONFIG_INVALID' }, url);
  }
});

t.test('PromQL: what is in a name stays in it', async (t) => {
  const names = [parseSeriesName('vm_app.a.b"c')];
  t.equal(
    selector({ database: 'h', resolution: '5m', source: 'host', subjects: [VM_A, { kind: 'vm', id: 'x|"y' }], names }),
    `{db="h",resolution="5m",source="host",vm=~"00000000-0000-4000-8000-00000000000a|x\\\\|\\"y",__name__="vm_app_a.b\\"c",quantile="",horizon=""}`,
  );
  t.equal(nameOfMetric({ __name__: 'vm_forecast_cpuCores:mean', quantile: '0.9', horizon: '1' }), 'vm_forecast.cpuCores/q0.9/h1:mean');
  t.equal(nameOfMetric({ __name__: 'other_series_no measurement' }), 'no measurement');
});
