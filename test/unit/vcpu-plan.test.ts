/**
 * Goal: the planner takes vCPUs of a labelled VM offline slowly and brings them back at once, in one decision with its cap and
 * weight; nobody else's number is ever touched; and what it plans the lint lets pass.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { FleetSnapshot, Plan, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { createPrng } from '../../shared/prng.ts';
import { demandOf, forecastOf, hostOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const HOUR_MS = 3_600_000;
const WEIGHT = `version: 1
defaults:
  cpu: {mode: auto, violationBudget: 0.05, lead: 15s, shrinkHorizon: 25s, cooldownShrink: 10m}
`;
const CAPPED = WEIGHT.replace('mode: auto', 'mode: auto, enforcement: cap-always');

function eight(cores: number, online = 8, over: Partial<VmSnapshot> = {}): VmSnapshot {
  const demand = { ...vmOf(1).demand, cpu: demandOf(cores, forecastOf([cores, cores, cores, cores, cores, cores])) };
  return vmOf(1, {
    ...{ vcpus: 8, labels: { vcpus: 'allow' }, vcpusOnline: { online, sinceMs: NOW_MS - 3 * HOUR_MS }, demand },
    current: { cpu: { resource: 'cpu', weight: 100, capCores: null }, memory: { resource: 'memory', memoryMiB: 800 } },
    ...over,
  });
}

function planned(vm: VmSnapshot, source = WEIGHT, over: Partial<FleetSnapshot> = {}): Plan {
  const snapshot = { ...snapshotOf([vm], [hostOf({ cpuCores: 16 })]), ...over };
  const policy = policyOf(source);
  const { plan: made } = plan(snapshot, policy, { epoch: 1 }, createPrng(1));
  t.same(lintPlan(made, snapshot, policy), [], 'the lint finds nothing in it');
  return made;
}
const to = (made: Plan): number | undefined => made.vcpuSteps?.[0]?.to;

t.test('taken: half at once, then to what is expected with room to spare', (t) => {
  const made = planned(eight(1.2));
  t.match(made.vcpuSteps, [{ from: 8, to: 4, of: 8, mode: 'auto' }]);
  t.match(
    made.vcpuSteps![0]!.reason,
    /^4 of 8 vCPUs taken offline at .* because no more than 1\.\d\d cores is expected to be wanted until/,
  );
  t.equal(to(planned(eight(1.2, 4))), 2);
  t.equal(to(planned(eight(1.2, 2))), undefined, 'two are what it needs');
  t.equal(to(planned(eight(7))), undefined);
  t.end();
});

t.test('not taken: no label seen by its host, no rest, not ready, no word of the host, much expected later', (t) => {
  const { vcpusOnline: _, ...untold } = eight(1.2);
  t.equal(to(planned(untold)), undefined);
  t.equal(to(planned(eight(1.2, 8, { vcpusOnline: { online: 8, sinceMs: NOW_MS - HOUR_MS } }))), undefined);
  t.equal(to(planned(eight(1.2, 8, { state: 'launching' }))), undefined);
  t.equal(to(planned(eight(1.2, 8, { labels: { vcpus: 'allow', class: 'cluster' } }))), undefined);
  const demand = (over: object) => ({ demand: { ...eight(1).demand, cpu: { ...eight(1).demand.cpu, ...over } } });
  t.equal(to(planned(eight(1.2, 8, demand({ vouched: false })))), undefined);
  t.equal(to(planned(eight(1.2, 8, demand({ suppressed: true })))), undefined);
  t.equal(to(planned(eight(1.2, 8, demand({ forecast: forecastOf([1, 1, 1, 1, 1, 6.4]) })))), undefined);
  t.equal(to(planned(eight(1.2), WEIGHT.replace('mode: auto', 'mode: recommend'))), undefined);
  t.equal(to(planned(eight(1.2), WEIGHT, { killSwitch: true })), undefined);
  t.end();
});

t.test('back: at once when more is wanted or it is held down, and all of them where the policy no longer has it', (t) => {
  const rested = { vcpusOnline: { online: 2, sinceMs: NOW_MS - 1000 } };
  t.equal(to(planned(eight(3, 2, rested))), 5);
  const demand = { ...eight(2).demand, cpu: demandOf(2.5, forecastOf([1, 1, 1, 1, 1, 1]), { suppressed: true }) };
  t.equal(to(planned(eight(2, 2, { ...rested, demand }))), 4, 'what it wants now, beyond what is online');
  const off = planned(eight(1, 2, rested), WEIGHT.replace('mode: auto', 'mode: observe'));
  t.match(off.vcpuSteps, [{ to: 8, mode: 'observe', reason: "all 8 vCPUs are brought online again because the policy's mode is observe" }]);
  t.end();
});

t.test("a cap is each vCPU's quota: it rises before vCPUs go, and suits those online", (t) => {
  const cap = (made: Plan): number | null | undefined => {
    const step = made.steps.find(({ resource }) => resource === 'cpu')?.to;
    return step?.resource === 'cpu' ? step.capCores : undefined;
  };
  const capped = (online: number, capCores: number): VmSnapshot =>
    eight(1.2, online, { current: { cpu: { resource: 'cpu', weight: 100, capCores } } });
  const first = planned(capped(8, 1.6), CAPPED);
  t.equal(cap(first), 2.64, '1.32 cores on four of eight');
  t.equal(to(first), undefined, 'under the cap in force seven would be needed');
  const second = planned(capped(8, 2.64), CAPPED);
  t.same([cap(second), to(second)], [undefined, 4]);
  const tight = planned(capped(2, 1.6), CAPPED, { hosts: [hostOf({ cpuCores: 1 })] });
  t.same([cap(tight), to(tight)], [2, 6], 'a host with little room: they come back, so that a lower cap is enough');
  const when = CAPPED.replace('cap-always', 'cap-when-contended');
  const contended = { hosts: [hostOf({ cpuCores: 16, cpuPressureFraction: 0.5 })] };
  const step = planned(capped(2, 4), when, contended).steps.find(({ resource }) => resource === 'cpu')?.to;
  t.match(step, { weight: 132 }, 'its weight stands for what it wants, not for what its cap is');
  t.end();
});

t.test('recommended only: fewer with leave alone and no farther; what was taken stays, and comes back without', (t) => {
  const source = WEIGHT.replace('mode: auto', 'mode: recommend');
  const leave = (count: number, over: object = {}) => ({
    vcpuApprovals: [{ vm: eight(1).id, to: count, by: 'ada', atMs: NOW_MS - 1, untilMs: NOW_MS + 1, ...over }],
  });
  const asked = planned(eight(1.2), source);
  t.match(asked.vcpusRecommended, [{ from: 8, to: 4, mode: 'recommend', constraint: 'mode', reason: /^recommended only: 4 of 8 vCPUs/ }]);
  t.equal(to(asked), undefined);
  const done = planned(eight(1.2), source, leave(6));
  t.match(done.vcpuSteps, [{ to: 6, mode: 'auto', approvedBy: 'ada', reason: /^approved by ada: 2 of 8 vCPUs taken offline/ }]);
  t.equal(done.vcpusRecommended, undefined);
  t.equal(to(planned(eight(1.2), source, leave(2))), 4, 'no farther than is wanted by now');
  t.equal(to(planned(eight(1.2), source, leave(4, { untilMs: NOW_MS }))), undefined, 'lapsed');
  t.equal(to(planned(eight(1.2, 4), source, leave(6))), undefined, 'used up: fewer than that are online');
  t.equal(planned(eight(2.5, 4), source).vcpuSteps, undefined, 'what fits stays as it is');
  t.equal(to(planned(eight(3, 2), source)), 5, 'what is missed comes back');
  const harmed = eight(1, 2, { vcpusOnline: { online: 2, sinceMs: NOW_MS, rollback: { to: 4, reason: 'it was held down' } } });
  t.match(planned(harmed, source).vcpuSteps, [{ to: 4, constraint: 'rollback', reason: /because taking them did harm: it was held down/ }]);
  t.end();
});

t.test('in order with everything else that is changed: frozen, and no more VMs than a plan may change', (t) => {
  const frozen = `${WEIGHT}fleet:\n  freezeWindows: [{from: "Mon 00:00", to: "Sun 23:59", timeZone: UTC, reason: year end}]\n`;
  t.equal(to(planned(eight(1.2), frozen)), undefined);
  t.equal(to(planned(eight(1.2), `${WEIGHT}fleet:\n  blastRadius: {vmsPerPlan: 0}\n`)), undefined);
  t.end();
});
