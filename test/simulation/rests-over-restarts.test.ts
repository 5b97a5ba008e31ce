/**
 * Goal: an aggregator that is killed right after a shrink did harm, and one that takes its place, give back what was taken and rest as
 * long as was said: what did harm an hour ago is not done again. Once the rest is over it is no longer kept, and shrinks go on.
 */
import t from 'tap';
import { type AggregatorWorld, aggregatorWorld, CONFIG, DAY_MS } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const BLOB = `rests/${VM}`;
const policyText = (mode: string): string => `version: 1
fleet: {lease: 25s, staleAfter: 15s}
defaults:
  cpu: {mode: ${mode}, violationBudget: 0.05, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 1s, enforcement: cap-always}
  memory: {mode: off}
  network: {mode: off}
  disk: {mode: off}
`;

/** Its cap was lowered, and the host's own guard had to raise it at once. */
async function harmed(): Promise<{ world: AggregatorWorld; had: number }> {
  const world = await aggregatorWorld([fakeVm(VM, 'web', () => ({ cores: 0.2, memoryMiB: 200 }))], policyText('observe'));
  await world.run(2 * DAY_MS);
  world.policy = policyText('auto');
  await world.aggregator.service.applyPolicies(world.policy, 'test', { dryRun: false, ifVersion: null });
  const vm = world.host.vms[0]!;
  while (world.host.commands.length === 0) await world.run(1000);
  const had = (world.host.commands.at(-1)!.previous as typeof vm.cpu).capCores ?? 2;
  await world.run(100);
  vm.cpu = { ...vm.cpu, capCores: vm.cpu.capCores! * 1.1 };
  vm.pairs.cpu = { ...vm.pairs.cpu!, generation: vm.pairs.cpu!.generation + 1 };
  const grew = { setting: vm.cpu, pair: vm.pairs.cpu, wallMs: world.time.wallMs, message: 'throttled 40 % of the time' };
  world.host.send({ type: 'event', kind: 'guard-grew', vm: VM, resource: 'cpu', ...grew });
  await world.run(100);
  return { world, had };
}

const shrinks = ({ host }: AggregatorWorld, from: number) =>
  host.commands
    .slice(from)
    .filter(
      ({ previous, target }) =>
        target.resource === 'cpu' && previous.resource === 'cpu' && (target.capCores ?? 9) < (previous.capCores ?? 9),
    );

for (const [how, ending] of [
  ['killed', (world: AggregatorWorld) => world.kill()],
  ['stopped', (world: AggregatorWorld) => world.aggregator.stop().then(() => world.kill())],
] as const) {
  t.test(`${how} after harm`, async (t) => {
    const { world, had } = await harmed();
    const until = world.aggregator.state.vm(VM)!.verdicts.coolUntilMs.cpu!;
    t.ok(until > world.time.wallMs, 'it rests');
    t.ok(world.host.vms[0]!.cpu.capCores! < had, 'and nothing is given back yet');
    await ending(world);
    const before = world.host.commands.length;
    await world.start();
    await world.run(3 * CONFIG.planPeriodMs);
    t.equal(world.aggregator.state.vm(VM)!.verdicts.coolUntilMs.cpu, until, 'its successor knows until when');
    t.match(world.host.commands[before], {
      target: { resource: 'cpu' },
      reason: /the last shrink did harm: the fast guard had to step in/,
    });
    t.equal(world.host.vms[0]!.cpu.capCores ?? 2, had, 'what was taken is back');
    await world.run(until - world.time.wallMs - CONFIG.planPeriodMs);
    t.same(shrinks(world, before), [], 'nothing is taken in all the rest');
    t.ok(await world.ledger.getBlob(BLOB));
    await world.run(6 * CONFIG.planPeriodMs);
    t.equal(await world.ledger.getBlob(BLOB), null, 'what is over is not kept');
    if (how === 'stopped') t.ok(shrinks(world, before).length > 0, 'and shrinks go on: its models were kept');
    await world.aggregator.stop();
  });
}

t.test('what is left of VMs that never came back goes at the next start, and broken text keeps nobody from anything', async (t) => {
  const { world } = await harmed();
  world.kill();
  const gone = `rests/${testVmId(9)}`;
  const old = { version: 1, writtenMs: world.time.wallMs - 365 * 24 * 3_600_000, settings: {}, vcpus: {} };
  await world.ledger.putBlob(gone, Buffer.from(JSON.stringify(old)));
  const far = { version: 1, writtenMs: 8e15, settings: { coolUntilMs: { cpu: 9e15 } }, vcpus: 7 };
  await world.ledger.putBlob(BLOB, Buffer.from(JSON.stringify(far)));
  await world.start();
  t.equal(await world.ledger.getBlob(gone), null);
  await world.run(2 * CONFIG.planPeriodMs);
  t.notOk((world.aggregator.state.vm(VM)!.verdicts.coolUntilMs.cpu ?? 0) > world.time.wallMs + CONFIG.verdictCooldownMs, 'not for ever');
  await world.aggregator.stop();
});
