/**
 * Goal: `enrol` makes a key known with a token that is written nowhere, once; a wrong token is refused in words, and what was not
 * enrolled says so.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isEnrolled, openAgentKeyWith } from '../../agent/agent-key.ts';
import { Addresses } from '../../agent/core/addresses.ts';
import { enrol } from '../../agent/enrol.ts';
import { systemClock } from '../../shared/clock.ts';
import { hostId } from '../../shared/ids.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { freePort } from '../support/free-port.ts';
import { type IdentityWorld, identityWorld, testAgent } from '../support/identity-world.ts';
import { until } from '../support/wire-world.ts';

function enrolling(world: IdentityWorld, stateDir: string, token: string, waitMs: number): Promise<void> {
  return enrol({
    connect: webSocketConnect(world.url, FRAME_BYTES_MAX, world.ca),
    prover: openAgentKeyWith(stateDir, token),
    agent: { role: 'host', host: hostId('host-a') },
    ...{ clock: systemClock, prng: createPrng(1), bootId: 'boot', version: '1.2.3', waitMs },
  });
}

t.test('enrolled by a token in memory; the service then needs none', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  t.notOk(isEnrolled(stateDir));
  const { token } = await world.registry.issueToken('host/host-a', 60_000, 'alice');
  await enrolling(world, stateDir, token, 10_000);
  t.ok(isEnrolled(stateDir));
  const kept = readdirSync(stateDir).map((name) => readFileSync(join(stateDir, name), 'utf8'));
  t.notMatch(kept.join(''), token, 'the token is nowhere on the disk');
  const service = testAgent({ world, hello: { host: 'host-a' }, stateDir });
  await until(() => service.welcomes.length === 1, 'the welcome without a token');
  await service.uplink.stop();
});

t.test('of several aggregators the first is away: the next is asked', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  const { token } = await world.registry.issueToken('host/host-a', 60_000, 'alice');
  const addresses = new Addresses([`wss://localhost:${await freePort()}/v1/agents`, world.url]);
  await enrol({
    connect: async () => webSocketConnect(addresses.next, FRAME_BYTES_MAX, world.ca)(),
    addresses,
    prover: openAgentKeyWith(stateDir, token),
    agent: { role: 'host', host: hostId('host-a') },
    ...{ clock: systemClock, prng: createPrng(1), bootId: 'boot', version: '1.2.3', waitMs: 10_000 },
  });
  t.ok(isEnrolled(stateDir));
});

t.test('a wrong token', async (t) => {
  const world = await identityWorld();
  t.teardown(() => world.close());
  const stateDir = t.testdir();
  await t.rejects(enrolling(world, stateDir, 'no-such-token', 1000), /token/);
  t.notOk(isEnrolled(stateDir));
});
