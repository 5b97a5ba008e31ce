/**
 * Goal: the owner of a VM is told in plain words what was done and why, at once, once each and over restarts; webhooks are
 * signed, retried, bounded, and never reach this machine, its link or a metadata service, whatever a name resolves to.
 */
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t from 'tap';
import { changeNotice } from '../../aggregator/core/notify/change-words.ts';
import { createHttpServer } from '../../aggregator/http/server.ts';
import { createHttpPost, type Post } from '../../aggregator/notify/http-post.ts';
import type { Notification } from '../../aggregator/notify/notifier.ts';
import { allowedTargets, targetRefusal } from '../../aggregator/notify/target-address.ts';
import { Webhooks } from '../../aggregator/notify/webhooks.ts';
import { NotificationLog } from '../../aggregator/service/notification-log.ts';
import { recalledNotifications } from '../../aggregator/service/recalled-notifications.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { resolveWebhooks } from '../../aggregator/webhook-config.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Setting } from '../../shared/resources.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { fakeService } from '../support/fake-service.ts';
import { KVM1, NOW_MS, testVmId } from '../support/fleet.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const cap = (capCores: number | null, weight = 100): Setting => ({ resource: 'cpu', weight, capCores });
const mib = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const NINE_MS = NOW_MS + 5 * 60_000;

const WORDS: [Parameters<typeof changeNotice>[0], string][] = [
  [
    { from: cap(1), to: cap(1.5), direction: 'grow', constraint: 'forecast', expectedByMs: NINE_MS },
    'CPU raised from 1.0 to 1.5 cores at 08:55 because the 09:00 rise is expected',
  ],
  [
    { from: cap(1.5), to: cap(0.63), direction: 'shrink', constraint: 'step-limit' },
    'CPU lowered from 1.5 to 0.63 cores at 08:55 because no more is expected to be needed soon',
  ],
  [
    { from: mib(800), to: mib(1024), direction: 'grow', constraint: 'pressure' },
    'Memory raised from 800 to 1024 MiB at 08:55 because it was held down and needs more now',
  ],
  [
    { from: cap(1), to: cap(2), direction: 'grow', constraint: 'startup' },
    'CPU raised from 1.0 to 2.0 cores at 08:55 because it is starting',
  ],
  [
    { from: cap(1), to: cap(null), direction: 'grow', constraint: 'forecast' },
    'CPU limit of 1.0 cores lifted at 08:55 because it needs more now',
  ],
  [
    { from: cap(null, 100), to: cap(null, 150), direction: 'grow', constraint: 'forecast', expectedByMs: NOW_MS + 1000 },
    'CPU share raised from 100 to 150 of weight at 08:55 because more is about to be needed',
  ],
  [
    {
      from: { resource: 'disk', bytesPerSecond: null, iops: null },
      to: { resource: 'disk', bytesPerSecond: 5e7, iops: null },
      direction: 'shrink',
      constraint: 'ceiling',
    },
    'Disk limited to 50.0 MB/s at 08:55 because it may have no more',
  ],
];
for (const [step, words] of WORDS) t.test(words, async (t) => t.equal(changeNotice(step, NOW_MS), words));

const note = (id: number, over: Partial<Notification> = {}): Notification => ({
  ...{ id, timeMs: NOW_MS, vm: testVmId(1), vmName: 'web', kind: 'change', resource: 'cpu', message: 'CPU raised', data: {} },
  ...over,
});

t.test('the log: per VM, ids that rise, listeners of that VM alone, bounded, and what the ledger knows after a restart', async (t) => {
  const log = new NotificationLog(1000, [], (vm) => (vm === testVmId(1) ? { name: 'web', host: 'kvm1', labels: {} } : null));
  const heard: string[] = [];
  const unsubscribe = log.subscribe(testVmId(1), ({ message }) => heard.push(message));
  for (let i = 0; i < 400; i++) log.add({ ...note(0), message: `m${i}` });
  log.add({ ...note(0), vm: testVmId(2), message: 'other' });
  unsubscribe();
  log.add({ ...note(0), message: 'unheard' });
  t.equal(heard.length, 400);
  t.equal(log.recent(testVmId(1), 1000).length, 300);
  t.match(log.recent(testVmId(1), 2), [{ message: 'm399', vmName: 'web' }, { message: 'unheard' }]);
  t.ok(log.recent(testVmId(2), 1)[0]!.id > 1400);

  const ledger = createMemoryLedgerStore();
  const outcome = {
    kind: 'outcome',
    planId: 'p',
    commandId: 'c',
    vm: testVmId(1),
    host: KVM1,
    resource: 'cpu',
    reason: 'read back',
  } as const;
  await ledger.append(NOW_MS, { ...outcome, outcome: 'applied', before: cap(1), after: cap(2) });
  await ledger.append(NOW_MS + 1, { ...outcome, outcome: 'refused', reason: 'hands off', before: cap(1), after: cap(1) });
  const again = new NotificationLog(NOW_MS + 5000, [], () => null);
  again.recall(recalledNotifications(await ledger.entries({ limit: 10, kind: 'outcome', newestFirst: true })), NOW_MS + 5000);
  t.match(again.recent(testVmId(1), 10), [
    { kind: 'change', message: 'CPU raised from 1.0 to 2.0 cores at 08:55' },
    { kind: 'not-changed', message: 'cpu not changed (refused): hands off' },
  ]);
  again.add(note(0));
  const ids = again.recent(testVmId(1), 10).map(({ id }) => id);
  t.same(
    ids.toSorted((a, b) => a - b),
    ids,
  );
});

const REFUSED = [
  ...['127.0.0.1', '127.9.9.9', '0.0.0.0', '::1', '::', '169.254.169.254', 'fe80::1', 'fe80::1%eth0', 'fd00:ec2::254', '100.100.100.200'],
  ...[
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '0:0:0:0:0:ffff:a9fe:a9fe',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    '224.0.0.1',
    '255.255.255.255',
    'nonsense',
  ],
];
t.test('targets: refused however they are written, unless configured; others pass', async (t) => {
  const none = allowedTargets([]);
  for (const address of REFUSED) t.not(targetRefusal(address, none), null, address);
  for (const address of ['93.184.216.34', '10.0.0.5', '192.168.1.9', '2a00:1450::1']) t.equal(targetRefusal(address, none), null, address);
  t.equal(targetRefusal('::ffff:127.0.0.1', allowedTargets(['127.0.0.0/8'])), null);
  t.equal(targetRefusal('169.254.169.254', allowedTargets(['127.0.0.1'])) === null, false);
  for (const bad of ['localhost', '127.0.0.1/99', '/8']) t.throws(() => allowedTargets([bad]), { code: 'CONFIG_INVALID' }, bad);
});

t.test('a name that resolves to a refused address is refused at the connection itself', async (t) => {
  let hits = 0;
  const server = createServer((_request, response) => {
    hits++;
    response.writeHead(302, { location: 'http://169.254.169.254/' }).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const resolveTo = (...addresses: string[]) =>
    ((_name: string, _options: unknown, done: (error: null, found: unknown) => void) =>
      done(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      )) as never;
  const refusing = createHttpPost(allowedTargets([]), 2000, resolveTo('93.184.216.34', '127.0.0.1'));
  await t.rejects(refusing(`http://hook.example:${port}/`, {}, '{}'), { code: 'PERMISSION', message: /127\.0\.0\.1: loopback/ });
  for (const host of ['127.0.0.1', '[::1]', '2130706433', '0x7f.1'])
    await t.rejects(createHttpPost(allowedTargets([]), 2000)(`http://${host}:${port}/`, {}, '{}'), { code: 'PERMISSION' }, host);
  t.equal(hits, 0);
  const allowing = createHttpPost(allowedTargets(['127.0.0.1']), 2000, resolveTo('127.0.0.1'));
  t.equal(await allowing(`http://hook.example:${port}/`, {}, '{}'), 302, 'and a redirect is an answer, not a way on');
  t.equal(hits, 1);
});

function world(answers: (number | HeadroomError)[]) {
  const time = new SimulatedTime(createPrng(3), NOW_MS);
  const clock = new NodeClock(time);
  const sent: { url: string; headers: Readonly<Record<string, string>>; body: string; atMs: number }[] = [];
  const problems: string[] = [];
  const post: Post = async (url, headers, body) => {
    sent.push({ url, headers, body, atMs: clock.wallMs() });
    const answer = answers.length > 1 ? answers.shift()! : answers[0]!;
    if (answer instanceof HeadroomError) throw answer;
    return answer;
  };
  const target = { url: 'https://hook.example/x', secret: 'a secret of some length', match: { labels: { team: 'shop' } }, kinds: null };
  const webhooks = new Webhooks({ targets: [target], post, clock, prng: createPrng(1), onProblem: (message) => problems.push(message) });
  return { webhooks, sent, problems, run: (ms: number) => time.runUntil(time.nowMs + ms) };
}

t.test('webhooks: what comes in the very instant in which the one before is done waits for no third', async (t) => {
  for (let turns = 0; turns < 12; turns++) {
    const ids: string[] = [];
    const clock = new NodeClock(new SimulatedTime(createPrng(1), NOW_MS));
    const webhooks: Webhooks = new Webhooks({
      targets: [{ url: 'https://hook.example/x', secret: 'a secret of some length', match: {}, kinds: null }],
      ...{ clock, prng: createPrng(1), onProblem: () => undefined },
      post: (_url, headers) => {
        ids.push(headers['headroom-delivery']!);
        const posted = Promise.resolve(204);
        // So many turns after the answer, of which the sender takes some itself.
        let later: Promise<unknown> = posted;
        for (let i = 0; i < turns; i++) later = later.then(() => undefined);
        if (ids.length === 1) void later.then(() => webhooks.notify(note(2), {}, 'kvm1'));
        return posted;
      },
    });
    webhooks.notify(note(1), {}, 'kvm1');
    await new Promise((done) => setImmediate(done));
    t.same(ids, ['1', '2'], `${turns} turns after the answer`);
  }
});

t.test('webhooks: signed so that the receiver can prove it, only for VMs that match', async (t) => {
  const { webhooks, sent, run } = world([204]);
  webhooks.notify(note(7), { team: 'shop' }, 'kvm1');
  webhooks.notify(note(8), { team: 'other' }, 'kvm1');
  await run(1000);
  t.equal(sent.length, 1);
  const [{ headers, body }] = sent as [(typeof sent)[number]];
  t.same(JSON.parse(body), note(7));
  t.equal(headers['headroom-delivery'], '7');
  const seconds = Math.floor(NOW_MS / 1000);
  const expected = createHmac('sha256', 'a secret of some length').update(`${seconds}.${body}`).digest('hex');
  t.equal(headers['headroom-signature'], `t=${seconds},v1=${expected}`);
});

t.test('webhooks: retried with growing pauses, in order; given up and told at last; a final no is not repeated', async (t) => {
  const away = new HeadroomError('UNAVAILABLE', 'no route');
  const { webhooks, sent, run } = world([away, 503, 204]);
  for (const id of [1, 2]) webhooks.notify(note(id), { team: 'shop' }, 'kvm1');
  await run(60_000);
  t.same(
    sent.map(({ headers }) => headers['headroom-delivery']),
    ['1', '1', '1', '2'],
  );
  t.match(webhooks.counters, { delivered: 2, retried: 2, failed: 0 });

  const down = world([500]);
  down.webhooks.notify(note(1), { team: 'shop' }, 'kvm1');
  await down.run(3_600_000);
  t.equal(down.sent.length, 8);
  t.ok(down.sent.at(-1)!.atMs - down.sent[0]!.atMs > 30_000);
  t.match(down.problems, [/notification 1 was not taken by hook\.example: it answered 500/]);

  const gone = world([410]);
  gone.webhooks.notify(note(1), { team: 'shop' }, 'kvm1');
  await gone.run(60_000);
  t.equal(gone.sent.length, 1);
  const refused = world([new HeadroomError('PERMISSION', 'loopback')]);
  refused.webhooks.notify(note(1), { team: 'shop' }, 'kvm1');
  await refused.run(600_000);
  t.equal(refused.sent.length, 1);
  t.equal(refused.webhooks.counters.refused, 1);
});

t.test('webhooks: one that hangs holds a bounded queue', async (t) => {
  const { webhooks, run } = world([500]);
  for (let id = 1; id <= 1500; id++) webhooks.notify(note(id), { team: 'shop' }, 'kvm1');
  await run(10);
  t.equal(webhooks.metrics().webhooks_waiting, 1000);
  t.equal(webhooks.counters.dropped, 499);
  await webhooks.stop();
  t.equal(webhooks.metrics().webhooks_waiting, 0);
});

t.test('configuration: unknown keys, bad addresses and kinds are refused', async (t) => {
  const hook = { url: 'https://hook.example/', secretFile: '/etc/headroom/hook.secret' };
  t.same(resolveWebhooks(undefined, undefined), { webhooks: [], targets: [] });
  t.equal(resolveWebhooks([{ ...hook, kinds: ['change'] }], ['10.0.0.0/8']).webhooks.length, 1);
  for (const bad of [
    { ...hook, urll: 'x' },
    { ...hook, url: 'ftp://x' },
    { ...hook, url: 'https://a:b@c/' },
    { ...hook, kinds: ['nonsense'] },
    { url: hook.url },
  ])
    t.throws(() => resolveWebhooks([bad], undefined), { code: 'CONFIG_INVALID' }, JSON.stringify(bad));
  t.throws(() => resolveWebhooks([], ['nowhere']), { code: 'CONFIG_INVALID', message: /webhookTargets/ });
});

t.test('over HTTP: a list, a stream of that VM alone, and what was missed', async (t) => {
  const service = await fakeService({ nowMs: () => NOW_MS });
  const server = await createHttpServer(service, { port: 0 });
  const [web, batch] = [MADE_VMS[0]!, MADE_VMS[1]!];
  const url = `${server.url}/v1/vms/${web.name}/notifications`;
  t.same(await (await fetch(url)).json(), { items: [] });
  service.tell(web.id, 'first');
  service.tell(batch.id, 'of another');
  t.match(await (await fetch(url)).json(), { items: [{ message: 'first', vmName: web.name }] });
  const abort = new AbortController();
  const stream = await fetch(url, { headers: { accept: 'text/event-stream', 'last-event-id': '0' }, signal: abort.signal });
  t.match(stream.headers.get('content-type'), 'text/event-stream');
  service.tell(batch.id, 'of another again');
  service.tell(web.id, 'second');
  let text = '';
  for await (const bytes of stream.body!.pipeThrough(new TextDecoderStream())) {
    text += bytes;
    if (text.includes('second')) break;
  }
  t.same(
    [...text.matchAll(/"message":"([^"]*)"/g)].map(([, message]) => message),
    ['first', 'second'],
  );
  t.match(text, /id: 1\nevent: change\n/);
  abort.abort();
  await server.close();
});
