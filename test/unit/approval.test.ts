/**
 * Goal: what is only recommended is done after a person's leave, as far as they saw and no farther, never the other way round, not
 * after the leave lapsed; a shrink that did harm is undone without asking; and the lint by itself strikes out what nobody gave leave for.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { Approval } from '../../aggregator/core/plan/approval.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Setting } from '../../shared/resources.ts';
import { AUTO_POLICY, demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const policy = policyOf(AUTO_POLICY.replace('cpu: {mode: auto', 'cpu: {mode: recommend'));
/** It will want 1.3 cores within the lead, and has 1. */
const vm = vmOf(1, { demand: { ...vmOf(1).demand, cpu: demandOf(0.5, forecastOf([0.5, 0.9, 1.3, 1.3, 1.3, 1.3])) } });
const cap = (capCores: number): Setting => ({ resource: 'cpu', weight: 100, capCores });
const leave = (over: Partial<Approval> = {}): Approval => ({
  ...{ vm: vm.id, resource: 'cpu', direction: 'grow', to: cap(2), by: 'ada', atMs: NOW_MS, untilMs: NOW_MS + 60_000 },
  ...over,
});
const decide = (...approvals: Approval[]) => {
  const snapshot = { ...snapshotOf([vm]), approvals };
  const made = plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
  return { made, snapshot, step: made.steps.find(({ resource }) => resource === 'cpu') };
};
const capOf = (setting: Setting | undefined | null) => (setting?.resource === 'cpu' ? setting.capCores : undefined);

t.test('without leave it is told and not done', async (t) => {
  const { made, step } = decide();
  t.equal(step, undefined);
  const held = made.notDone.find(({ resource, constraint }) => resource === 'cpu' && constraint === 'mode');
  t.ok(capOf(held?.wouldBe)! > 1, 'what it would be is there to be approved');
});

t.test('with leave it is done, for hosts to carry out, with the name of who gave it; the lint lets it through', async (t) => {
  const { made, step, snapshot } = decide(leave());
  t.match(step, { mode: 'auto', approvedBy: 'ada', direction: 'grow', reason: /^approved by ada: / });
  t.same(lintPlan(made, snapshot, policy), []);
});

t.test('no farther than was seen, whatever the forecast wants by now', async (t) => {
  const whole = capOf(decide(leave()).step?.to)!;
  const { step, made, snapshot } = decide(leave({ to: cap(1.12) }));
  t.equal(capOf(step?.to), 1.12);
  t.ok(whole > 1.12, `${whole} is wanted`);
  t.same(lintPlan(made, snapshot, policy), []);
});

t.test('leave for a shrink, for another VM or resource, or that lapsed, is none', async (t) => {
  const others = [
    leave({ direction: 'shrink', to: cap(0.5) }),
    leave({ vm: vmOf(2).id }),
    leave({ resource: 'memory', to: { resource: 'memory', memoryMiB: 1024 } }),
    leave({ untilMs: NOW_MS }),
  ];
  for (const other of others) t.equal(decide(other).step, undefined, JSON.stringify(other));
});

t.test('the lint strikes out what goes farther than the leave, or has none', async (t) => {
  const { made, snapshot } = decide(leave());
  for (const approvals of [[], [leave({ to: cap(1.05) })], [leave({ untilMs: NOW_MS })], [leave({ direction: 'shrink' })]]) {
    const rules = lintPlan(made, { ...snapshot, approvals }, policy).map(({ rule }) => rule);
    t.ok(rules.includes('mode'), JSON.stringify(approvals));
  }
});

t.test('a shrink that did harm is undone without asking again, as far as it went; more still needs leave', async (t) => {
  const harmed = { ...vm, rollback: { cpu: { to: cap(1.2), reason: 'it was throttled' } } };
  const calm = { ...harmed, demand: { ...vm.demand, cpu: demandOf(0.5, forecastOf([0.5, 0.6, 0.6, 0.6, 0.6, 0.6])) } };
  const stepOf = (one: typeof harmed) => {
    const snapshot = { ...snapshotOf([one]), approvals: [] };
    const made = plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
    return { made, snapshot, step: made.steps.find(({ resource }) => resource === 'cpu') };
  };
  t.match(stepOf(calm).step, { to: { capCores: 1.2 }, reason: /whoever approved the shrink: .*did harm: it was throttled/ });
  const { made, snapshot, step } = stepOf(harmed);
  t.match(step, { mode: 'auto', direction: 'grow', approvedBy: 'whoever approved the shrink' });
  t.equal(capOf(step?.to), 1.2, 'not as far as the forecast would go');
  t.same(lintPlan(made, snapshot, policy), []);
  for (const rollback of [{}, { cpu: { to: cap(1.1), reason: 'it was throttled' } }]) {
    const rules = lintPlan(made, { ...snapshot, vms: [{ ...harmed, rollback }] }, policy).map(({ rule }) => rule);
    t.ok(rules.includes('mode'), JSON.stringify(rollback));
  }
});
