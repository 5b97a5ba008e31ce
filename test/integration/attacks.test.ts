/**
 * Goal: what an attacker would try first, each refused with the right code, without effect, and written to the ledger where it
 * is somebody's attempt: other VMs, other hosts, replays, relays, tokens, revoked keys, old epochs, viewers, webhooks, lies.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { WebSocket } from 'ws';
import { openAgentKey } from '../../agent/agent-key.ts';
import { type Command, type GuardedHost, type GuardedVm, guardCommand } from '../../agent/core/command-guard.ts';
import { cpuDemand, memoryDemand } from '../../aggregator/core/state/demand-estimate.ts';
import { createHttpPost } from '../../aggregator/notify/http-post.ts';
import { allowedTargets } from '../../aggregator/notify/target-address.ts';
import { makeProof, newAgentKey } from '../../shared/identity.ts';
import { createCodec } from '../../shared/net/codec.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf } from '../../shared/protocol/frames.ts';
import { accessWorld } from '../support/access-world.ts';
import { type IdentityWorld, identityWorld, type TestAgent, testAgent } from '../support/identity-world.ts';
import { told } from '../support/told.ts';
import { commandFrame, eventFrame, helloFrame, inventoryFrame, resultFrame, rowsOf, until, vmUuid } from '../support/wire-world.ts';

const [MINE, THEIRS] = [vmUuid(1), vmUuid(2)];

async function enrolled(t: { testdir(): string }, world: IdentityWorld, host: string, vms: readonly string[]): Promise<TestAgent> {
  const { token } = await world.registry.issueToken(`host/${host}`, 60_000, 'test');
  const agent = testAgent({ world, hello: { host }, stateDir: t.testdir(), token, vms });
  await until(() => world.sink.log.includes(`inventory ${host} ${vms.length}`), `${host}'s inventory`);
  return agent;
}

async function audited(world: IdentityWorld, subject: string, code: string, reason: RegExp): Promise<boolean> {
  await until(() => world.problems.some((problem) => problem.code === code && reason.test(problem.message)), `${code} ${reason}`);
  await sleep(20);
  return (await world.audit()).some((each) => each.subject === subject && each.code === code && reason.test(each.reason));
}

/** A peer that speaks frames by hand, over TLS. */
class RawPeer {
  readonly frames: Frame[] = [];
  readonly #codec = createCodec({ maxBytes: FRAME_BYTES_MAX });
  readonly #socket: WebSocket;

  constructor({ url, ca }: IdentityWorld) {
    this.#socket = new WebSocket(url, { ca, perMessageDeflate: false });
    const decoder = createCodec({ maxBytes: FRAME_BYTES_MAX });
    this.#socket.on('message', (data) => this.frames.push(decoder.decode(data as Buffer)));
    this.#socket.on('error', () => undefined);
  }

  async say(frame: Frame): Promise<void> {
    await until(() => this.#socket.readyState === WebSocket.OPEN, 'the socket');
    this.#socket.send(this.#codec.encode(frame));
  }

  async heard<T extends Frame['type']>(type: T): Promise<FrameOf<T>> {
    await until(() => this.frames.some((frame) => frame.type === type), type);
    return this.frames.find((frame) => frame.type === type) as FrameOf<T>;
  }
}

t.test('a guest agent speaks for its own VM alone', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const host = await enrolled(t, world, 'host-a', [MINE, THEIRS]);
  const { token } = await world.registry.issueToken(`guest/${MINE}`, 60_000, 'test');
  const stateDir = t.testdir();
  const guest = testAgent({ world, hello: { role: 'guest', host: null, vm: MINE }, stateDir, token });
  await until(() => guest.welcomes.length === 1, "the guest's welcome");
  const fields = ['vm_pressure.runQueue'];
  guest.buffer.append(rowsOf(THEIRS, [1000], { source: 'guest', fields }), 0);
  t.ok(await audited(world, `guest/${MINE}`, 'PERMISSION', new RegExp(THEIRS)));
  t.notOk(
    [...world.store.rows.keys()].some((key) => key.startsWith(THEIRS)),
    'nothing of it is stored',
  );
  await guest.uplink.stop();

  const other = testAgent({ world, hello: { role: 'guest', host: null, vm: THEIRS }, stateDir });
  t.ok(await audited(world, `guest/${THEIRS}`, 'HANDSHAKE_REFUSED', /that key is guest\//), 'its key is good for its own name');
  await other.uplink.stop();

  const vouching = testAgent({ world, hello: { role: 'guest', host: null, vm: MINE }, stateDir });
  await until(() => vouching.welcomes.length === 1, 'the welcome');
  vouching.buffer.append(rowsOf(MINE, [2000], { source: 'host' }), 0);
  t.ok(await audited(world, `guest/${MINE}`, 'PERMISSION', /by host/), 'and not in the name of the host');
  await vouching.uplink.stop();
  await host.uplink.stop();
});

t.test("a host agent speaks for its own host's VMs alone", async (t) => {
  const world = await identityWorld({ mayMove: () => false });
  t.teardown(() => world.close());
  const owner = await enrolled(t, world, 'host-a', [MINE]);
  const thief = await enrolled(t, world, 'host-b', []);
  thief.buffer.append(rowsOf(MINE, [1000]), 0);
  t.ok(await audited(world, 'host/host-b', 'PERMISSION', /not this agent's to report/), 'its telemetry');
  thief.uplink.send({ ...eventFrame('gone', MINE), kind: 'migrated' });
  thief.uplink.send(resultFrame(MINE));
  await until(() => thief.uplink.metrics().uplink_outbox_frames === 0, 'what it says of it');
  t.same([world.store.times(MINE), world.sink.events, world.sink.results], [[], [], []], 'is nothing to anybody');
  t.equal(world.ingest.counters.dropped['foreign-subject'], 3);
  t.same(thief.errors, [], 'and costs no connection: it may have had that VM once');
  thief.buffer.append(rowsOf('host-a', [1000], { subject: { kind: 'host', id: 'host-a' } }), 0);
  t.ok(await audited(world, 'host/host-b', 'PERMISSION', /telemetry of host host-a/), 'it never was another host');
  t.equal(thief.errors.length, 1, 'which does');
  await thief.uplink.stop();
  const claiming = testAgent({
    world,
    hello: { host: 'host-b' },
    stateDir: t.testdir(),
    token: await fresh(world, 'host/host-b'),
    vms: [MINE, THEIRS],
  });
  t.ok(await audited(world, 'host/host-b', 'PERMISSION', /which host host-a has and keeps/), 'an inventory that claims it');
  t.equal(world.sink.owners.get(MINE), 'host-a');
  t.equal(world.sink.owners.get(THEIRS), 'host-b', 'the rest of that inventory counts');
  claiming.buffer.append(rowsOf(MINE, [3000]), 0);
  await until(() => world.ingest.counters.dropped['contested-vm'] >= 2, 'the rows dropped');
  t.notOk(world.store.rows.has(`${MINE}/host/3000`));
  const blocked = testAgent({ world, hello: { host: 'host-a' }, stateDir: t.testdir() });
  t.ok(await audited(world, 'host/host-a', 'HANDSHAKE_REFUSED', /not enrolled/), "nobody takes a host's name without its key");
  for (const agent of [blocked, claiming, owner]) await agent.uplink.stop();
});

async function fresh(world: IdentityWorld, agent: `host/${string}`, validMs = 60_000): Promise<string> {
  return (await world.registry.issueToken(agent, validMs, 'test')).token;
}

t.test('replayed batches are stored once; numbers that go back end the connection', async (t) => {
  const world = await identityWorld({ always: false });
  t.teardown(() => world.close());
  const peer = new RawPeer(world);
  await peer.say(helloFrame({ host: 'host-a' }));
  await peer.heard('welcome');
  await peer.say(inventoryFrame([MINE]));
  const batch = (seq: number): FrameOf<'telemetry'> => ({
    ...{ type: 'telemetry', lane: 'live', seq, wallMs: 1, monotonicMs: 1 },
    blocks: [
      {
        ...{ kind: 'vm', id: MINE, source: 'host', set: 0, fields: ['vm_cpu.usageCores'] },
        times: new Uint8Array(Float64Array.of(1000).buffer),
        values: new Uint8Array(Float64Array.of(1).buffer),
      },
    ],
  });
  await peer.say(batch(5));
  await peer.heard('ack');
  await peer.say(batch(5));
  await until(() => world.ingest.counters.batchesRepeated === 1, 'the repetition');
  t.equal(world.store.appends, 1);
  await peer.say(batch(4));
  t.match(await peer.heard('error'), { code: 'FRAME_OUT_OF_ORDER' });
  t.ok(await audited(world, 'host/host-a', 'FRAME_OUT_OF_ORDER', /must rise/));
});

t.test('a proof is worth nothing again, and nothing on another connection', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const real = openAgentKey(stateDir, null);
  const proofs: FrameOf<'proof'>[] = [];
  const spying = {
    prove: (...asked: Parameters<typeof real.prove>) => {
      const proof = { ...real.prove(...asked), token };
      proofs.push(proof);
      return proof;
    },
    accepted: real.accepted.bind(real),
  };
  const token = await fresh(world, 'host/host-a');
  const agent = testAgent({ world, hello: { host: 'host-a' }, prover: spying });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  await agent.uplink.stop();
  const replay = new RawPeer(world);
  await replay.say(helloFrame({ host: 'host-a' }));
  await replay.heard('challenge');
  await replay.say(proofs[0]!);
  t.match(await replay.heard('error'), { code: 'HANDSHAKE_REFUSED', message: /does not hold for this connection/ });
  // An attacker between the two, trusted by the agent: it passes the nonce on, and the agent signs what it sees of its own connection.
  const relay = new RawPeer(world);
  const hello = helloFrame({ host: 'host-a' });
  await relay.say(hello);
  const challenge = await relay.heard('challenge');
  await relay.say(real.prove(challenge, hello, Buffer.alloc(32, 7).toString('base64url')));
  t.match(await relay.heard('error'), { code: 'HANDSHAKE_REFUSED', message: /does not hold for this connection/ });
  const unasked = new RawPeer(world);
  await unasked.say(proofs[0]!);
  t.match(await unasked.heard('error'), { code: 'FRAME_OUT_OF_ORDER' });
  t.ok(await audited(world, 'host/host-a', 'HANDSHAKE_REFUSED', /does not hold/));
});

t.test('enrolment tokens: expired, used before, for another, forged, with a stolen public key', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const attempt = async (host: string, token: string, reason: RegExp): Promise<void> => {
    const agent = testAgent({ world, hello: { host }, stateDir: t.testdir(), token });
    t.ok(await audited(world, `host/${host}`, 'HANDSHAKE_REFUSED', reason), String(reason));
    t.equal(agent.welcomes.length, 0);
    await agent.uplink.stop();
  };
  const used = await fresh(world, 'host/host-a');
  const first = testAgent({ world, hello: { host: 'host-a' }, stateDir: t.testdir(), token: used });
  await until(() => first.welcomes.length === 1, 'the welcome');
  await first.uplink.stop();
  await attempt('host-a', used, /was used before/);
  await attempt('host-b', await fresh(world, 'host/host-c'), /is for host\/host-c/);
  await attempt('host-d', `hre_${'0'.repeat(12)}_${'A'.repeat(43)}`, /not one of ours/);
  const late = await fresh(world, 'host/host-e', 1000);
  world.clock.moveMs = 2000;
  await attempt('host-e', late, /has expired/);
  const peer = new RawPeer(world);
  const hello = helloFrame({ host: 'host-f' });
  await peer.say(hello);
  const { nonce } = await peer.heard('challenge');
  const proof = makeProof({ hello, nonce, binding: '' }, newAgentKey(), null, await fresh(world, 'host/host-f'));
  await peer.say({ ...proof, publicKey: newAgentKey().publicKey });
  t.match(await peer.heard('error'), { code: 'HANDSHAKE_REFUSED' });
});

t.test('a revoked key', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const agent = await enrolled(t, world, 'host-a', []);
  await world.registry.revoke('host/host-a', 'test', 'stolen');
  t.ok(await audited(world, 'host/host-a', 'HANDSHAKE_REFUSED', /is revoked/));
  t.equal(agent.welcomes.length, 1);
  await agent.uplink.stop();
});

t.test('replayed commands and an old epoch stop at the host agent', async (t) => {
  const allowed = { allowed: true } as const;
  const command = (over: Partial<Command>): Command => ({ ...commandFrame(MINE), pair: { epoch: 3, generation: 5 }, ...over });
  const done = {
    ...commandFrame(MINE),
    type: 'result',
    outcome: 'applied',
    readBack: null,
    wallMs: 0,
    pair: { epoch: 3, generation: 5 },
  } as never;
  const vm: GuardedVm = {
    ...{ running: true, vcpus: 2, growOnly: false, holds: {}, jobActive: false, killed: null },
    eligibility: { cpu: allowed, memory: allowed, network: allowed, disk: allowed },
    current: { memory: { resource: 'memory', memoryMiB: 512 } },
    pairs: { memory: { epoch: 3, generation: 5 } },
    results: [done],
    memory: { targetMiB: 512, fromMiB: null, balloonMiB: 512, ...told(300, 212), rssMiB: 500, pressure: false },
  };
  const host: GuardedHost = { killed: null, balloonManager: null, usableMiB: 4096, exposureMiB: 1024, freeMiB: 2048 };
  const verdict = (over: Partial<Command>) => guardCommand(command(over), vm, host, 10);
  t.not(verdict({}).kind, 'go', 'the same command again is answered as before');
  t.match(verdict({ commandId: 'c-2' }), { outcome: 'skipped' }, 'its pair under another name');
  t.match(verdict({ commandId: 'c-3', pair: { epoch: 2, generation: 99 } }), { outcome: 'refused', reason: /below/ }, 'an older epoch');
});

t.test('a viewer who changes, and a token that is none', async (t) => {
  const { app, ask, token, service, audit } = await accessWorld();
  t.teardown(() => app.close());
  const bearer = await token({ name: 'eve' });
  for (const [method, url, payload] of [
    ['PUT', '/v1/kill-switch', { reason: 'x' }],
    ['DELETE', '/v1/kill-switch', { reason: 'x' }],
    ['POST', '/v1/api-tokens', { name: 'mine', role: 'administrator' }],
    ['POST', '/v1/enrolment-tokens', { host: 'evil' }],
  ] as const)
    t.match((await ask(method, url, { bearer, payload })).json(), { status: 403, code: 'PERMISSION' }, `${method} ${url}`);
  t.same(service.killSwitchCalls, []);
  t.match((await ask('GET', '/v1/vms', { bearer: 'hra_0_0' })).json(), { status: 401, code: 'UNAUTHENTICATED' });
  const told = await audit();
  t.equal(told.filter(({ subject, code }) => subject === 'token eve' && code === 'PERMISSION').length, 4);
  t.equal(told.filter(({ code }) => code === 'UNAUTHENTICATED').length, 1);
});

t.test('a webhook to this machine, its link or a metadata service', async (t) => {
  const post = createHttpPost(allowedTargets([]), 2000);
  for (const host of ['127.0.0.1', '[::1]', '169.254.169.254', '[fe80::1]', '[::ffff:127.0.0.1]', '0x7f000001', '2130706433', 'localhost'])
    await t.rejects(post(`http://${host}:1/hook`, {}, '{}'), { code: 'PERMISSION' }, host);
});

t.test('a guest that lies about its needs gains its guaranteed share at most', async (t) => {
  const cpu = { usageCores: 0.1, throttledFraction: Number.NaN, waitFraction: Number.NaN, capCores: 1, vcpus: 8, guaranteedCores: 1.5 };
  t.equal(cpuDemand({ ...cpu, guestStealFraction: 0.99, guestRunQueue: 500 }).value, 1.5);
  const vouched = { ...cpu, throttledFraction: 0, waitFraction: 0 };
  t.equal(
    cpuDemand({ ...vouched, guestStealFraction: 0.99, guestRunQueue: 500 }).value,
    0.1,
    "and nothing where the host's own word is there",
  );
  const memory = {
    workingSetMiB: 900,
    balloonMiB: 1000,
    availableMiB: 100,
    swapInMiBPerSecond: 0,
    pressureFullFraction: 0,
    guaranteedMiB: 1100,
  };
  const lie = { guestSwapInMiBPerSecond: 1e9, guestRefaultsPerSecond: 1e9, guestPressureFullFraction: 1 };
  t.equal(memoryDemand({ ...memory, ...lie }).value, 1100);
});
