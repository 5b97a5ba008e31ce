/**
 * Goal: beyond one machine an agent is who its key says, over TLS: enrolment by a token, proof at every connection, rotation,
 * revocation at once; and within one machine nothing has to be set up.
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { forgetAgentKey } from '../../agent/agent-key.ts';
import { AgentRegistry } from '../../aggregator/identity/agent-registry.ts';
import { SecurityLog } from '../../aggregator/identity/security-log.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { createLogger } from '../../shared/log.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { identityWorld, testAgent } from '../support/identity-world.ts';
import { rowsOf, until, vmUuid } from '../support/wire-world.ts';

const by = 'alice';

t.test('enrols once, then proves possession at every connection; rows reach the store over TLS', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const { token } = await world.registry.issueToken('host/host-a', 60_000, by);
  const first = testAgent({ world, hello: { host: 'host-a' }, stateDir, token, vms: [vmUuid(1)] });
  await until(() => first.welcomes.length === 1, 'the welcome');
  const { keyId } = first.welcomes[0]!;
  t.match(keyId, /^[0-9a-f]{32}$/);
  first.buffer.append(rowsOf(vmUuid(1), [1000, 2000]), 0);
  await until(() => world.store.rows.size === 2, 'the rows');
  await first.uplink.stop();
  const file = join(stateDir, 'identity.json');
  t.equal(statSync(file).mode & 0o777, 0o600, 'the key is for its owner alone');
  t.match(JSON.parse(readFileSync(file, 'utf8')), { enrolled: true, next: null });

  const again = testAgent({ world, hello: { host: 'host-a' }, stateDir });
  await until(() => again.welcomes.length === 1, 'the welcome without a token');
  t.equal(again.welcomes[0]!.keyId, keyId);
  await again.uplink.stop();
  t.match(await world.audit(), [{ event: 'enrolment-token-made' }, { event: 'agent-enrolled', subject: 'host/host-a' }]);
  const kept = new TextDecoder().decode((await world.ledger.getBlob('agent-identities'))!);
  t.notMatch(kept, token, 'the token itself is nowhere kept');
});

t.test('what is kept outlives the aggregator: keys, revocations, used tokens', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const { token } = await world.registry.issueToken('host/host-a', 60_000, by);
  const agent = testAgent({ world, hello: { host: 'host-a' }, stateDir: t.testdir(), token });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  await agent.uplink.stop();
  await world.registry.revoke('host/host-a', by, 'a drill');
  const security = new SecurityLog(
    world.ledger,
    world.clock,
    createLogger(() => undefined, world.clock, 'error'),
  );
  const { ledger, clock } = world;
  const later = await AgentRegistry.load({ ledger, clock, security, always: true, keyMsMax: 1e9, evict: () => undefined });
  t.match(later.list(), { keys: [{ agent: 'host/host-a', revokedAtMs: Number }], tokens: [{ usedAtMs: Number }] });
});

t.test('a revoked key: the open connection ends within a second, the next is refused, a new token lets it back in', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const enrol = async () => (await world.registry.issueToken('host/host-a', 60_000, by)).token;
  const agent = testAgent({ world, hello: { host: 'host-a' }, stateDir, token: await enrol() });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  const atMs = Date.now();
  await world.registry.revoke('host/host-a', by, 'stolen');
  await until(() => agent.errors.length > 0, 'the end');
  t.ok(Date.now() - atMs < 1000, 'at once');
  t.match(agent.errors[0], /PERMISSION.*revoked/);
  await until(() => agent.errors.length > 2, 'further attempts');
  t.match(agent.errors.at(-1), /HANDSHAKE_REFUSED.*revoked; enrol it anew/);
  t.equal(agent.welcomes.length, 1);
  await agent.uplink.stop();
  forgetAgentKey(stateDir);
  const anew = testAgent({ world, hello: { host: 'host-a' }, stateDir, token: await enrol() });
  await until(() => anew.welcomes.length === 1, 'the welcome of the new key');
  await anew.uplink.stop();
});

t.test('keys rotate when asked for and when old; the old one is worth nothing afterwards', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const { token } = await world.registry.issueToken('host/host-a', 60_000, by);
  const agent = testAgent({ world, hello: { host: 'host-a' }, stateDir, token });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  const old = readFileSync(join(stateDir, 'identity.json'), 'utf8');
  await world.registry.rotate('host/host-a', by);
  await until(() => agent.welcomes.length === 2, 'the welcome after the operator asked');
  world.clock.moveMs = 100 * 86_400_000;
  world.ingest.evict('host/host-a', new HeadroomError('CONFLICT', 'a drill'));
  await until(() => agent.welcomes.length === 3, 'the welcome when the key had become old');
  const ids = agent.welcomes.map(({ keyId }) => keyId);
  t.equal(new Set(ids).size, 3, 'three keys');
  await agent.uplink.stop();
  const thief = testAgent({ world, hello: { host: 'host-a' }, stateDir: t.testdir({ 'identity.json': old }) });
  await until(() => thief.errors.length > 0, 'the refusal');
  t.match(thief.errors[0], /HANDSHAKE_REFUSED.*revoked/);
  await thief.uplink.stop();
});

t.test('a rotation whose welcome was lost is found again at the next connection', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const { token } = await world.registry.issueToken('host/host-a', 60_000, by);
  const agent = testAgent({ world, hello: { host: 'host-a' }, stateDir, token });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  await agent.uplink.stop();
  await world.registry.rotate('host/host-a', by);
  const { openAgentKey } = await import('../../agent/agent-key.ts');
  const real = openAgentKey(stateDir, null);
  const deaf = { prove: real.prove.bind(real), accepted: () => undefined };
  const first = testAgent({ world, hello: { host: 'host-a' }, prover: deaf });
  await until(() => first.welcomes.length === 1, 'the welcome that is not taken in');
  await first.uplink.stop();
  const second = testAgent({ world, hello: { host: 'host-a' }, stateDir });
  await until(() => second.welcomes.length === 1, 'the next welcome');
  t.equal(second.welcomes[0]!.keyId, first.welcomes[0]!.keyId);
  t.match(JSON.parse(readFileSync(join(stateDir, 'identity.json'), 'utf8')), { enrolled: true, next: null });
  await second.uplink.stop();
});

t.test('within one machine no key is needed, until a name is enrolled: then it always is', async (t) => {
  const world = await identityWorld({ always: false });
  t.teardown(() => world.close());
  const plain = testAgent({ world, hello: { host: 'host-a' } });
  await until(() => plain.welcomes.length === 1, 'the welcome without a key');
  t.notOk(plain.welcomes[0]!.keyId);
  await plain.uplink.stop();
  const { token } = await world.registry.issueToken('host/host-b', 60_000, by);
  const impostor = testAgent({ world, hello: { host: 'host-b' } });
  await until(() => impostor.errors.length > 0, 'the refusal');
  t.match(impostor.errors[0], /this agent has no key/, 'a token waits: the name is taken');
  await impostor.uplink.stop();
  const agent = testAgent({ world, hello: { host: 'host-b' }, stateDir: t.testdir(), token });
  await until(() => agent.welcomes.length === 1, 'the welcome');
  t.match(agent.welcomes[0]!.keyId, /^[0-9a-f]{32}$/);
  await agent.uplink.stop();
  const later = testAgent({ world, hello: { host: 'host-b' } });
  await until(() => later.errors.length > 0, 'the refusal');
  t.match(later.errors[0], /this agent has no key/, 'enrolled: without its key nobody is host-b');
  await later.uplink.stop();
});

t.test('a server the agent was not told to trust is never told anything', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const connect = webSocketConnect(world.url, FRAME_BYTES_MAX);
  await t.rejects(connect(), { code: 'CONNECTION_CLOSED', message: /certificate/ });
  t.throws(() => webSocketConnect('ws://192.0.2.1:7400/v1/agents', FRAME_BYTES_MAX), { code: 'CONFIG_INVALID', message: /wss/ });
});
