/**
 * Goal: leave for a change counts once it is on record, for what was seen, until it lapses or was used; a dry run leaves no trace; what
 * was taken is given back; refusals say what to do.
 */
import t from 'tap';
import type { Approval, VcpuApproval } from '../../aggregator/core/plan/approval.ts';
import type { Plan, PlanStep, VcpuStep } from '../../aggregator/core/plan/plan.ts';
import { RecommendationDesk } from '../../aggregator/service/recommendation-desk.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { Resource, Setting } from '../../shared/resources.ts';
import { testVmId } from '../support/fleet.ts';

const VM = testVmId(1);
const cap = (capCores: number | null): Setting => ({ resource: 'cpu', weight: 100, capCores });

/** The desk among the parts it is given, each as narrow as it asks. */
function desk({ wouldBe = cap(2) as Setting | null, current = cap(4) as Setting | undefined, constraint = 'mode' } = {}) {
  const world = {
    nowMs: 1_000_000,
    plans: 0,
    told: [] as string[],
    ledger: [] as { action: string; target: string; by: string }[],
    refuseLedger: false,
    lastShrink: null as { from: Setting; atMs: number } | null,
    takenBack: [] as [Resource, string, number][],
    wouldBe,
    approvals: [] as Approval[],
    vcpuApprovals: [] as VcpuApproval[],
    online: 8,
    lastTaken: null as { from: number; to: number; atMs: number } | null,
    vcpusTakenBack: [] as [string, number][],
    vcpusRecommended: undefined as Partial<VcpuStep>[] | undefined,
  };
  const record = {
    get vcpus() {
      return {
        online: world.online,
        lastTaken: world.lastTaken,
        takeBack: (...given: [string, number]) => void world.vcpusTakenBack.push(given),
      };
    },
    host: 'kvm1',
    current: current === undefined ? {} : { cpu: current },
    matched: { name: 'shop-web', host: 'kvm1' },
    verdicts: {
      lastShrink: () => world.lastShrink,
      takeBack: (...given: [Resource, string, number]) => void world.takenBack.push(given),
    },
  };
  const state = {
    vm: (id: string) => (id === VM ? record : undefined),
    get approvals() {
      return world.approvals;
    },
    set approvals(approvals: Approval[]) {
      world.approvals = approvals;
    },
    get vcpuApprovals() {
      return world.vcpuApprovals;
    },
    set vcpuApprovals(approvals: VcpuApproval[]) {
      world.vcpuApprovals = approvals;
    },
  };
  const plan = (): Partial<Plan> => ({
    id: 'plan-7',
    nowMs: 900_000,
    vcpusRecommended: world.vcpusRecommended as VcpuStep[],
    notDone: [{ vm: VM, resource: 'cpu', constraint, reason: 'CPU lowered: 1.8 cores are enough', wouldBe: world.wouldBe }] as never,
  });
  const parts = {
    state,
    time: { nowMs: () => world.nowMs },
    latestPlan: () => ({ plan: plan() }),
    reporter: { operator: (_vm: string, _host: string, message: string) => void world.told.push(message) },
    ledger: {
      async append(_atMs: number, body: (typeof world.ledger)[number]) {
        if (world.refuseLedger) throw new HeadroomError('UNAVAILABLE', 'the ledger is full');
        world.ledger.push(body);
      },
    },
  };
  const made = new RecommendationDesk(parts as never, () => {
    world.plans += 1;
  });
  return { desk: made, world };
}

const ID = `${VM}.cpu`;

t.test('what waits is what the plan holds back for its mode, and nothing else', (t) => {
  t.match(desk().desk.current(), [{ id: ID, vmName: 'shop-web', direction: 'shrink', planId: 'plan-7', approval: null }]);
  t.match(desk({ wouldBe: cap(8) }).desk.current(), [{ direction: 'grow' }]);
  t.same(desk({ constraint: 'cooldown' }).desk.current(), [], 'held back for something else');
  t.same(desk({ wouldBe: null }).desk.current(), [], 'nothing would be done');
  const unknown = desk();
  unknown.world.wouldBe = null;
  t.same(unknown.desk.current(), []);
  t.end();
});

t.test('leave: on record first, then it counts, and the next plan is made at once', async (t) => {
  const { desk: made, world } = desk();
  const given = await made.approve(ID, null, 'ada', false);
  t.match(given.approval, { by: 'ada', atMs: 1_000_000, untilMs: 1_600_000, to: cap(2) });
  t.match(world.ledger, [{ kind: 'operator', action: 'approve', by: 'ada', target: `vm ${VM} cpu` }]);
  t.match(world.approvals, [{ vm: VM, resource: 'cpu', direction: 'shrink', to: cap(2), by: 'ada' }]);
  t.equal(world.plans, 1);
  t.match(world.told, [/shop-web: approved by ada: CPU lowered/]);
  t.match(made.current()[0]!.approval, { by: 'ada' });
});

t.test('what cannot be put on record does not count', async (t) => {
  const { desk: made, world } = desk();
  world.refuseLedger = true;
  await t.rejects(made.approve(ID, null, 'ada', false), { code: 'UNAVAILABLE' });
  t.same(world.approvals, []);
  t.equal(world.plans, 0);
  t.same(world.told, []);
});

t.test('a dry run answers as the approval would, and leaves no trace', async (t) => {
  const { desk: made, world } = desk();
  t.match((await made.approve(ID, cap(3), 'ada', true)).approval, { by: 'ada', to: cap(3) });
  t.same([world.ledger, world.approvals, world.told, world.plans], [[], [], [], 0]);
});

t.test('no farther than was seen, and never the other way round', async (t) => {
  const { desk: made, world } = desk();
  await made.approve(ID, cap(3), 'ada', false);
  t.match(world.approvals, [{ to: cap(3) }]);
  await t.rejects(made.approve(ID, cap(8), 'ada', false), { code: 'CONFLICT', message: /by now a shrink of cpu is recommended/ });
  await t.rejects(made.approve(ID, { resource: 'memory', memoryMiB: 512 }, 'ada', false), { code: 'CONFLICT' });
  await t.rejects(made.approve(`${VM}.memory`, null, 'ada', false), { code: 'NOT_FOUND', message: /GET \/v1\/recommendations/ });
  t.equal(world.ledger.length, 1);
});

t.test('one leave for one change: a newer one takes its place, it lapses, and it is used up', async (t) => {
  const { desk: made, world } = desk();
  await made.approve(ID, null, 'ada', false);
  await made.approve(ID, cap(3), 'bob', false);
  t.match(world.approvals, [{ by: 'bob', to: cap(3) }]);
  t.equal(world.approvals.length, 1);
  world.nowMs += 10 * 60_000;
  t.equal(made.current()[0]!.approval, null, 'after ten minutes nobody thinks of it any more');
  await made.approve(ID, null, 'ada', false);
  made.ended({ vm: VM, resource: 'cpu' } as PlanStep);
  t.equal(world.approvals.length, 1, 'a change that nobody had to approve uses up no leave');
  made.ended({ vm: VM, resource: 'cpu', approvedBy: 'ada' } as PlanStep);
  t.same(world.approvals, []);
});

t.test('the last shrink is given back: on record, with a rest, by the next plan', async (t) => {
  const { desk: made, world } = desk();
  await t.rejects(made.takeBack(VM, 'cpu', 'ada', false), { code: 'CONFLICT', message: /shop-web was no shrink/ });
  await t.rejects(made.takeBack(testVmId(9), 'cpu', 'ada', false), { code: 'NOT_FOUND' });
  world.lastShrink = { from: cap(6), atMs: 940_000 };
  t.match(await made.takeBack(VM, 'cpu', 'ada', true), { from: cap(4), to: cap(6), changedAtMs: 940_000, dryRun: true });
  t.same([world.ledger, world.takenBack, world.approvals, world.plans], [[], [], [], 0], 'a dry run leaves no trace');
  await made.takeBack(VM, 'cpu', 'ada', false);
  t.match(world.ledger, [{ action: 'rollback', by: 'ada' }]);
  t.same(world.takenBack, [['cpu', 'taken back by ada', 1_000_000]]);
  t.match(world.approvals, [{ direction: 'grow', to: cap(6) }]);
  t.equal(world.plans, 1);
});

t.test('so many vCPUs online: approved as they were seen, by themselves, and used up', async (t) => {
  const { desk: made, world } = desk();
  world.vcpusRecommended = [
    { vm: VM, vmName: 'shop-web', host: 'kvm1' as never, from: 8, to: 4, reason: 'recommended only: 4 of 8 will do' },
  ];
  const online = (count: number) => ({ resource: 'vcpus' as const, online: count });
  const id = `${VM}.vcpus`;
  t.match(made.current(), [{ id: ID }, { id, resource: 'vcpus', direction: 'shrink', from: online(8), to: online(4), approval: null }]);
  await t.rejects(made.approve(id, online(8), 'ada', false), { code: 'CONFLICT' });
  await t.rejects(made.approve(id, cap(2), 'ada', false), { code: 'CONFLICT' });
  await t.rejects(made.approve(ID, online(4), 'ada', false), { code: 'CONFLICT' });
  await made.approve(id, online(6), 'ada', true);
  t.same(world.vcpuApprovals, [], 'a dry run leaves no trace');
  await made.approve(ID, null, 'ada', false);
  t.match(await made.approve(id, online(6), 'ada', false), { approval: { by: 'ada', to: online(6) } });
  t.match(world.vcpuApprovals, [{ vm: VM, to: 6, by: 'ada', untilMs: 1_600_000 }]);
  t.equal(world.approvals.length, 1, 'leave for the cap is another');
  t.match(world.ledger, [{ target: `vm ${VM} cpu` }, { action: 'approve', target: `vm ${VM} vcpus` }]);
  made.endedVcpus({ vm: VM } as VcpuStep);
  t.match(made.current()[1], { approval: { to: online(6) } }, 'what nobody had to approve uses up no leave');
  made.endedVcpus({ vm: VM, approvedBy: 'ada' } as VcpuStep);
  t.same([world.vcpuApprovals, world.approvals.length], [[], 1]);
  await made.approve(id, null, 'ada', false);
  world.nowMs += 10 * 60_000;
  t.equal(made.current()[1]!.approval, null, 'it lapses');
  world.online = 6;
  t.equal(made.current().length, 1, 'on other ground by now');
});

t.test('vCPUs that were taken are given back: on record, with a rest, and no leave is needed', async (t) => {
  const { desk: made, world } = desk();
  await t.rejects(made.takeBack(VM, 'vcpus', 'ada', false), { code: 'CONFLICT', message: /vcpus of shop-web was no shrink/ });
  world.lastTaken = { from: 8, to: 4, atMs: 940_000 };
  await t.rejects(made.takeBack(VM, 'vcpus', 'ada', false), { code: 'CONFLICT' }, 'they are back already');
  world.online = 4;
  const back = { from: { resource: 'vcpus', online: 4 }, to: { resource: 'vcpus', online: 8 }, changedAtMs: 940_000 };
  t.match(await made.takeBack(VM, 'vcpus', 'ada', true), { ...back, dryRun: true });
  t.same([world.ledger, world.vcpusTakenBack, world.plans], [[], [], 0], 'a dry run leaves no trace');
  t.match(await made.takeBack(VM, 'vcpus', 'ada', false), back);
  t.match(world.ledger, [{ action: 'rollback', target: `vm ${VM} vcpus` }]);
  t.same([world.vcpusTakenBack, world.approvals, world.plans], [[['taken back by ada', 1_000_000]], [], 1]);
});
