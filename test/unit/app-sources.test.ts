/**
 * Goal: applications hand over metrics by StatsD (UDP and Unix socket) and as Prometheus text over real sockets; what they
 * send is read as their formats say, bounded, and nobody but this machine is listened to or asked.
 */
import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { openAppSources } from '../../agent/app-sources.ts';
import { runCollectors } from '../../agent/collectors/collector.ts';
import { openKernelFiles } from '../../agent/collectors/files.ts';
import { createScrape } from '../../agent/collectors/scrape.ts';
import { AppNames } from '../../agent/core/app-names.ts';
import { parsePrometheus } from '../../agent/core/prometheus-text.ts';
import { StatsdGatherer } from '../../agent/core/statsd.ts';
import * as inputs from '../../agent/loops/app-inputs.ts';
import { until } from '../support/wire-world.ts';

t.test('StatsD lines', async (t) => {
  const gatherer = new StatsdGatherer();
  gatherer.take(
    'requests:3|c\nrequests:1|c|@0.1|#route:/a\nqueue:7|g\nqueue:+2|g\nlatency:10|ms\nlatency:30|ms\nusers:ann|s\nusers:bob|s\nusers:ann|s\n',
  );
  gatherer.take('bad line\nx:1|q\nx:|c\nx:1e400|c\n:1|c\n');
  t.same(gatherer.flush(2), { requests: 6.5, queue: 9, 'latency.mean': 20, 'latency.max': 30, users: 2 });
  t.equal(gatherer.malformed, 5);
  t.same(gatherer.flush(2), { requests: 0, queue: 9 }, 'a counter that saw nothing is zero once');
  t.same(gatherer.flush(2), { queue: 9 });
  for (let i = 0; i < 1000; i++) gatherer.take(`flood${i}:1|c`);
  t.ok(Object.keys(gatherer.flush(1)).length <= 256 && gatherer.refused > 700);
});

t.test('Prometheus text', async (t) => {
  const text = [
    '# HELP http_requests_total Requests.',
    '# TYPE http_requests_total counter',
    'http_requests_total{method="get",path="/a}b\\"{"} 1027 1395066363000',
    'http_requests_total{method="post"} 3',
    '# TYPE queue_depth gauge',
    'queue_depth 12.5',
    '# TYPE latency histogram',
    'latency_bucket{le="0.1"} 5',
    'latency_bucket{le="+Inf"} 9',
    'latency_sum 3.5',
    'latency_count 9',
    '# TYPE pause summary',
    'pause{quantile="0.5"} 0.1',
    'pause_sum 7',
    'untyped_thing 4',
    'nothing NaN',
    'broken{ 1',
  ].join('\n');
  t.same(Object.fromEntries(parsePrometheus(text)), {
    http_requests_total: { value: 1030, counter: true },
    queue_depth: { value: 12.5, counter: false },
    latency_sum: { value: 3.5, counter: true },
    latency_count: { value: 9, counter: true },
    pause_sum: { value: 7, counter: true },
    untyped_thing: { value: 4, counter: false },
  });
});

t.test('names are bounded over the life of the agent, and plain', async (t) => {
  const names = new AppNames(2);
  t.equal(names.fieldFor('a b'), 'vm_app.a_b');
  t.equal(names.fieldFor('c'), 'vm_app.c');
  t.equal(names.fieldFor('d'), null);
  t.equal(names.fieldFor('a b'), 'vm_app.a_b');
  t.equal(names.fieldFor('../x'), null);
  t.equal(names.refused, 2);
});

t.test('over real sockets', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-app-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  let scrapes = 0;
  const server = createServer((_, response) => void response.end(`# TYPE hits counter\nhits ${100 * ++scrapes}\nlevel 5\n`));
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
  const path = join(directory, 'statsd.sock');
  let nowMs = 0;
  const files = openKernelFiles(directory);
  const sources = await openAppSources({
    files,
    inputs,
    workloadMetrics: null,
    statsd: [path, '127.0.0.1:0'],
    scrape: [url],
    monotonicMs: () => nowMs,
    gapMsMax: 75_000,
  });
  t.teardown(() => sources.close());
  const round = (): Record<string, number> => {
    const values: Record<string, number> = {};
    runCollectors(sources.slowCollectors, () => nowMs, values);
    return values;
  };
  round();
  const client = connect(path);
  // Listened for at once: it may be closed before the first scrape has come.
  const closed = new Promise((resolve) => client.once('close', resolve));
  client.end('jobs:30|c\ndepth:4|g');
  await until(() => scrapes === 1, 'the first scrape');
  await closed;
  await new Promise((resolve) => setTimeout(resolve, 100));
  nowMs = 15_000;
  const first = round();
  t.equal(first['vm_app.level'], 5);
  t.equal(first['vm_app.jobs'], 2);
  t.equal(first['vm_app.depth'], 4);
  await until(() => scrapes === 2, 'the second scrape');
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(Math.abs(round()['vm_app.hits']! - 100 / 15) < 1e-9, 'a counter as a rate');

  let heard = '';
  const listener = await inputs.listenStatsd('127.0.0.1:0', (text) => {
    heard += text;
  });
  const socket = createSocket('udp4');
  const [host, port] = listener.address.split(':');
  socket.send('hits:1|c', Number(port), host);
  await until(() => heard === 'hits:1|c', 'the datagram');
  socket.close();
  await listener.close();
});

t.test('this machine only, and an endpoint that fails is a failure of its own', async (t) => {
  for (const where of ['0.0.0.0:8125', '10.0.0.1:8125', 'nonsense']) {
    await t.rejects(async () => inputs.listenStatsd(where, () => {}), { code: 'CONFIG_INVALID' });
  }
  for (const url of ['http://10.0.0.1/metrics', 'https://127.0.0.1/metrics', 'file:///etc/passwd', 'http://localhost.evil.example/']) {
    t.throws(() => inputs.checkScrapeUrl(url), { code: 'CONFIG_INVALID' }, url);
  }
  const server = createServer((_, response) => {
    response.statusCode = 500;
    response.end('no');
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const collector = createScrape({ url, fetchText: inputs.fetchLocalText, names: new AppNames(), monotonicMs: () => 0, gapMsMax: 1 });
  const outcome = (): string => runCollectors([collector], () => 0, {})[0]!.reason;
  outcome();
  await until(() => /answers 500/.test(outcome()), 'the failure');
  t.pass('told');
});
