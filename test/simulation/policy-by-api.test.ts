/**
 * Goal: what holds changes back holds them when it is asked for through the API: freeze windows, suspensions, blast radius,
 * canaries, cooldowns, kill switches; and a startup boost gives. The real aggregator plans over a host of idle VMs that would be
 * shrunk at every plan; each case first sees them shrunk, so that it can fail. The pure core has the same cases in unit tests
 * (policy-features, plan-golden, planner, lint).
 */
import t from 'tap';
import { cohortPlace } from '../../aggregator/core/plan/canaries.ts';
import { CONFIG } from '../support/aggregator-world.ts';
import { ALL, explained, held, idleFleet, policyText, reasons, shrunk, VMS } from '../support/idle-fleet.ts';

type Tap = {
  same(found: unknown, wanted: unknown, message: string): unknown;
  equal(found: unknown, wanted: unknown, message: string): unknown;
};

t.test('asked through the API, each holds back what it says and lets go again', async (t) => {
  const { world, put, next, ask } = await idleFleet(t);
  const { host } = world;
  const free = async (t: Tap): Promise<void> => {
    await put({});
    t.same(shrunk(await next()), ALL, 'without it all are shrunk');
  };
  const still = async (t: Tap, what: string): Promise<void> => {
    const before = host.commands.length;
    await world.run(3 * CONFIG.planPeriodMs);
    t.equal(host.commands.length, before, `${what}: no command`);
  };

  t.test('freeze window', async (t) => {
    await free(t);
    await put({ fleet: '  freezeWindows: [{from: Mon 00:00, to: Sun 23:59, timeZone: Europe/Berlin, reason: end of year}]\n' });
    const plan = await next();
    t.same([shrunk(plan), held(plan, 'freeze-window')], [[], ALL]);
    t.match(reasons(plan, 'freeze-window'), /end of year/);
    t.match(await explained(ask), /end of year.*\nWhat would change CPU: it may change when the freeze window is over\./);
    await still(t, 'frozen');
  });

  t.test('suspension for maintenance', async (t) => {
    await free(t);
    await put({
      fleet: "  suspensions: [{match: {name: vm-1}, from: '2026-03-03 00:00', to: '2026-03-04 00:00', timeZone: UTC, reason: new disk}]\n",
    });
    const plan = await next();
    t.same([shrunk(plan), held(plan, 'maintenance')], [ALL.slice(1), ALL.slice(0, 1)]);
    t.match(await explained(ask), /suspended until .* UTC: new disk.*\nWhat would change CPU: it may change when its suspension is over\./);
  });

  t.test('blast radius: per plan, per host, per window', async (t) => {
    await free(t);
    for (const [limits, most] of [
      ['{vmsPerPlan: 2, vmsPerHostPerPlan: 100, vmsPerWindow: 1000, window: 1m}', 2],
      ['{vmsPerPlan: 100, vmsPerHostPerPlan: 3, vmsPerWindow: 1000, window: 1m}', 3],
    ] as const) {
      await put({ blastRadius: limits });
      const plan = await next();
      t.same([shrunk(plan).length, held(plan, 'blast-radius').length], [most, VMS - most], limits);
    }
    await put({ mode: 'recommend' });
    await world.run(61_000);
    await put({ blastRadius: '{vmsPerPlan: 1, vmsPerHostPerPlan: 1, vmsPerWindow: 2, window: 1m}' });
    const changed = new Set<string>();
    for (let plan = 0; plan < 8; plan++) for (const vm of shrunk(await next())) changed.add(vm);
    t.equal(changed.size, 2, 'two VMs within a minute');
    t.match(await explained(ask), /CPU/);
  });

  t.test('canaries: alone after a new policy', async (t) => {
    await free(t);
    const cohort = ALL.filter((vm) => cohortPlace(vm as never) < 0.5);
    t.ok(cohort.length > 0 && cohort.length < VMS, `${cohort.length} of ${VMS}`);
    await put({ fleet: '  canary: {share: 0.5, soak: 20s}\n' });
    const plan = await next();
    t.same([shrunk(plan), held(plan, 'canary')], [cohort.sort(), ALL.filter((vm) => !cohort.includes(vm))]);
    await world.run(20_000);
    t.same(shrunk(await next()), ALL, 'and all once it has proved itself');
  });

  t.test('cooldown', async (t) => {
    await free(t);
    await put({ cpu: '' });
    await next();
    await put({ cpu: ', cooldownGrow: 1h' });
    t.same(shrunk(await next()), ALL, 'of growth, which none of them wants');
    const rested = policyText({}).replace('cooldownShrink: 0s', 'cooldownShrink: 1h');
    await world.aggregator.service.applyPolicies(rested, 'test', { dryRun: false, ifVersion: null });
    const plan = await next();
    t.same([shrunk(plan), held(plan, 'cooldown')], [[], ALL]);
    t.match(reasons(plan, 'cooldown'), /changed at \d\d:\d\d:\d\d; it may shrink again after 60 min/);
    await still(t, 'resting');
    // One of them says that it will want more: growth has a rest of its own.
    const wants = { type: 'hint', vm: ALL[0]!, resource: 'cpu', amount: 1.9, inMs: 0, forMs: 30_000 } as const;
    await put({ cpu: ', cooldownGrow: 1h' });
    world.host.send({ ...wants, hintId: 'growth' });
    const growing = await next();
    t.same([shrunk(growing), held(growing, 'cooldown')], [ALL.slice(1), ALL.slice(0, 1)]);
    t.match(reasons(growing, 'cooldown'), /changed at \d\d:\d\d:\d\d; it may grow again after 60 min/);
    await put({ cpu: ', cooldownGrow: 0s' });
    const { steps } = await next();
    t.match(
      steps.filter(({ vm }) => vm === ALL[0]),
      [{ direction: 'grow' }],
      'and without it grows',
    );
    await world.run(30_000);
  });

  t.test('kill switch: in the policy; of the fleet, a host, a VM', async (t) => {
    await free(t);
    await put({ fleet: '  killSwitch: true\n' });
    t.same(held(await next(), 'kill-switch'), ALL);
    await still(t, 'by policy');
    await free(t);
    await ask('PUT', '/v1/kill-switch', { reason: 'a drill' });
    t.match(await ask('GET', '/v1/kill-switch'), { fleet: true });
    await world.run(10);
    t.match(host.kills.at(-1), { vm: null, engaged: true, reason: 'a drill' });
    t.same(held(await next(), 'kill-switch'), ALL);
    await still(t, 'of the fleet');
    await ask('DELETE', '/v1/kill-switch', { reason: 'over' });
    t.same(shrunk(await next()), ALL);
    await ask('PUT', '/v1/kill-switch', { host: 'kvm1', reason: 'a host drill' });
    await world.run(10);
    t.match(host.kills.at(-1), { vm: null, engaged: true, reason: 'a host drill' });
    const ofHost = await next();
    t.same([shrunk(ofHost), held(ofHost, 'kill-switch')], [[], ALL], 'nothing is planned on that host');
    t.match(reasons(ofHost, 'kill-switch'), /the kill switch of host kvm1 is on/);
    await still(t, 'of the host');
    await ask('DELETE', '/v1/kill-switch', { host: 'kvm1', reason: 'over' });
    await world.run(10);
    t.same(shrunk(await next()), ALL);
    await ask('PUT', '/v1/kill-switch', { vm: 'vm-2', reason: 'hands off' });
    await world.run(10);
    t.match(host.kills.at(-1), { vm: ALL[1], engaged: true, reason: 'hands off' });
    const ofVm = await next();
    t.same([shrunk(ofVm), held(ofVm, 'kill-switch')], [ALL.filter((vm) => vm !== ALL[1]), [ALL[1]]], 'nothing is planned for that VM');
    t.match(reasons(ofVm, 'kill-switch'), /hands off .*kill switch: hands off/);
    await ask('DELETE', '/v1/kill-switch', { vm: 'vm-2', reason: 'over' });
    await world.run(10);
    t.same(shrunk(await next()), ALL);
    const { items } = (await ask('GET', '/v1/ledger?kind=operator')) as { items: { body: { action: string; target: string } }[] };
    t.same(items.map(({ body }) => body.target).reverse(), ['fleet', 'fleet', 'host kvm1', 'host kvm1', `vm ${ALL[1]}`, `vm ${ALL[1]}`]);
  });
});

t.test('startup boost: given while a VM launches, by a policy asked for through the API', async (t) => {
  const { world, put, next } = await idleFleet(t);
  await put({});
  for (let plan = 0; plan < 15; plan++) await next();
  const vm = world.host.vms[0]!;
  const before = vm.cpu.capCores ?? 2;
  t.ok(before < 1.7, `shrunk to ${before}`);
  await put({ cpu: ', startupBoostFraction: 0.95' });
  vm.state = 'launching';
  world.host.sendInventory();
  await world.run(2 * CONFIG.planPeriodMs);
  const boost = world.host.commands.findLast((command) => command.vm === ALL[0]);
  t.match(boost, { target: { capCores: 1.9 }, reason: /it is launching, and rule "defaults" gives it 1\.90 cores/ });
  t.equal(vm.cpu.capCores, 1.9);
  vm.state = 'ready';
  world.host.sendInventory();
  let taken = false;
  for (let plan = 0; plan < 8 && !taken; plan++) taken = shrunk(await next()).includes(ALL[0]!);
  t.ok(taken, 'and taken back once it is ready');
});

t.test('the ledger: every decision with who, what it rests on, what bound it, why, before, after and outcome', async (t) => {
  const { world, put, ask } = await idleFleet(t);
  await put({});
  await world.run(4 * CONFIG.planPeriodMs);
  const bodies = async (kind: string) => {
    const { items } = (await ask('GET', `/v1/ledger?kind=${kind}&limit=1000`)) as { items: { body: Record<string, unknown> }[] };
    return items.map(({ body }) => body);
  };
  const plans = new Map((await bodies('plan')).map((body) => [body.planId, body]));
  const outcomes = await bodies('outcome');
  t.ok(outcomes.length >= VMS, `${outcomes.length} outcomes`);
  for (const outcome of outcomes) {
    const plan = plans.get(outcome.planId) as { by: object; inputsDigest: string; steps: Record<string, unknown>[] };
    t.match(plan, { by: { version: 'test', epoch: 1, policy: 2 }, inputsDigest: /^[0-9a-f]{64}$/ });
    const step = plan.steps[Number(String(outcome.commandId).split('/').at(-1))]!;
    const { to: target } = step;
    t.match(step, { vm: outcome.vm, resource: outcome.resource, from: outcome.before, constraint: /^[a-z-]+$/, reason: / because / });
    t.match(step.grounds, {
      model: 'aggregate',
      modelVersion: 'test',
      band: { quantiles: { length: Number }, values: { length: Number } },
    });
    const { band } = step.grounds as { band: { fromMs: number; toMs: number; quantiles: number[]; values: number[] } };
    t.ok(
      band.values.length === band.quantiles.length && band.toMs - band.fromMs === CONFIG.stepMs,
      'a value for each quantile of one step',
    );
    t.match(outcome, { outcome: 'applied', after: target });
  }
  const { text } = (await ask('GET', '/v1/vms/vm-1/explain')) as { text: string[] };
  t.match(
    text.join('\n'),
    /CPU, decided at .* because .* – applied\.\n(What would change CPU: .*\n)?The shrink of CPU at .* helped: what was taken was not missed/,
  );
});

t.test('verdicts: on record, in the API, in words; harm is taken back and rested from', async (t) => {
  const { world, put, next, ask } = await idleFleet(t);
  await put({});
  await world.run(8 * CONFIG.planPeriodMs);
  const verdicts = async () =>
    ((await ask('GET', '/v1/ledger?kind=verdict&limit=1000&vm=vm-1')) as { items: { body: Record<string, unknown> }[] }).items.map(
      ({ body }) => body,
    );
  const calm = await verdicts();
  t.ok(calm.length >= 3, `${calm.length} verdicts`);
  t.ok(
    calm.every(({ verdict }) => verdict === 'helped' || verdict === 'unknown'),
    'idle VMs miss nothing',
  );
  t.match(
    calm.find(({ verdict }) => verdict === 'helped'),
    { planId: /^\d{8}T/, resource: 'cpu', reason: /was not missed: it wanted 0\.1\d cores at most/, after: { suppressed: 0 } },
  );
  await put({ step: 0.3 });
  const vm = world.host.vms[0]!;
  const had = vm.cpu.capCores ?? 2;
  await next();
  await world.run(1000);
  const left = vm.cpu.capCores ?? 2;
  t.ok(left < 0.8 * had, `from ${had} to ${left}`);
  // Work comes at once: the host's own guard sees it held down and helps before any plan does.
  vm.cpu = { ...vm.cpu, capCores: left * 1.1 };
  vm.pairs.cpu = { ...vm.pairs.cpu!, generation: vm.pairs.cpu!.generation + 1 };
  const grew = { setting: vm.cpu, pair: vm.pairs.cpu, wallMs: world.time.wallMs, message: 'throttled 40 % of the time' };
  world.host.send({ type: 'event', kind: 'guard-grew', vm: vm.id, resource: 'cpu', ...grew });
  await world.run(100);
  t.match((await verdicts())[0], { verdict: 'harmed', resource: 'cpu', reason: /the fast guard had to step in/ });
  const before = world.host.commands.length;
  await next();
  await world.run(1000);
  const back = world.host.commands.slice(before).find((command) => command.vm === vm.id && command.resource === 'cpu');
  t.match(back, { target: { capCores: had }, reason: /the last shrink did harm/ }, 'taken back');
  t.match(held(await next(), 'cooldown'), [ALL[0]], 'and rested from');
  t.match(await explained(ask), /The (growth|shrink) of CPU at .*\nCPU is not shrunk before .*: the last shrink did harm\./);
  const { items } = (await ask('GET', '/v1/vms/vm-1/notifications')) as { items: { kind: string; message: string }[] };
  t.match(
    items.find(({ kind }) => kind === 'harm'),
    { message: /the last shrink of cpu did harm: .* it is taken back, and no other follows/ },
  );
  t.match(await ask('GET', '/v1/audit/verify'), { ok: true });
});
