/**
 * Goal: what becomes of a change of how many vCPUs are online is seen through the API: judged, and where it did harm taken back, rested
 * from and said in ledger, notification, plan and explanation; so few as were refused are not asked for again; and in mode recommend
 * fewer wait for somebody's leave, which the API takes, while what was taken comes back without.
 */
import t from 'tap';
import { createHttpApp } from '../../aggregator/http/app.ts';
import type { PlanView, RecommendationView, VmView } from '../../aggregator/http/service.ts';
import { type AggregatorWorld, aggregatorWorld, CONFIG, DAY_MS } from '../support/aggregator-world.ts';
import { type FakeVm, fakeVm } from '../support/fake-host.ts';
import { testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const REST_MS = 12 * CONFIG.verdictCooldownMs;
const policyText = (mode: string): string => `version: 1
fleet:
  lease: 25s
  staleAfter: 15s
defaults:
  cpu: {mode: ${mode}, violationBudget: 0.05, lead: 10s, shrinkHorizon: 15s, cooldownShrink: 1s}
  memory: {mode: off}
  network: {mode: off}
  disk: {mode: off}
`;

interface Asked {
  world: AggregatorWorld;
  vm: FakeVm;
  /** Cores that its programs want. */
  wants: { cores: number };
  ask<T>(method: 'GET' | 'POST' | 'PUT', url: string, payload?: object | string): Promise<T>;
  view(): Promise<NonNullable<VmView['vcpus']>>;
  explained(): Promise<string>;
  told(): Promise<string[]>;
  recommended(): Promise<RecommendationView[]>;
  verdicts(): Promise<{ vcpus?: { from: number; to: number }; verdict: string; reason: string }[]>;
}

/** One labelled guest of eight vCPUs that wants one core, known to the models. */
async function labelled(t: { teardown(end: () => unknown): void }, mode: string): Promise<Asked> {
  const wants = { cores: 1 };
  const vm = { ...fakeVm(VM, 'web', () => ({ cores: wants.cores, memoryMiB: 200 })), vcpus: { defined: 8, online: 8 } };
  const world = await aggregatorWorld([vm], policyText('observe'));
  const app = await createHttpApp(world.aggregator.service);
  t.teardown(() => app.close());
  const ask: Asked['ask'] = async (method, url, payload) => {
    const headers = { host: '127.0.0.1', ...(typeof payload === 'string' ? { 'content-type': 'application/yaml' } : {}) };
    const response = await app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
    if (response.statusCode !== 200) throw new Error(`${method} ${url}: ${response.statusCode} ${response.body}`);
    return response.json();
  };
  await world.run(2 * DAY_MS);
  await ask('PUT', '/v1/policies', policyText(mode));
  return {
    ...{ world, vm, wants, ask },
    view: async () => (await ask<{ vcpus: NonNullable<VmView['vcpus']> }>('GET', '/v1/vms/web')).vcpus,
    explained: async () => (await ask<{ text: string[] }>('GET', '/v1/vms/web/explain')).text.join('\n'),
    told: async () =>
      (await ask<{ items: { message: string }[] }>('GET', '/v1/vms/web/notifications?limit=100')).items.map(({ message }) => message),
    recommended: async () => (await ask<{ items: RecommendationView[] }>('GET', '/v1/recommendations')).items,
    verdicts: async () =>
      (await ask<{ items: { body: { vcpus?: object } }[] }>('GET', '/v1/ledger?kind=verdict&limit=100')).items
        .map(({ body }) => body)
        .filter(({ vcpus }) => vcpus !== undefined) as never,
  };
}

const orders = ({ world }: Asked): number[] =>
  world.host.vcpuOrders.map(({ action }) => (action.kind === 'cpus-online' ? action.vcpus : Number.NaN));

t.test('taken and not missed: it helped, and that is on record and said', async (t) => {
  const asked = await labelled(t, 'auto');
  await asked.world.run(CONFIG.planPeriodMs + CONFIG.verdictWindowMs + 2 * CONFIG.stepMs);
  t.same(orders(asked).slice(0, 1), [4]);
  const [first] = await asked.verdicts();
  t.match(first, { vcpus: { from: 8, to: 4 }, verdict: 'helped', reason: /what was taken was not missed: it wanted 1\.00 cores at most/ });
  t.match(await asked.explained(), /Taking \d of its vCPUs offline at \S+ helped: what was taken was not missed/);
  const { items } = await asked.ask<{ items: { id: string }[] }>('GET', '/v1/plans?limit=200');
  const plans = await Promise.all(items.map(({ id }) => asked.ask<PlanView>('GET', `/v1/plans/${id}`)));
  const judged = plans.filter(({ vcpuVerdicts }) => vcpuVerdicts !== undefined);
  t.match(judged.at(-1), {
    vcpuSteps: [{ from: 8, to: 4 }],
    vcpuOutcomes: [{ outcome: 'applied' }],
    vcpuVerdicts: [{ verdict: 'helped' }],
  });
});

t.test('missed: its host has them back at once; that was harm, said everywhere, and none is taken for twelve rests', async (t) => {
  const asked = await labelled(t, 'auto');
  const { world, vm, wants } = asked;
  await world.run(CONFIG.planPeriodMs + 500);
  t.same(orders(asked), [4]);
  wants.cores = 4;
  await world.run(2500);
  world.host.bringVcpusBack(vm, true);
  await world.run(500);
  wants.cores = 1;
  const message =
    /taking 4 of its vCPUs offline did harm: web: all its vCPUs are online again: it uses 4\.00 cores of the 4 .*none is taken/;
  t.ok((await asked.told()).some((each) => message.test(each)));
  t.match(await asked.verdicts(), [{ vcpus: { from: 8, to: 4 }, verdict: 'harmed' }]);
  const { coolUntilMs = 0, lastVerdict } = await asked.view();
  t.match(lastVerdict, { verdict: 'harmed', from: 8, to: 4 });
  t.ok(Math.abs(coolUntilMs - world.time.wallMs - REST_MS) < 5000, `rests until ${coolUntilMs}`);
  t.match(
    await asked.explained(),
    /Taking 4 of its vCPUs offline at \S+ did harm and is taken back: .*\nNone of its vCPUs is taken offline before \S+: the last time/,
  );
  t.match(await asked.ask('GET', '/v1/reports/savings'), { harmfulChanges: 1 }, 'and is counted');
  const before = orders(asked).length;
  await world.run(coolUntilMs - world.time.wallMs - CONFIG.planPeriodMs);
  t.equal(orders(asked).length, before, 'nothing in all that rest');
  await world.run(4 * CONFIG.planPeriodMs);
  t.ok(orders(asked).length > before, 'and again after it');
  t.equal((await asked.view()).coolUntilMs, undefined);
});

t.test('held down and not brought back by its host: the next plan gives back what was taken', async (t) => {
  const asked = await labelled(t, 'auto');
  const { world, wants } = asked;
  await world.run(CONFIG.planPeriodMs + 500);
  t.same(orders(asked), [4]);
  wants.cores = 4;
  await world.run(3 * CONFIG.stepMs);
  t.match(await asked.verdicts(), [{ vcpus: { from: 8, to: 4 }, verdict: 'harmed', reason: /held down with 4 of its vCPUs online/ }]);
  t.equal(orders(asked).at(-1), 8);
  t.ok((await asked.told()).some((each) => /4 of 8 vCPUs brought online again at .* because taking them did harm/.test(each)));
});

t.test('the kill switch of its host brings them back: nobody calls that harm', async (t) => {
  const asked = await labelled(t, 'auto');
  await asked.world.run(CONFIG.planPeriodMs + 500);
  asked.world.host.bringVcpusBack(asked.vm, false);
  await asked.world.run(CONFIG.verdictWindowMs + 2 * CONFIG.stepMs);
  t.notOk((await asked.verdicts()).some(({ verdict }) => verdict === 'harmed'));
  t.equal((await asked.view()).coolUntilMs, undefined);
});

t.test('refused twice: remembered and said; then fewer are not asked for, and what is left to take is tried once each', async (t) => {
  const asked = await labelled(t, 'auto');
  const { world } = asked;
  const events = async () =>
    (await asked.ask<{ items: { body: { message: string } }[] }>('GET', '/v1/ledger?kind=event&limit=1000')).items.map(
      ({ body }) => body.message,
    );
  world.host.onVcpus = () => 'the kernel refused to set cpu7 to 0';
  await world.run(20 * CONFIG.planPeriodMs);
  t.same(orders(asked), [4, 4, 5, 6]);
  t.match((await asked.view()).infeasible, { target: 6, reason: /the kernel refused/ });
  t.match(
    await asked.explained(),
    /6 of its vCPUs online were tried and not reached \(the kernel refused .*\): so few are not tried before/,
  );
  t.ok((await events()).some((message) => /6 of its vCPUs online cannot be reached: the kernel refused/.test(message)));
});

t.test('taken back by a person: all that was taken comes back with the next plan, and none is taken for twelve rests', async (t) => {
  const asked = await labelled(t, 'auto');
  const { world, ask } = asked;
  await t.rejects(ask('POST', '/v1/vms/web/rollback', { resource: 'vcpus' }), /409/);
  await world.run(CONFIG.planPeriodMs + 500);
  t.same(orders(asked), [4]);
  const back = { resource: 'vcpus', from: { online: 4 }, to: { online: 8 } };
  t.match(await ask('POST', '/v1/vms/web/rollback?dryRun=true', { resource: 'vcpus' }), { ...back, dryRun: true });
  t.match(await ask('POST', '/v1/vms/web/rollback', { resource: 'vcpus' }), { ...back, dryRun: false });
  await world.run(1000);
  t.same(orders(asked), [4, 8]);
  t.ok((await asked.told()).some((each) => /4 of 8 vCPUs brought online again at .*taken back by http 127\.0\.0\.1/.test(each)));
  await world.run(REST_MS - 2 * CONFIG.planPeriodMs);
  t.same(orders(asked), [4, 8]);
  await world.run(6 * CONFIG.planPeriodMs);
  t.ok(orders(asked).length > 2, 'and again after it');
});

t.test('recommended only: told, approved as it was seen and done; what is missed comes back without leave', async (t) => {
  const asked = await labelled(t, 'recommend');
  const { world, wants, ask } = asked;
  await world.run(3 * CONFIG.planPeriodMs);
  t.same(orders(asked), [], 'nothing without leave');
  const [seen] = (await asked.recommended()).filter(({ resource }) => resource === 'vcpus');
  t.match(seen, {
    id: `${VM}.vcpus`,
    from: { online: 8 },
    to: { resource: 'vcpus', online: 4 },
    reason: /^recommended only: 4 of 8 vCPUs/,
  });
  const url = `/v1/recommendations/${seen!.id}/approve`;
  await ask('POST', `${url}?dryRun=true`, { to: seen!.to });
  await world.run(2 * CONFIG.planPeriodMs);
  t.same(orders(asked), [], 'a dry run is none');
  await t.rejects(ask('POST', url, { to: { resource: 'vcpus', online: 0 } }), /400/);
  await t.rejects(ask('POST', url, { to: { resource: 'vcpus', online: 8 } }), /409/);
  t.match(await ask('POST', url, { to: { resource: 'vcpus', online: 6 } }), { approval: { to: { online: 6 } } });
  await world.run(1000);
  t.same(orders(asked), [6], 'at once, and no farther than was approved');
  t.ok((await asked.told()).some((each) => /^approved by http 127.0.0.1: 2 of 8 vCPUs taken offline/.test(each)));
  await world.run(6 * CONFIG.planPeriodMs);
  t.same(orders(asked), [6], 'leave is for one change, and what it gave stays');
  const [verdict] = await asked.verdicts();
  t.match(verdict, { vcpus: { from: 8, to: 6 }, verdict: 'helped' });
  wants.cores = 5.8;
  await world.run(4 * CONFIG.planPeriodMs);
  t.ok(
    orders(asked).length > 1 &&
      orders(asked)
        .slice(1)
        .every((to) => to > 6),
    `what is missed: ${orders(asked)}`,
  );
});
