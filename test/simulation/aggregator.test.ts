/**
 * Goal: the aggregator as a whole, on a simulated clock and network with a host agent that does what it is told: rows become
 * forecasts, plans, commands and ledger entries; a restart keeps models and widens no budget; kill switch, freeze and
 * policies act; what is lost on the way is sent again.
 */
import t from 'tap';
import { hostId } from '../../shared/ids.ts';
import { CONFIG, DAY_MS, aggregatorWorld as worldOf } from '../support/aggregator-world.ts';
import { carryOut, fakeVm, resultOf } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const policyText = (mode: string, extra = '') => `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
  reserve: {memoryMiB: 512}
  blastRadius: {vmsPerPlan: 4, vmsPerHostPerPlan: 4, vmsPerWindow: 1000, window: 1m}
${extra}defaults:
  cpu: {mode: ${mode}, enforcement: cap-always, violationBudget: 0.05, marginFraction: 0.1, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 5s, stepLimitShrinkFraction: 1, stepLimitGrowFraction: 10}
  memory: {mode: ${mode}, violationBudget: 0.05, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 5s, stepLimitShrinkFraction: 0.3, stepLimitGrowFraction: 10, workingSetWindow: 20s}
`;

/** High for half of a two-minute day. */
const pulse = (atMs: number) => (atMs % DAY_MS < DAY_MS / 2 ? { cores: 1.2, memoryMiB: 600 } : { cores: 0.45, memoryMiB: 200 });

const vms = (count: number, load = pulse) => Array.from({ length: count }, (_, i) => fakeVm(testVmId(i + 1), `vm-${i + 1}`, load));

t.test('rows become forecasts, plans, commands, entries and events', async (t) => {
  const world = await worldOf(vms(1), policyText('auto'));
  await world.run(6 * DAY_MS);
  const { host, aggregator, ledger } = world;
  const { service } = aggregator;
  t.ok(host.commands.length > 10, `${host.commands.length} commands`);
  t.ok(host.commands.some(({ resource }) => resource === 'memory') && host.commands.some(({ resource }) => resource === 'cpu'));
  t.equal((await ledger.verify()).ok, true);
  const outcomes = await ledger.entries({ kind: 'outcome', limit: 1000 });
  t.equal(outcomes.length, host.commands.length, 'each command has its outcome on record');
  t.ok((await ledger.entries({ kind: 'plan', limit: 1000 })).length > 10);
  const map = await ledger.allocations();
  t.same(map.find(({ setting }) => setting.resource === 'memory')?.setting, host.vms[0]!.memory, 'the map shows what is in force');
  t.equal(service.metrics().lint_findings_total, 0, 'the lint had nothing to object to');
  t.equal(service.ready().ready, true);
  const view = service.vm(testVmId(1))!;
  t.equal(view.resources.cpu.allocation, host.vms[0]!.cpu.capCores);
  t.equal(view.resources.memory.unit, 'MiB');
  t.ok(view.resources.cpu.forecast !== null && view.resources.cpu.lastDecision !== null);
  t.match(
    service.events.recent(2000).find(({ kind }) => kind === 'notification')?.message ?? '',
    /vm-1: (CPU|memory) from .* to .* because /,
  );
  t.ok(service.plans(5).length === 5 && service.plan(service.plans(1)[0]!.id) !== null);
  t.equal(service.hosts()[0]?.connected, true);
  const reserves = host.leases.map(({ reserveMiB }) => reserveMiB);
  t.ok(reserves[0] === 0 && reserves.some((reserve) => reserve > 100), 'the first lease after a start gives nothing away');
  t.same(
    world.log.filter((line) => !line.includes('did harm')),
    [],
  );
});

t.test('it rises before demand does, once it has seen some days', async (t) => {
  const world = await worldOf(vms(1), policyText('auto'));
  await world.run(6 * DAY_MS);
  let led = 0;
  for (let day = 0; day < 4; day++) {
    const riseMs = (Math.floor(world.time.wallMs / DAY_MS) + 1) * DAY_MS;
    await world.run(riseMs - 1000 - world.time.wallMs);
    if ((world.host.vms[0]!.cpu.capCores ?? 2) > 0.8) led++;
    await world.run(DAY_MS / 2);
  }
  t.ok(led >= 3, `${led} of 4 rises were led`);
});

t.test('observe and recommend send nothing; a new policy by API acts, and outlives a restart', async (t) => {
  const world = await worldOf(vms(1), policyText('observe'));
  await world.run(4 * DAY_MS);
  t.equal(world.host.commands.length, 0);
  const dry = await world.aggregator.service.applyPolicies(policyText('recommend'), 'tester', { dryRun: true, ifVersion: null });
  t.ok(
    dry.changes.some((change) => change.includes('vm-1 cpu: mode observe → recommend')),
    dry.changes.join('\n'),
  );
  t.equal(world.aggregator.service.policies().version, 1, 'a dry run changes nothing');
  await world.aggregator.service.applyPolicies(policyText('recommend'), 'tester', { dryRun: false, ifVersion: null });
  await world.run(DAY_MS);
  t.equal(world.host.commands.length, 0);
  const proposed = world.aggregator.service.plans(20).flatMap(({ notDone }) => notDone.filter(({ wouldBe }) => wouldBe !== null));
  t.ok(
    proposed.some(({ reason }) => reason.startsWith('recommended only: ')),
    'what it would do is told',
  );
  world.kill();
  await world.start();
  t.equal(world.aggregator.service.policies().version, 2);
  world.policy = policyText('auto');
  await world.run(CONFIG.maintainPeriodMs + 1000);
  t.equal(world.aggregator.service.policies().version, 3, 'a changed file wins');
  await t.rejects(world.aggregator.service.applyPolicies('version: 1\nfleat: {}\n', 'tester', { dryRun: false, ifVersion: null }), {
    code: 'POLICY_INVALID',
    message: /line 2, column 1/,
  });
  world.policy = 'version: 9\n';
  await world.run(3 * CONFIG.maintainPeriodMs);
  t.equal(world.aggregator.service.policies().version, 3, 'a file that is not understood changes nothing');
});

t.test('a restart keeps models, raises the epoch, and begins above every pair', async (t) => {
  const world = await worldOf(vms(2), policyText('auto'));
  await world.run(5 * DAY_MS);
  await world.aggregator.stop();
  const before = world.host.commands.at(-1)!.pair;
  world.clock.kill();
  await world.start();
  await world.run(20_000);
  t.ok(Number(world.aggregator.service.metrics().models_restored_total) >= 4);
  const [capacity] = world.aggregator.service.capacity();
  t.ok(capacity!.resources.cpu.confidence > 0.3 && capacity!.resources.cpu.nextDay !== null, "so does the host's joint demand");
  const rows = await world.series.query({
    ...{ subject: { kind: 'host', id: 'kvm1' }, source: 'host', fields: ['host_capacity.cpuCores/day'] },
    ...{ fromMs: world.time.wallMs - 6 * DAY_MS, toMs: world.time.wallMs, resolution: 'raw' },
  });
  t.ok(rows.timesMs.length > 90, `${rows.timesMs.length} steps of it in the host's series`);
  t.ok((world.aggregator.service.vm(testVmId(1))!.resources.cpu.forecast?.confidence ?? 0) > 0.2, 'it need not learn anew');
  await world.run(2 * DAY_MS);
  const after = world.host.commands.at(-1)!.pair;
  t.ok(after.epoch > before.epoch, `${before.epoch} → ${after.epoch}`);
});

t.test('a host that has seen a higher epoch is begun above', async (t) => {
  const vm = fakeVm(testVmId(1), 'vm-1', pulse);
  vm.pairs.cpu = { epoch: 40, generation: 7 };
  const world = await worldOf([vm], policyText('auto'));
  await world.run(5 * DAY_MS);
  const first = world.host.commands.find(({ resource }) => resource === 'cpu')!;
  t.same(first.pair, { epoch: 40, generation: 8 });
  t.equal(world.host.leases.at(-1)?.epoch, 40);
});

t.test("a restart with many VMs out of range changes at most one plan's budget at a time", async (t) => {
  const low = () => ({ cores: 0.45, memoryMiB: 200 });
  const world = await worldOf(vms(20, low), policyText('auto', ''));
  world.host.onCommand = () => null;
  await world.run(4 * DAY_MS);
  await world.aggregator.stop();
  world.clock.kill();
  world.host.onCommand = (command, vm) => carryOut(command, vm, 0);
  world.host.commands.length = 0;
  await world.start();
  await world.run(30_000);
  const plans = await world.ledger.entries({ kind: 'plan', limit: 5000, newestFirst: true });
  for (const { body } of plans.slice(0, 5)) {
    if (body.kind !== 'plan') continue;
    const changed = new Set((body.steps as { vm: string }[]).map(({ vm }) => vm));
    t.ok(changed.size <= 4, `${changed.size} VMs in one plan`);
  }
  t.ok(world.host.commands.length > 0);
});

t.test('results lost on the way: sent again, the same to the byte, until answered', async (t) => {
  const world = await worldOf(vms(1), policyText('auto'));
  const seen = new Map<string, number>();
  world.host.onCommand = (command, vm) => {
    const times = (seen.get(command.commandId) ?? 0) + 1;
    seen.set(command.commandId, times);
    if (times === 1) carryOut(command, vm, 0);
    return times < 3 ? null : resultOf(command, 'applied', 0);
  };
  await world.run(5 * DAY_MS);
  t.ok([...seen.values()].some((times) => times === 3));
  const byId = Map.groupBy(world.host.commands, ({ commandId }) => commandId);
  for (const repeats of byId.values()) t.equal(new Set(repeats.map((frame) => JSON.stringify(frame))).size, 1);
  const outcomes = await world.ledger.entries({ kind: 'outcome', limit: 1000 });
  t.equal(
    outcomes.length,
    new Set(outcomes.map(({ body }) => (body.kind === 'outcome' ? body.commandId : ''))).size,
    'one outcome per command',
  );
});

t.test('the kill switch reaches the host at once and stops every command; it outlives a restart', async (t) => {
  const world = await worldOf(vms(2), policyText('auto'));
  await world.run(4 * DAY_MS);
  await world.aggregator.service.setKillSwitch({ kind: 'fleet' }, true, 'tester', 'a drill');
  await world.run(100);
  t.match(world.host.kills.at(-1), { vm: null, engaged: true, reason: 'a drill' });
  const count = world.host.commands.length;
  await world.run(2 * DAY_MS);
  t.equal(world.host.commands.length, count);
  world.kill();
  await world.start();
  await world.run(DAY_MS);
  t.equal(world.host.commands.length, count, 'also after a restart');
  t.match(world.host.kills.at(-1), { engaged: true }, 'and the host that came back hears it again');
  await world.aggregator.service.setKillSwitch({ kind: 'fleet' }, false, 'tester', 'the drill is over');
  await world.run(2 * DAY_MS);
  t.ok(world.host.commands.length > count);
  const operators = await world.ledger.entries({ kind: 'operator', limit: 10 });
  t.equal(operators.length, 2);
});

t.test("a VM's kill switch stops that VM alone", async (t) => {
  const world = await worldOf(vms(2), policyText('auto'));
  await world.run(4 * DAY_MS);
  await world.aggregator.service.setKillSwitch({ kind: 'vm', vm: testVmId(2) }, true, 'tester', 'hands off');
  await world.run(100);
  t.match(world.host.kills.at(-1), { vm: testVmId(2), engaged: true });
});

t.test("the machine's clock jumps an hour: no storm of changes, and work goes on", async (t) => {
  const world = await worldOf(vms(1), policyText('auto'));
  await world.run(5 * DAY_MS);
  for (const byMs of [3_600_000, -3_600_000]) {
    const count = world.host.commands.length;
    world.clock.stepWall(byMs);
    await world.run(DAY_MS);
    t.ok(world.host.commands.length - count < 40, `${world.host.commands.length - count} commands in the day after`);
  }
  t.equal((await world.ledger.verify()).ok, true);
});

t.test('a host that goes silent is not planned for', async (t) => {
  const world = await worldOf(vms(1), policyText('auto'));
  await world.run(5 * DAY_MS);
  world.host.network.setPartitioned(true);
  const count = world.host.commands.length;
  await world.run(DAY_MS);
  t.equal(world.aggregator.service.hosts()[0]?.connected, false);
  t.equal(world.aggregator.latest?.plan.steps.length, 0);
  t.match(world.aggregator.service.vm(testVmId(1))?.resources.cpu.lastDecision?.reason, /host kvm1 is not connected/);
  world.host.network.setPartitioned(false);
  await world.run(2 * DAY_MS);
  t.ok(world.host.commands.length > count, 'and it is when it is back');
  t.equal(hostId(world.host.name), 'kvm1');
});
