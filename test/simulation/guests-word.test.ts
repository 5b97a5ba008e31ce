/**
 * Goal: what a guest says it will need, and what it is told it has, through the whole of a running aggregator: a hint that comes up its
 * host's connection raises the guest's own plan to its guaranteed share and nobody else's, is told as its own word, is over when it is
 * over; what the guest is told follows, and an agent that cannot pass it on is sent nothing. The parts: test/unit/pool-and-hints.test.ts.
 */
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { POOL_CAPABILITY } from '../../shared/protocol/frames.ts';
import { AggregatorWorld, CONFIG, DAY_MS } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const IDS = [1, 2, 3].map((n) => testVmId(n));
const GUARANTEED_CORES = 1.4;
const POLICY = `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
  blastRadius: {vmsPerPlan: 100, vmsPerHostPerPlan: 100, vmsPerWindow: 1000, window: 1m}
defaults:
  cpu: {mode: auto, enforcement: cap-always, guaranteedFraction: 0.7, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 0s, stepLimitShrinkFraction: 0.5, stepLimitGrowFraction: 10, deadBandFraction: 0.01}
  memory: {mode: off}
  network: {mode: off}
  disk: {mode: off}
`;

async function idleFleet(capabilities: string[]): Promise<AggregatorWorld> {
  const vms = IDS.map((id, i) => fakeVm(id, `vm-${i + 1}`, () => ({ cores: 0.1, memoryMiB: 200 })));
  const world = new AggregatorWorld(vms, POLICY);
  world.host.capabilities = capabilities;
  await world.start();
  world.host.live();
  await world.run(3 * DAY_MS);
  return world;
}

const caps = ({ host }: AggregatorWorld): (number | null)[] => host.vms.map(({ cpu }) => cpu.capCores);

t.test('a hint is heard, as the word of its guest alone; and the guest is told what it has', async (t) => {
  const world = await idleFleet([POOL_CAPABILITY]);
  const app = await createHttpApp(world.aggregator.service);
  t.teardown(() => app.close());
  const before = caps(world);
  t.ok(
    before.every((cap) => cap !== null && cap < 0.8),
    `idle: ${before.join(', ')}`,
  );
  t.match(world.host.pools.findLast(({ vm }) => vm === IDS[0])?.entries[0], { resource: 'cpu', granted: before[0], guaranteed: 0.4 });
  const hint = { type: 'hint', vm: IDS[0]!, resource: 'cpu', amount: 64, inMs: 0, forMs: 60_000 } as const;
  world.host.send({ ...hint, hintId: 'h1' });
  // Told again after a reconnect, and of a VM that is not on this host.
  world.host.send({ ...hint, hintId: 'h1' });
  world.host.send({ ...hint, hintId: 'h2', vm: testVmId(9) });
  await world.run(3 * CONFIG.planPeriodMs);
  const raised = caps(world);
  t.equal(raised[0], GUARANTEED_CORES, 'to its guaranteed share and no further');
  t.ok(
    raised.slice(1).every((cap) => cap !== null && cap < 0.8),
    `the others: ${raised.join(', ')}`,
  );
  const command = world.host.commands.findLast(
    ({ vm, target }) => vm === IDS[0] && target.resource === 'cpu' && target.capCores === GUARANTEED_CORES,
  );
  t.match(command?.reason, /because the guest expects to need 1\.40 cores \(its own word\)/);
  const { text } = (await app.inject({ url: '/v1/vms/vm-1/explain', headers: { host: '127.0.0.1' } })).json<{ text: string[] }>();
  t.match(text.join('\n'), /the guest expects to need/);
  t.match(world.host.pools.findLast(({ vm }) => vm === IDS[0])?.entries[0], { granted: GUARANTEED_CORES });
  await world.run(60_000 + 10 * CONFIG.planPeriodMs);
  t.ok((caps(world)[0] ?? 9) < 0.8, `over with its time: ${caps(world).join(', ')}`);
});

t.test('what is said of later is to be seen at once, as a claim, and moves nothing until then', async (t) => {
  const world = await idleFleet([POOL_CAPABILITY]);
  const app = await createHttpApp(world.aggregator.service);
  t.teardown(() => app.close());
  const headers = { host: '127.0.0.1' };
  const text = async () => (await app.inject({ url: '/v1/vms/vm-2/explain', headers })).json<{ text: string[] }>().text.join('\n');
  t.notMatch(await text(), /its guest says/);
  const [before, sentBefore] = [caps(world), world.host.commands.length];
  const nowMs = world.time.wallMs;
  world.host.send({ type: 'hint', hintId: 'h', vm: IDS[1]!, resource: 'cpu', amount: 64, inMs: 600_000, forMs: 60_000 });
  await world.run(3 * CONFIG.planPeriodMs);
  t.match(
    await text(),
    /CPU: its guest says that it will need 64\.00 cores from 2026-.*Z until 2026-.*Z; a claim and no command: it counts up to 1\.40 cores, the share it is guaranteed\./,
  );
  const { resources } = (await app.inject({ url: '/v1/vms/vm-2', headers })).json<{
    resources: { cpu: { hints?: { fromMs: number }[] } };
  }>();
  t.match(resources.cpu.hints, [{ amount: 64, countsTo: GUARANTEED_CORES }]);
  t.ok(Math.abs(resources.cpu.hints![0]!.fromMs - nowMs - 600_000) < 1000);
  const other = (await app.inject({ url: '/v1/vms/vm-1', headers })).json<typeof resources & { resources: typeof resources }>();
  t.equal(other.resources.cpu.hints, undefined, 'nobody else said so');
  t.same(caps(world), before);
  t.equal(world.host.commands.length, sentBefore, 'no command follows from it');
  await world.run(670_000);
  t.notMatch(await text(), /its guest says/, 'over with its time');
});

t.test('an agent that cannot pass it on is sent nothing; hints are heard all the same', async (t) => {
  const world = await idleFleet([]);
  world.host.send({ type: 'hint', hintId: 'h', vm: IDS[1]!, resource: 'cpu', amount: 1.2, inMs: 0, forMs: 60_000 });
  await world.run(3 * CONFIG.planPeriodMs);
  t.same(world.host.pools, []);
  t.ok(Math.abs((caps(world)[1] ?? 0) - 1.2) < 0.01, caps(world).join(', '));
});
