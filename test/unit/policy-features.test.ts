/**
 * Goal: what an administrator asks beside modes and bounds holds: maintenance in the zone it was written in, over changes of
 * the clocks; a new policy tried by canaries first; a boost while a VM launches; a share that is never lent out. Without
 * them a policy decides as it always did.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { cohortPlace, isCanary, trialEndsMs } from '../../aggregator/core/plan/canaries.ts';
import { utcOfLocal } from '../../aggregator/core/plan/local-time.ts';
import type { FleetSnapshot, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy } from '../../aggregator/core/plan/policy.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';

const decide = (snapshot: FleetSnapshot, policy: FleetPolicy) => {
  const made = plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
  return { ...made, findings: lintPlan(made, snapshot, policy) };
};
const withFleet = (text: string, more = ''): FleetPolicy =>
  policyOf(AUTO_POLICY.replace('reserve: {memoryMiB: 512}\n', `reserve: {memoryMiB: 512}\n${text}`) + more);
/** Idle by forecast: its CPU is shrunk. */
const idle = (n: number, over: Partial<VmSnapshot> = {}): VmSnapshot =>
  vmOf(n, { demand: { ...vmOf(n).demand, cpu: demandOf(0.5, forecastOf([0.5, 0.5, 0.5, 0.5, 0.5, 0.5])) }, ...over });
const cpuOf = ({ steps, notDone }: ReturnType<typeof decide>, vm: VmSnapshot) => ({
  step: steps.find((step) => step.vm === vm.id && step.resource === 'cpu'),
  held: notDone.find((each) => each.vm === vm.id && each.resource === 'cpu'),
});

const LOCAL: [text: string, zone: string, which: 'first' | 'last', utc: string | null][] = [
  ['2026-03-03 08:55', 'UTC', 'first', '2026-03-03T08:55:00.000Z'],
  ['2026-07-01 12:00', 'Europe/Berlin', 'first', '2026-07-01T10:00:00.000Z'],
  ['2026-01-01 00:00', 'Asia/Kolkata', 'first', '2025-12-31T18:30:00.000Z'],
  ['2026-10-25 02:30', 'Europe/Berlin', 'first', '2026-10-25T00:30:00.000Z'],
  ['2026-10-25 02:30', 'Europe/Berlin', 'last', '2026-10-25T01:30:00.000Z'],
  ['2026-03-29 02:30', 'Europe/Berlin', 'first', '2026-03-29T01:30:00.000Z'],
  ['2026-12-31 23:59', 'Pacific/Kiritimati', 'first', '2026-12-31T09:59:00.000Z'],
  ['2026-02-30 10:00', 'UTC', 'first', null],
];
for (const [text, zone, which, utc] of LOCAL) {
  t.test(`${text} in ${zone}, the ${which}`, async (t) => {
    const found = utcOfLocal(text, zone, which);
    t.equal(found === null ? null : new Date(found).toISOString(), utc);
  });
}

t.test('maintenance: the VMs meant are left alone within it, by local time, and others go on', async (t) => {
  // It is 08:55 UTC: 09:55 in Berlin.
  const window = (from: string, to: string, zone = 'Europe/Berlin') =>
    withFleet(
      `  suspensions: [{match: {name: vm-1}, from: '2026-03-03 ${from}', to: '2026-03-03 ${to}', timeZone: ${zone}, reason: new disk}]\n`,
    );
  const [one, two] = [idle(1), idle(2)];
  const inside = decide(snapshotOf([one, two]), window('09:30', '10:30'));
  t.match(cpuOf(inside, one), {
    step: undefined,
    held: { constraint: 'maintenance', reason: /^suspended until 3 Mar 2026, 10:30 Europe\/Berlin: new disk$/ },
  });
  t.ok(cpuOf(inside, two).step);
  t.ok(cpuOf(decide(snapshotOf([one]), window('09:00', '09:55')), one).step, 'its end is not part of it');
  t.ok(cpuOf(decide(snapshotOf([one]), window('09:56', '10:30')), one).step, 'not yet');
  t.ok(cpuOf(decide(snapshotOf([one]), window('09:30', '10:30', 'UTC')), one).step, 'another zone');
});

const MISTAKES: [text: string, message: RegExp][] = [
  [`from: '2026-03-03 10:00', to: '2026-03-03 09:00', timeZone: UTC`, /line 4, column \d+, field fleet\.suspensions\[0\]\.to: it ends/],
  [`from: '2026-02-30 10:00', to: '2026-03-03 09:00', timeZone: UTC`, /suspensions\[0\]\.from: "2026-02-30 10:00" is no day/],
  [`from: '2026-03-03 10:00', to: '2026-03-03 11:00', timeZone: Mars/Olympus`, /timeZone: "Mars\/Olympus" is not a known/],
  [`from: 'tomorrow', to: '2026-03-03 11:00', timeZone: UTC`, /from: "tomorrow" is not accepted; expected a date and time/],
];
t.test('mistakes name line and field', async (t) => {
  for (const [text, message] of MISTAKES) {
    t.throws(() => withFleet(`  suspensions: [{${text}, reason: x}]\n`), { code: 'POLICY_INVALID', message }, text);
  }
  t.throws(() => withFleet('  canary: {share: 0.1}\n'), { message: /field fleet\.canary: "soak" is missing: expected a duration/ });
  t.throws(() => withFleet('  canary: {share: 0.1, soak: 1h, sheep: 3}\n'), { message: /unknown field "sheep"/ });
});

t.test('canaries: a new policy shrinks the cohort alone until it has proved itself; growth waits for nobody', async (t) => {
  const vms = Array.from({ length: 40 }, (_, i) => idle(i + 1));
  const roomy = '  blastRadius: {vmsPerPlan: 100, vmsPerHostPerPlan: 100, vmsPerWindow: 100}\n';
  const policy = withFleet(`${roomy}  canary: {share: 0.25, soak: 10m}\n`);
  const cohort = new Set(vms.filter(({ id }) => cohortPlace(id) < 0.25).map(({ id }) => id));
  t.ok(cohort.size >= 4 && cohort.size <= 18, `${cohort.size} of 40`);
  const trial = decide(snapshotOf(vms), policy);
  t.same(trial.findings, []);
  t.same(new Set(trial.steps.map(({ vm }) => vm)), cohort);
  const held = trial.notDone.find(({ vm, resource }) => resource === 'cpu' && !cohort.has(vm));
  t.match(held, { constraint: 'canary', reason: /^policy 1 is tried with the canaries until 09:04:00: CPU from/ });
  const later = { ...snapshotOf(vms), nowMs: NOW_MS + 9 * 60_000 };
  t.equal(trialEndsMs(policy, later.nowMs), null, 'taken a minute before');
  const rising = vmOf(50, { demand: { ...vmOf(50).demand, cpu: demandOf(0.9, forecastOf([1.4, 1.4, 1.4, 1.4, 1.4, 1.4])) } });
  t.equal(cpuOf(decide(snapshotOf([rising]), policy), rising).step?.direction, 'grow');
});

t.test('a canary of the cohort that was harmed holds the others back, also after the trial', async (t) => {
  const policy = withFleet('  canary: {share: 0.25, soak: 1s}\n');
  const numbers = Array.from({ length: 40 }, (_, i) => i + 1);
  const drawn = idle(numbers.find((n) => cohortPlace(testVmId(n)) < 0.25)!);
  const other = idle(numbers.find((n) => cohortPlace(testVmId(n)) >= 0.25)!);
  const calm = decide(snapshotOf([drawn, other]), policy);
  t.ok(cpuOf(calm, other).step);
  t.ok(calm.steps.findIndex(({ vm }) => vm === drawn.id) < calm.steps.findIndex(({ vm }) => vm === other.id), 'it goes first');
  const harmed = decide(snapshotOf([{ ...drawn, coolUntilMs: { cpu: NOW_MS + 60_000 } }, other]), policy);
  t.match(cpuOf(harmed, other).held, { constraint: 'canary', reason: /was harmed/ });
  t.ok(isCanary(other.id, { canary: true }, policy), 'a rule may name one as well');
});

t.test('startup boost: while it launches, before any demand is known; never taken back before it is ready', async (t) => {
  const launching = vmOf(1, { state: 'launching', demand: { ...vmOf(1).demand, cpu: demandOf(null, null) } });
  const boosted = policyOf(AUTO_POLICY.replace('cpu: {mode: auto,', 'cpu: {mode: auto, startupBoostFraction: 0.9,'));
  const made = decide(snapshotOf([launching]), boosted);
  t.match(cpuOf(made, launching).step, {
    direction: 'grow',
    to: { capCores: 1.8 },
    constraint: 'startup',
    reason: 'CPU from 1.00 to 1.80 cores at 08:55:00 because it is launching, and rule "defaults" gives it 1.80 cores until it is ready',
  });
  t.same(made.findings, []);
  t.match(cpuOf(decide(snapshotOf([launching]), policyOf()), launching).held, { constraint: 'unknown' });
  const high = { ...launching, current: { ...launching.current, cpu: { resource: 'cpu' as const, weight: 100, capCores: 2 } } };
  t.equal(cpuOf(decide(snapshotOf([high]), boosted), high).step, undefined, 'nothing is taken from it');
  const ready = idle(1);
  t.equal(cpuOf(decide(snapshotOf([ready]), boosted), ready).step?.direction, 'shrink', 'then demand alone decides');
});

t.test('oversubscription: what may not be lent out stays granted, however idle', async (t) => {
  const capOf = (share: number) => {
    const text = `cpu: {mode: auto, stepLimitShrinkFraction: 1, oversubscribedFraction: ${share},`;
    const made = decide(snapshotOf([idle(1)]), policyOf(AUTO_POLICY.replace('cpu: {mode: auto,', text)));
    t.same(made.findings, []);
    const { step } = cpuOf(made, idle(1));
    return step?.to.resource === 'cpu' ? { cap: step.to.capCores, constraint: step.constraint } : null;
  };
  t.same(capOf(1), { cap: 0.55, constraint: 'forecast' });
  t.same(capOf(0.65), { cap: 0.7, constraint: 'guaranteed' });
  t.same(capOf(0.2), { cap: 1.6, constraint: 'guaranteed' }, 'and is given back where it is not there');
});

t.test('without these fields nothing changes, to the digest', async (t) => {
  const vms = Array.from({ length: 5 }, (_, i) => idle(i + 1));
  const plain = decide(snapshotOf(vms), policyOf());
  t.equal('suspensions' in policyOf() || 'canary' in policyOf() || 'takenAtMs' in policyOf(), false);
  const spelled = AUTO_POLICY.replace('cpu: {', 'cpu: {oversubscribedFraction: 1, startupBoostFraction: 0, ');
  t.same(decide(snapshotOf(vms), policyOf(spelled)), plain);
});
