/**
 * Goal: what a policy file says of anomalies is validated and resolved rule by rule; while an incident goes on that the host
 * sees nothing is taken, growth is as sharp as asked and within limits; a claimed one changes nothing; the lint knows by itself.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { anomalyPolicyOf } from '../../aggregator/core/plan/anomaly-policy.ts';
import type { VmIncident } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createPrng } from '../../shared/prng.ts';
import { demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, vmOf } from '../support/fleet.ts';

const OPTIONS = { version: 1, forecasters: ['aggregate'] };
const INCIDENT: VmIncident = { kind: 'leak', sinceMs: NOW_MS - 60_000, resource: 'memory', vouched: true };

t.test('resolved: built in, defaults, rules in order; null takes an opt-in back; one canonical text', async (t) => {
  const source = `version: 1
fleet: {anomalyActions: {perHour: 5}}
defaults:
  anomaly: {growToFraction: 0.8}
rules:
  - {name: batch, match: {name: "batch-*"}, anomaly: {isolate: {kinds: [runaway process, spike], for: 900s, by: quarantine}, restart: {kinds: [silence]}}}
  - {name: careful, match: {name: "batch-9"}, anomaly: {isolate: null, freezeShrinking: false}}
`;
  const { policy, canonical } = parsePolicyFile(source, OPTIONS);
  const of = (name: string) => anomalyPolicyOf(policy, { ...vmOf(1), name });
  t.match(of('web'), { rule: 'defaults', alert: true, freezeShrinking: true, growToFraction: 0.8, isolate: null, restart: null });
  t.match(of('batch-1'), {
    rule: 'batch',
    growToFraction: 0.8,
    isolate: { forMs: 900_000, means: 'quarantine' },
    restart: { kinds: ['silence'] },
  });
  t.match(of('batch-9'), { rule: 'careful', isolate: null, freezeShrinking: false, restart: { kinds: ['silence'] } });
  t.same(policy.anomalyLimits, { perHostPerHour: 1, perHour: 5 });
  t.match(canonical, /for: 15m/);
  t.equal(parsePolicyFile(canonical, OPTIONS).canonical, canonical);
  const empty = parsePolicyFile('version: 1\n', OPTIONS).policy;
  t.match(anomalyPolicyOf(empty, vmOf(1)), { rule: 'built-in', freezeShrinking: true, growToFraction: 0, isolate: null, restart: null });
});

t.test('refused, with the field', async (t) => {
  for (const [section, words] of [
    ['{isolate: {kinds: [runaway process], for: 25h}}', /isolate.*at most 24h|at most 24h/],
    ['{isolate: {kinds: [runaway process], for: 0s}}', /more than nothing/],
    ['{isolate: {kinds: [], for: 1h}}', /isolate/],
    ['{isolate: {kinds: [tsunami], for: 1h}}', /isolate/],
    ['{isolate: {kinds: [leak], for: 1h, by: axe}}', /isolate/],
    ['{restart: true}', /restart/],
    ['{growToFraction: 2}', /growToFraction/],
    ['{frozen: true}', /frozen/],
  ] as const) {
    t.throws(
      () => parsePolicyFile(`version: 1\ndefaults:\n  anomaly: ${section}\n`, OPTIONS),
      { code: 'POLICY_INVALID', message: words },
      section,
    );
  }
});

/** A VM of which memory would be taken. */
const idle = (incident?: VmIncident) =>
  vmOf(1, {
    demand: { ...vmOf(1).demand, memory: demandOf(550, forecastOf([550, 550, 550, 550, 550, 550])) },
    ...(incident ? { incident } : {}),
  });

const auto = (anomaly = '{}') =>
  policyOf(`version: 1\ndefaults:\n  memory: {mode: auto, floor: 256, shrinkHorizon: 25s, lead: 5s}\n  anomaly: ${anomaly}\n`);

function memoryStep(vm: ReturnType<typeof vmOf>, policy: ReturnType<typeof auto>) {
  const snapshot = snapshotOf([vm]);
  const made = plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
  t.same(lintPlan(made, snapshot, policy), [], 'the lint agrees');
  return {
    step: made.steps.find(({ resource }) => resource === 'memory'),
    notDone: made.notDone.find(({ resource }) => resource === 'memory'),
    made,
    snapshot,
  };
}

t.test('an incident that the host sees: nothing is taken; a claimed one, or a policy that says so, changes nothing', async (t) => {
  const free = memoryStep(idle(), auto());
  t.equal(free.step?.direction, 'shrink');
  const frozen = memoryStep(idle(INCIDENT), auto());
  t.equal(frozen.step, undefined);
  t.match(frozen.notDone, { constraint: 'anomaly', reason: /leak since/ });
  t.equal(memoryStep(idle({ ...INCIDENT, vouched: false }), auto()).step?.direction, 'shrink');
  t.equal(memoryStep(idle(INCIDENT), auto('{freezeShrinking: false}')).step?.direction, 'shrink');
  const findings = lintPlan(free.made, { ...free.snapshot, vms: [idle(INCIDENT)] }, auto());
  t.match(
    findings.map(({ rule }) => rule),
    ['anomaly'],
  );
});

t.test('sharp growth: to the share asked for, beyond the step limit, never above the ceiling, only where it presses', async (t) => {
  const limited = (anomaly: string) =>
    policyOf(
      `version: 1\ndefaults:\n  memory: {mode: auto, floor: 256, ceiling: 1000, stepLimitGrowFraction: 0.05, shrinkHorizon: 25s, lead: 5s}\n  anomaly: ${anomaly}\n`,
    );
  const grown = memoryStep(idle(INCIDENT), limited('{growToFraction: 1}')).step;
  t.match(grown, { direction: 'grow', to: { memoryMiB: 1000 }, constraint: 'anomaly', reason: /leak presses/ });
  t.equal(memoryStep(idle(INCIDENT), limited('{growToFraction: 0}')).step, undefined);
  t.equal(memoryStep(idle({ ...INCIDENT, resource: 'cpu' }), limited('{growToFraction: 1}')).step, undefined);
  t.equal(memoryStep(idle({ ...INCIDENT, vouched: false }), limited('{growToFraction: 1}')).step?.direction, 'shrink');
});
