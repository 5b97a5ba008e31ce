/**
 * Goal: what needs a story of its own to be seen, asked for through the API: a canary that was harmed holds the others back until it has
 * recovered, whether its place in the fleet or a rule made it one; and caps "when contended" come with need on the host and go with it.
 * The pure core has the same cases in policy-features and plan-golden.
 */
import t from 'tap';
import { cohortPlace } from '../../aggregator/core/plan/canaries.ts';
import { CONFIG } from '../support/aggregator-world.ts';
import { ALL, type Api, explained, held, idleFleet, reasons, shrunk } from '../support/idle-fleet.ts';

const SHARE = 0.5;
const COHORT = ALL.filter((vm) => cohortPlace(vm as never) < SHARE);
const REST = ALL.filter((vm) => !COHORT.includes(vm));
const nameOf = (vm: string): string => `vm-${ALL.indexOf(vm) + 1}`;

/** A shrink that is felt, and the host's own guard that has to help at once. */
async function harm({ world, put, next }: Api, vm: string, how: Parameters<Api['put']>[0]): Promise<void> {
  await put({ ...how, step: 0.3 });
  await next();
  await world.run(1000);
  const hurt = world.host.vms.find(({ id }) => id === vm)!;
  hurt.cpu = { ...hurt.cpu, capCores: hurt.cpu.capCores! * 1.1 };
  hurt.pairs.cpu = { ...hurt.pairs.cpu!, generation: hurt.pairs.cpu!.generation + 1 };
  const grew = { setting: hurt.cpu, pair: hurt.pairs.cpu, wallMs: world.time.wallMs, message: 'throttled 40 % of the time' };
  world.host.send({ type: 'event', kind: 'guard-grew', vm, resource: 'cpu', ...grew });
  await world.run(100);
  await put({ ...how });
}

const WAYS: [what: string, canary: string, how: Parameters<Api['put']>[0], others: string[]][] = [
  ['of the cohort', COHORT[0]!, { fleet: `  canary: {share: ${SHARE}, soak: 1ms}\n` }, REST],
  [
    'named by a rule',
    ALL[1]!,
    { rules: 'rules:\n  - {name: first, match: {name: vm-2}, cpu: {canary: true}}\n' },
    ALL.filter((vm) => vm !== ALL[1]),
  ],
];
for (const [what, canary, how, others] of WAYS) {
  t.test(`a canary ${what} that was harmed: the others are not shrunk until it has recovered, and that is said`, async (t) => {
    const api = await idleFleet(t);
    const { world, put, next, ask } = api;
    await put(how);
    await next();
    t.same(shrunk(await next()), ALL, 'while it is well all are shrunk');
    await harm(api, canary, how);
    const sinceMs = world.time.wallMs;
    const plan = await next();
    t.same(held(plan, 'canary'), others, 'each of the others is held back');
    t.notOk(
      shrunk(plan).some((vm) => others.includes(vm)),
      `shrunk: ${shrunk(plan).map(nameOf).join(', ')}`,
    );
    t.match(reasons(plan, 'canary'), new RegExp(`the canary ${nameOf(canary)} was harmed by a shrink and cools down: CPU from `));
    t.match(
      await explained(ask, nameOf(others[0]!)),
      new RegExp(`the canary ${nameOf(canary)} was harmed .*\nWhat would change CPU: it may change once the canaries have shown`),
    );
    t.match(await explained(ask, nameOf(canary)), /CPU is not shrunk before .*: the last shrink did harm\./);
    const commandsToOthers = () => world.host.commands.filter(({ vm }) => others.includes(vm)).length;
    const before = commandsToOthers();
    await world.run(CONFIG.verdictCooldownMs - (world.time.wallMs - sinceMs) - CONFIG.planPeriodMs);
    t.equal(commandsToOthers(), before, 'no command goes to any of them all the while');
    await world.run(3 * CONFIG.planPeriodMs);
    t.same(shrunk(await next()), ALL, 'then all are shrunk again');
  });
}

t.test('caps when contended: weights alone on a host at ease, caps while something waits for its CPU, and lifted after', async (t) => {
  const { world, put, next, ask } = await idleFleet(t);
  const { host } = world;
  const caps = () => host.vms.map(({ cpu }) => cpu.capCores);
  await put({ enforcement: 'cap-when-contended', step: 0.3 });
  for (let plan = 0; plan < 4; plan++) await next();
  t.same(
    caps(),
    ALL.map(() => null),
    'at ease nothing is capped',
  );
  t.ok(
    host.vms.every(({ cpu }) => cpu.weight < 100),
    `weights follow what is wanted: ${host.vms.map(({ cpu }) => cpu.weight).join(', ')}`,
  );
  host.cpuPressureFraction = 0.3;
  const seen: string[] = [];
  for (let plan = 0; plan < 4; plan++) for (const step of (await next()).steps) seen.push(step.reason);
  t.ok(
    caps().every((cap) => cap !== null && cap < 2),
    `contended: ${caps().join(', ')}`,
  );
  t.match(seen.join('\n'), /capped because something waited for a CPU of kvm1 in [\d.]+ % of the time/);
  t.match(await explained(ask), /CPU .* cores/);
  host.cpuPressureFraction = 0;
  const lifted: string[] = [];
  for (let plan = 0; plan < 4; plan++) for (const step of (await next()).steps) lifted.push(step.reason);
  t.same(
    caps(),
    ALL.map(() => null),
    'lifted once nothing waits',
  );
  t.match(lifted.join('\n'), /CPU cap of \d\.\d\d cores lifted at .* because the CPU of host kvm1 is not contended/);
});
