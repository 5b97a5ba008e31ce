/**
 * Goal: each change gets its verdict, by what was seen before and after it: helped, harmed, nothing, unknown. Harm needs
 * pressure that was not there before and that demand does not explain; it is taken back, by way of planner and lint, and rested
 * from. Targets that cannot be reached are remembered, longer each time, and neither planned nor let through.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import type { VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { Verdicts } from '../../aggregator/core/state/verdicts.ts';
import { type Change, type Evidence, type EvidenceStep, evidenceOf, judge } from '../../aggregator/core/verdict/judge.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Setting } from '../../shared/resources.ts';
import { demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const cpu = (capCores: number | null): Setting => ({ resource: 'cpu', weight: 100, capCores });
const memory = (memoryMiB: number): Setting => ({ resource: 'memory', memoryMiB });
const change = (from: Setting, to: Setting, direction: Change['direction'], atMs = NOW_MS): Change => ({
  ...{ resource: from.resource, direction, from, to, atMs, planId: 'p' },
});
const saw = (steps: number, suppressed: number, demandMax: number | null): Evidence => ({ steps, suppressed, demandMax });
const CALM = saw(2, 0, 0.5);

const TABLE: [what: string, change: Change, before: Evidence, after: Evidence, heldMiB: number | null, verdict: string, reason: RegExp][] =
  [
    ['a shrink nobody missed', change(cpu(1), cpu(0.8), 'shrink'), CALM, saw(2, 0, 0.6), null, 'helped', /wanted 0\.60 cores at most/],
    [
      'a shrink that holds it down',
      change(cpu(1), cpu(0.8), 'shrink'),
      CALM,
      saw(2, 1, 0.9),
      null,
      'harmed',
      /in 1 of 2 steps after it, in 0 of 2 before/,
    ],
    [
      'a shrink demand outgrew',
      change(cpu(1), cpu(0.8), 'shrink'),
      CALM,
      saw(2, 2, 1.4),
      null,
      'nothing',
      /wants 1\.40 cores, more than it had before/,
    ],
    [
      'held down as often as before',
      change(cpu(1), cpu(0.8), 'shrink'),
      saw(2, 1, 0.9),
      saw(2, 1, 0.9),
      null,
      'nothing',
      /no more often than before/,
    ],
    ['a shrink of what nobody sees', change(cpu(1), cpu(0.8), 'shrink'), CALM, saw(2, 0, null), null, 'unknown', /is unknown/],
    [
      'memory that is not given back',
      change(memory(800), memory(600), 'shrink'),
      CALM,
      saw(2, 0, 300),
      780,
      'nothing',
      /still holds 780 MiB of the 600/,
    ],
    ['memory that is', change(memory(800), memory(600), 'shrink'), CALM, saw(2, 0, 300), 610, 'helped', /300 MiB/],
    [
      'growth that relieves',
      change(cpu(1), cpu(2), 'grow'),
      saw(2, 2, 1.5),
      saw(2, 0, 1.5),
      null,
      'helped',
      /in 2 of 2 steps before, not any more/,
    ],
    [
      'growth ahead of a rise',
      change(cpu(1), cpu(2), 'grow'),
      CALM,
      saw(2, 0, 1.5),
      null,
      'helped',
      /wanted 1\.50 cores, more than the 1\.00/,
    ],
    [
      'growth for nothing',
      change(cpu(1), cpu(2), 'grow'),
      CALM,
      saw(2, 0, 0.4),
      null,
      'nothing',
      /wanted 0\.40 cores at most, which it had/,
    ],
    ['growth that is not enough', change(cpu(1), cpu(1.2), 'grow'), saw(2, 2, 0.9), saw(2, 2, 0.9), null, 'nothing', /held down as before/],
    ['growth from no limit', change(cpu(null), cpu(null), 'grow'), CALM, saw(2, 0, 0.4), null, 'nothing', /0\.40/],
    ['nothing seen', change(cpu(1), cpu(2), 'grow'), CALM, saw(0, 0, null), null, 'unknown', /no step was seen/],
  ];

t.test('the verdict, case by case', async (t) => {
  for (const [what, made, before, after, heldMiB, verdict, reason] of TABLE)
    t.match(judge(made, before, after, heldMiB), { verdict, reason }, what);
  t.same(evidenceOf([]), saw(0, 0, null));
});

const OPTIONS = { stepMs: 5000, windowMs: 10_000, cooldownMs: 30_000 };
const step = (startMs: number, demand: number | null = 0.5, suppressed = false): EvidenceStep => ({ startMs, demand, suppressed });

t.test('judged when its window is over, by the steps before and after; the step of the change tells of neither', async (t) => {
  const verdicts = new Verdicts(OPTIONS);
  for (const at of [-20_000, -10_000, -5000]) verdicts.step('cpu', step(NOW_MS + at, 0.4));
  t.equal(verdicts.applied(change(cpu(1), cpu(0.8), 'shrink', NOW_MS + 2000), null), null);
  verdicts.step('cpu', step(NOW_MS, 99, true));
  verdicts.step('cpu', step(NOW_MS + 5000, 0.6));
  t.same(verdicts.due(NOW_MS + 12_000, null), []);
  const [verdict, ...others] = verdicts.due(NOW_MS + 12_001, null);
  t.same(others, []);
  t.match(verdict, {
    verdict: 'helped',
    planId: 'p',
    judgedAtMs: NOW_MS + 12_001,
    before: { steps: 1, demandMax: 0.4 },
    after: { steps: 1, demandMax: 0.6 },
  });
  t.same(verdicts.due(NOW_MS + 60_000, null), [], 'once');
});

t.test('the next change ends the window of the one before', async (t) => {
  const verdicts = new Verdicts(OPTIONS);
  verdicts.applied(change(cpu(1), cpu(2), 'grow', NOW_MS), null);
  verdicts.step('cpu', step(NOW_MS + 1000, 1.6));
  t.match(verdicts.applied(change(cpu(2), cpu(1.8), 'shrink', NOW_MS + 6000), null), { verdict: 'helped', to: { capCores: 2 } });
  t.equal(verdicts.due(NOW_MS + 20_000, null).length, 1);
});

t.test('a shrink early in a step is seen in it; growth is not', async (t) => {
  for (const [direction, verdict] of [
    ['shrink', 'helped'],
    ['grow', 'unknown'],
  ] as const) {
    const verdicts = new Verdicts(OPTIONS);
    verdicts.applied(change(cpu(1), cpu(direction === 'shrink' ? 0.8 : 1.2), direction, NOW_MS + 1000), null);
    verdicts.step('cpu', step(NOW_MS));
    t.match(verdicts.applied(change(cpu(1), cpu(0.9), 'shrink', NOW_MS + 6000), null), { verdict }, direction);
  }
});

t.test('harm: at once, with roll-back and rest; not where demand explains it, not of growth, not too late', async (t) => {
  const since = { ms: NOW_MS + 2000, sign: 'it was held down', demand: 0.95 };
  const shrunk = (): Verdicts => {
    const verdicts = new Verdicts(OPTIONS);
    verdicts.applied(change(cpu(1), cpu(0.8), 'shrink', NOW_MS), null);
    return verdicts;
  };
  const harmed = shrunk();
  t.match(harmed.harmed('cpu', since, NOW_MS + 3000), { verdict: 'harmed', reason: 'it was held down' });
  t.same(harmed.rollback.cpu, { to: cpu(1), reason: 'it was held down' });
  t.equal(harmed.coolUntilMs.cpu, NOW_MS + 33_000);
  t.equal(harmed.harmed('cpu', since, NOW_MS + 4000), null, 'told once');
  harmed.expire(NOW_MS + 33_000);
  t.same([harmed.rollback, harmed.coolUntilMs], [{}, {}]);
  const outgrown = shrunk();
  t.equal(outgrown.harmed('cpu', { ...since, demand: 1.3 }, NOW_MS + 3000), null, 'it would have been short with what it had as well');
  t.same(outgrown.rollback, {});
  t.equal(shrunk().harmed('cpu', { ...since, ms: NOW_MS - 1 }, NOW_MS + 3000), null, 'a time that began before');
  t.equal(shrunk().harmed('cpu', { ...since, ms: NOW_MS + 12_000 }, NOW_MS + 12_000), null, 'too late');
  const grown = new Verdicts(OPTIONS);
  grown.applied(change(cpu(1), cpu(2), 'grow', NOW_MS), null);
  t.equal(grown.harmed('cpu', since, NOW_MS + 3000), null, 'growth does not harm');
});

t.test('harm is taken back by the planner, the lint lets it through, and no shrink follows', async (t) => {
  const demand = { ...vmOf(1).demand, cpu: demandOf(0.5, forecastOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])) };
  const vm = vmOf(1, {
    demand,
    current: { ...vmOf(1).current, cpu: cpu(0.8) },
    rollback: { cpu: { to: cpu(1), reason: 'it was held down' } },
    coolUntilMs: { cpu: NOW_MS + 30_000 },
  });
  const snapshot = snapshotOf([vm]);
  const { plan: made } = plan(snapshot, policyOf(), { epoch: 1 }, createPrng(1));
  t.match(
    made.steps.filter(({ resource }) => resource === 'cpu'),
    [{ direction: 'grow', to: { capCores: 1 }, constraint: 'rollback', reason: /the last shrink did harm: it was held down/ }],
  );
  t.same(lintPlan(made, snapshot, policyOf()), []);
  const rested = snapshotOf([{ ...vm, rollback: {}, current: { ...vm.current, cpu: cpu(1) } }]);
  const { plan: after } = plan(rested, policyOf(), { epoch: 1 }, createPrng(1));
  t.same(
    after.steps.filter(({ resource }) => resource === 'cpu'),
    [],
  );
  t.match(
    after.notDone.find(({ resource }) => resource === 'cpu'),
    { constraint: 'cooldown', reason: /did harm: no other before/ },
  );
});

t.test('out of reach: refused twice, or memory that does not come back; each rest is twice the one before; reached ends it', async (t) => {
  const verdicts = new Verdicts(OPTIONS);
  const deep = change(memory(800), memory(600), 'shrink');
  t.equal(verdicts.failed(deep, 'the guard refused', NOW_MS), null, 'once may be bad luck');
  t.match(verdicts.failed(deep, 'the guard refused', NOW_MS), { direction: 'shrink', target: 600, untilMs: NOW_MS + 30_000 });
  t.match(verdicts.failed(deep, 'the guard refused', NOW_MS), { untilMs: NOW_MS + 60_000 });
  verdicts.expire(NOW_MS + 60_000);
  t.same(verdicts.infeasible, {});
  t.match(verdicts.failed(deep, 'again', NOW_MS + 60_000), { untilMs: NOW_MS + 60_000 + 120_000 });
  t.equal(verdicts.failed(change(memory(600), memory(700), 'grow'), 'no room', NOW_MS), null, 'the other direction counts by itself');
  verdicts.applied(change(memory(800), memory(790), 'shrink'), 790);
  t.equal(verdicts.failed(deep, 'the guard refused', NOW_MS), null, 'a success begins anew');
  t.equal(new Verdicts(OPTIONS).failed(change(cpu(null), cpu(null), 'grow'), 'x', NOW_MS), null);
  const lying = new Verdicts(OPTIONS);
  lying.applied(deep, 800);
  lying.step('memory', step(NOW_MS + 1000, 300));
  t.match(lying.due(NOW_MS + 10_001, 790), [{ verdict: 'nothing', reason: /still holds 790 MiB of the 600/ }]);
  t.match(lying.infeasible.memory, { direction: 'shrink', target: 600, untilMs: NOW_MS + 40_001 });
});

t.test('out of reach is not planned: as far or farther, in that direction, until then; who is short is exempt', async (t) => {
  const demand = { ...vmOf(1).demand, cpu: demandOf(0.5, forecastOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])) };
  const cpuOf = (over: Partial<VmSnapshot>) => {
    const snapshot = snapshotOf([vmOf(1, { demand, ...over })]);
    const { plan: made } = plan(snapshot, policyOf(), { epoch: 1 }, createPrng(1));
    t.same(lintPlan(made, snapshot, policyOf()), []);
    return { step: made.steps.find(({ resource }) => resource === 'cpu'), not: made.notDone.find(({ resource }) => resource === 'cpu') };
  };
  const { step: free } = cpuOf({});
  t.equal(free?.direction, 'shrink');
  const target = free?.to.resource === 'cpu' ? (free.to.capCores ?? 0) : 0;
  const barred = { direction: 'shrink', target: target + 0.05, reason: 'the guard refused', untilMs: NOW_MS + 1 } as const;
  t.match(cpuOf({ infeasible: { cpu: barred } }), {
    step: undefined,
    not: { constraint: 'infeasible', reason: /was tried and not reached \(the guard refused\): not tried again before/ },
  });
  t.ok(cpuOf({ infeasible: { cpu: { ...barred, target: target - 0.05 } } }).step, 'not as far');
  t.ok(cpuOf({ infeasible: { cpu: { ...barred, direction: 'grow', target: 0 } } }).step, 'another direction');
  t.ok(cpuOf({ infeasible: { cpu: { ...barred, untilMs: NOW_MS } } }).step, 'the rest is over');
  const short = { ...vmOf(1).demand, cpu: { ...demandOf(1.6, forecastOf([1.6, 1.6, 1.6, 1.6, 1.6, 1.6])), suppressed: true } };
  t.equal(cpuOf({ demand: short, infeasible: { cpu: { ...barred, direction: 'grow', target: 0.1 } } }).step?.direction, 'grow');
});
