/**
 * Goal: who asked for a login is told where its time goes. Late because of a resource is said so, with what is done about it;
 * late for another reason blames none; in time says nothing. Lost commands are repeated, ends come once, what is sealed is
 * forgotten; and the API and the command line carry it end to end, opened by the user's key alone.
 */
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { sealTo } from '../../agent/actuators/credential.ts';
import { type Cause, causesOf, type GuestWork, timesOf, type Wait, type WaitedFor } from '../../aggregator/core/credential/delay.ts';
import { delayWords, phaseWords } from '../../aggregator/core/credential/words.ts';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { Credentials } from '../../aggregator/service/credentials.ts';
import type { Told } from '../../aggregator/service/notification-log.ts';
import type { LedgerBody } from '../../aggregator/store/ledger-store.ts';
import { hostId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { FrameOf, PublicKey } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { cliWorld } from '../support/cli-world.ts';
import { fakeService } from '../support/fake-service.ts';
import { testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const KEY = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' }) as PublicKey;
const NO_WAIT: Wait = { share: null, short: false };
const CALM: Record<WaitedFor, Wait> = { memory: NO_WAIT, cpu: NO_WAIT, io: NO_WAIT };
const work = (elapsedMs: number, stalledMs: Partial<GuestWork['stalledMs']>): GuestWork => ({
  elapsedMs,
  phases: [{ name: 'account', ms: elapsedMs / 2 }],
  stalledMs: { cpu: 0, memory: 0, io: 0, ...stalledMs },
});

t.test('causes: only of what is late, by the guest’s own figures first, memory before what it drags along', async (t) => {
  const table: [string, number, GuestWork | null, Record<WaitedFor, Wait>, Cause[] | null][] = [
    ['in time, whatever was waited for', 4900, work(4900, { memory: 4900 }), CALM, null],
    ['late and starved of memory', 20_000, work(18_000, { memory: 9000 }), CALM, [{ resource: 'memory', share: 0.5, seenBy: 'guest' }]],
    ['late and not starved', 20_000, work(18_000, { cpu: 900, io: 100 }), CALM, []],
    [
      'memory and the disk it swaps to',
      20_000,
      work(10_000, { io: 8000, memory: 6000 }),
      CALM,
      [
        { resource: 'memory', share: 0.6, seenBy: 'guest' },
        { resource: 'io', share: 0.8, seenBy: 'guest' },
      ],
    ],
    [
      'silent; the host sees it swap',
      9000,
      null,
      { ...CALM, memory: { share: 0.7, short: true } },
      [{ resource: 'memory', share: 0.7, seenBy: 'host' }],
    ],
    [
      'silent; the host sees it short',
      9000,
      null,
      { ...CALM, cpu: { share: null, short: true } },
      [{ resource: 'cpu', share: null, seenBy: 'host' }],
    ],
    [
      'its kernel tells nothing, the host does',
      9000,
      work(8000, { memory: null }),
      { ...CALM, memory: { share: 0.3, short: false } },
      [{ resource: 'memory', share: 0.3, seenBy: 'host' }],
    ],
    ['the guest knows better than the host', 9000, work(8000, {}), { ...CALM, memory: { share: 0.9, short: true } }, []],
  ];
  for (const [what, totalMs, guest, host, causes] of table) t.same(causesOf(totalMs, guest, host), causes, what);
});

t.test('times: every phase, and the rest that is in none', async (t) => {
  const times = timesOf({ totalMs: 10_000, queueMs: 500, deliveryMs: 1500 }, work(6000, {}));
  t.same(times, {
    totalMs: 10_000,
    phases: [
      { name: 'queue', ms: 500 },
      { name: 'delivery', ms: 1500 },
      { name: 'account', ms: 3000 },
    ],
    unaccountedMs: 5000,
  });
  t.equal(phaseWords(times), '10.0 s in all: queue 0.5 s, delivery 1.5 s, account 3.0 s, unaccounted 5.0 s');
  t.same(timesOf({ totalMs: 700, queueMs: 700, deliveryMs: null }, null).unaccountedMs, 0);
  t.equal(
    delayWords(times, [{ resource: 'memory', share: 0.5, seenBy: 'guest' }], ['at 08:55:00 memory raised'], true),
    'delayed after 10.0 s: the guest is short of memory (something waited for it 50 % of the time); at 08:55:00 memory raised',
  );
  t.match(delayWords(times, [{ resource: 'cpu', share: null, seenBy: 'host' }], [], true), /short of CPU \(as its host sees it\)$/);
  t.match(delayWords(times, [], [], false), /has not answered yet, .*; its host sees no lack of memory, CPU or disk I\/O$/);
  t.match(delayWords(times, [], [], true), /not short of memory, CPU or disk I\/O as far as it is known; 5\.0 s are in no phase$/);
});

function office(over: { refusal?: string | null; waits?: Record<WaitedFor, Wait> } = {}) {
  const time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  const clock = new NodeClock(time);
  const sent: FrameOf<'guest-command'>[] = [];
  const told: Told[] = [];
  const ledger: LedgerBody[] = [];
  const state = { refusal: over.refusal ?? null, waits: over.waits ?? CALM, deaf: false };
  const credentials = new Credentials({
    ...{ clock, epoch: 7, epochOf: () => 7, nowMs: () => time.nowMs },
    send: (_host, frame) => !state.deaf && sent.push(frame) > 0,
    host: () => ({ host: hostId('kvm1'), refusal: state.refusal }),
    waits: () => state.waits,
    doing: (_vm, resource) => `its ${resource} was raised`,
    tell: (each) => told.push(each),
    record: (_timeMs, body) => ledger.push(body),
  });
  const answer = (over: Partial<FrameOf<'credential'>>): void =>
    credentials.onAnswer({
      ...{ type: 'credential', commandId: sent.at(-1)?.commandId ?? '', vm: VM, state: 'working', reason: '', sealed: null },
      ...{ account: 'ops', method: 'password', expiresAtMs: null, elapsedMs: 0, phases: [], stalledMs: { cpu: 0, memory: 0, io: 0 } },
      ...over,
    });
  const run = (seconds: number): Promise<void> => time.runUntil(time.nowMs + seconds * 1000);
  return { credentials, sent, told, ledger, state, answer, run, messages: () => told.map(({ message }) => message) };
}

t.test('in time: pending, ready, two notifications, on record without the secret', async (t) => {
  const { credentials, sent, ledger, answer, run, messages, told } = office();
  const { id, state } = credentials.request(VM, KEY, 'ada');
  t.equal(state, 'pending');
  t.match(sent, [{ commandId: id, action: { kind: 'credential', publicKey: KEY } }]);
  await run(0.4);
  answer({ state: 'ready', sealed: 'a.b.c.d.e', elapsedMs: 300, phases: [{ name: 'secret', ms: 100 }] });
  t.match(credentials.view(VM, id), { state: 'ready', sealed: 'a.b.c.d.e', delay: null, totalMs: 400, account: 'ops' });
  t.match(messages(), [
    /asked for by ada/,
    /^The login for account ops is ready \(0\.4 s in all: queue 0\.0 s, delivery 0\.1 s, secret 0\.1 s, unaccounted 0\.2 s\)$/,
  ]);
  t.ok(told.every(({ kind, resource }) => kind === 'credential' && resource === null));
  t.match(ledger, [
    { kind: 'operator', action: 'login asked for', by: 'ada' },
    { kind: 'event', event: 'login ready' },
  ]);
  t.notMatch(JSON.stringify([ledger, told]), 'a.b.c.d.e', 'not even what is sealed is told around');
  t.equal(credentials.view(testVmId(2), id), null, 'another VM has no such login');
  answer({ state: 'failed', reason: 'a repetition' });
  t.equal(credentials.view(VM, id)?.state, 'ready', 'an end is an end');
  await run(700);
  t.equal(credentials.view(VM, id), null, 'forgotten');
});

t.test('starved of memory: delayed with its cause and what is done, told once; ready says so too', async (t) => {
  const { credentials, answer, run, messages, told } = office();
  const { id } = credentials.request(VM, KEY, 'ada');
  for (let second = 1; second <= 12; second++) {
    await run(1);
    answer({ elapsedMs: second * 1000, stalledMs: { cpu: 0, memory: second * 700, io: 0 } });
    if (second !== 5) t.equal(credentials.view(VM, id)?.state, second < 5 ? 'pending' : 'delayed');
  }
  t.match(credentials.view(VM, id)?.delay, { causes: [{ resource: 'memory', share: 0.7 }] });
  t.match(messages().slice(1), [
    /^The login is delayed after 5\.0 s: the guest is short of memory \(something waited for it 70 % .*; its memory was raised$/,
  ]);
  t.match(told[1], {
    kind: 'credential',
    resource: 'memory',
    data: { state: 'delayed', causes: [{ resource: 'memory' }], phases: [{ name: 'queue' }, { name: 'delivery' }] },
  });
  answer({ state: 'ready', sealed: 'a.b.c.d.e', elapsedMs: 12_000, stalledMs: { cpu: 0, memory: 8400, io: 0 } });
  t.match(messages().at(-1), /is ready \(12\.0 s in all.*it was delayed after 12\.0 s: the guest is short of memory/);
  t.match(credentials.view(VM, id), { state: 'ready', delay: { causes: [{ resource: 'memory' }] } });
});

t.test('slow without a lack: delayed, and no resource is blamed', async (t) => {
  const { credentials, answer, run, messages } = office();
  const { id } = credentials.request(VM, KEY, 'ada');
  await run(8);
  answer({ elapsedMs: 8000, stalledMs: { cpu: 300, memory: 0, io: 200 } });
  await run(1);
  t.match(credentials.view(VM, id), { state: 'delayed', delay: { causes: [] } });
  t.match(messages().at(-1), /not short of memory, CPU or disk/);
});

t.test('words of the guest that come all at once, long after: its work is not counted as their way', async (t) => {
  const { credentials, answer, run, messages } = office();
  const { id } = credentials.request(VM, KEY, 'ada');
  await run(9);
  t.match(messages().at(-1), /has not answered yet/);
  answer({ elapsedMs: 0 });
  answer({ elapsedMs: 1000, phases: [{ name: 'secret', ms: 1000 }] });
  answer({
    state: 'ready',
    sealed: 'a.b.c.d.e',
    elapsedMs: 3000,
    phases: [
      { name: 'secret', ms: 1000 },
      { name: 'encrypt', ms: 1900 },
    ],
  });
  const { totalMs, phases, unaccountedMs } = credentials.view(VM, id)!;
  t.equal(phases.find(({ name }) => name === 'delivery')?.ms, 6000);
  t.equal(
    phases.reduce((sum, { ms }) => sum + ms, unaccountedMs),
    totalMs,
  );
});

t.test('a guest that says nothing: the command is repeated, the host’s view counts, and it ends', async (t) => {
  const { credentials, sent, run, state, messages, ledger } = office({ waits: { ...CALM, memory: { share: 0.6, short: true } } });
  state.deaf = true;
  const { id } = credentials.request(VM, KEY, 'ada');
  await run(2);
  t.same(sent, []);
  state.deaf = false;
  await run(20);
  t.ok(sent.length >= 3 && sent.every(({ commandId }) => commandId === id), `${sent.length} times the same`);
  t.match(messages().at(-1), /short of memory \(something waited for it 60 % of the time, as its host sees it\)/);
  t.match(credentials.view(VM, id)?.phases, [{ name: 'queue', ms: 3000 }]);
  await run(600);
  t.match(credentials.view(VM, id), { state: 'failed', reason: /ten minutes/ });
  t.match(ledger.at(-1), { event: 'login failed' });
});

t.test('refused: nobody to ask, one at a time, and what the guest refuses', async (t) => {
  const { credentials, answer, state } = office({ refusal: 'host kvm1 is not connected' });
  t.throws(() => credentials.request(VM, KEY, 'ada'), { code: 'UNAVAILABLE', message: 'host kvm1 is not connected' });
  state.refusal = null;
  t.match(credentials.request(VM, KEY, 'ada', true), { id: 'none', state: 'pending' }, 'only tried');
  const { id } = credentials.request(VM, KEY, 'ada');
  t.throws(() => credentials.request(VM, KEY, 'bob', true), { code: 'CONFLICT' });
  t.throws(() => credentials.request(VM, KEY, 'bob'), { code: 'CONFLICT', message: new RegExp(id) });
  answer({ state: 'refused', reason: 'logins are not switched on in this guest', account: null });
  t.match(credentials.view(VM, id), { state: 'failed', reason: /not switched on/, sealed: null });
  t.match(credentials.request(VM, KEY, 'bob').state, 'pending');
});

const service = await fakeService({ nowMs: () => Date.UTC(2026, 2, 3, 9) });
const cli = await cliWorld(service);
const app = await createHttpApp(service);
t.teardown(() => Promise.all([cli.close(), app.close()]));
const post = (publicKey: unknown, vm = 'shop-web') =>
  app.inject({ method: 'POST', url: `/v1/vms/${vm}/credentials`, headers: { host: '127.0.0.1' }, payload: { publicKey } as object });

t.test('API: keys as PEM and JWK, two kinds; everything else is refused with what to do', async (t) => {
  for (const pair of [generateKeyPairSync('x25519'), generateKeyPairSync('rsa', { modulusLength: 2048 })]) {
    for (const key of [pair.publicKey.export({ format: 'jwk' }), pair.publicKey.export({ format: 'pem', type: 'spki' })]) {
      const answer = await post(key);
      t.equal(answer.statusCode, 202, answer.body);
      t.match(answer.json(), { state: 'pending', sealed: null });
      const got = await app.inject({ url: `/v1/vms/shop-web/credentials/${answer.json().id}`, headers: { host: '127.0.0.1' } });
      t.equal(got.statusCode, 200);
    }
    const mine = pair.privateKey.export({ format: 'pem', type: 'pkcs8' });
    for (const key of [mine, pair.privateKey.export({ format: 'jwk' })]) {
      const refused = await post(key);
      t.match(refused.json(), { status: 400, detail: /holds a private key/ });
    }
  }
  const others = [
    generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' }),
    generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'pem', type: 'spki' }),
    'no key at all',
    { kty: 'OKP', crv: 'X25519', x: 'short' },
  ];
  for (const key of others) t.match((await post(key)).json(), { status: 400, code: 'USAGE', detail: /give an X25519 key or an RSA key/ });
  t.equal((await post(KEY, 'nobody')).statusCode, 404);
  t.equal((await app.inject({ url: '/v1/vms/shop-web/credentials/login-9-9', headers: { host: '127.0.0.1' } })).statusCode, 404);
});

t.test('command line: makes the key, waits, opens, prints; the secret on standard output alone', async (t) => {
  const sealed = new Map<string, string>();
  let looks = 0;
  service.onLogin = (login, publicKey) => {
    if (!sealed.has(login.id)) void sealTo('s3cret-of-the-guest', publicKey).then((text) => sealed.set(login.id, text));
    const causes: Cause[] = [{ resource: 'memory', share: 0.6, seenBy: 'guest' }];
    const delay = { causes, message: 'delayed after 6.0 s: the guest is short of memory' };
    if (++looks < 2 || !sealed.has(login.id)) return { ...login, state: 'delayed', delay, totalMs: 6000 };
    return { ...login, state: 'ready', account: 'ops', method: 'password', sealed: sealed.get(login.id)!, totalMs: 7000, delay };
  };
  const done = await cli.run('vm credentials shop-web');
  t.equal(done.code, 0, done.err);
  t.equal(done.out, 's3cret-of-the-guest\n');
  t.match(done.err, /waiting for the guest\n.*short of memory\n.*password of account ops; 7\.0 s in all.*it was delayed/s);
  t.notMatch(done.err, 's3cret');
  const other = createPublicKey(generateKeyPairSync('x25519').privateKey).export({ format: 'jwk' }) as PublicKey;
  const wrong = await sealTo('sealed to somebody else', other);
  service.onLogin = (login) => ({ ...login, state: 'ready', account: 'ops', method: 'password', sealed: wrong });
  const refused = await cli.run('vm credentials shop-web');
  t.not(refused.code, 0);
  t.match(refused.err, /sealed to another, do not use it/);
  service.onLogin = (login) => ({ ...login, state: 'failed', reason: 'logins are not switched on in this guest' });
  t.match((await cli.run('vm credentials shop-web')).err, /no login was made: logins are not switched on/);
  service.onLogin = (login) => login;
  const late = await cli.run('vm credentials shop-web --wait 1');
  t.match(late.err, /not ready after 1 s/);
  t.match((await cli.run('vm credentials shop-web --wait soon')).err, /seconds from 1 to 3600/);
});
