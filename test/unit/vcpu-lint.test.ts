/** Goal: the lint lets a sound order about vCPUs pass, and each of its rules alone strikes one that breaks just it. */
import t from 'tap';
import { lintPlan, withoutFindings } from '../../aggregator/core/lint/lint.ts';
import { VCPU_RULES } from '../../aggregator/core/lint/vcpu-rules.ts';
import type { VcpuStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { type Case, cleanCase, NOW_MS } from '../support/lint-fixture.ts';

const HOUR_MS = 3_600_000;
const OTHER = cleanCase().snapshot.vms[1]!.id;
const WHOLE_WEEK = { fromMinuteOfWeek: 0, toMinuteOfWeek: 7 * 24 * 60, timeZone: 'UTC', reason: 'the whole week' };

interface VcpuCase extends Case {
  vm: VmSnapshot;
  step: VcpuStep;
}

/** VM 1 has eight vCPUs, wants half a core, and is to have four of them online; `to` = 8: they come back. */
function sound(from = 8, to = 4): VcpuCase {
  const made = cleanCase();
  const vm = made.snapshot.vms[0]!;
  Object.assign(vm, { labels: { vcpus: 'allow' }, vcpus: 8, vcpusOnline: { online: from, sinceMs: NOW_MS - 24 * HOUR_MS } });
  vm.current.cpu = { resource: 'cpu', weight: 100, capCores: null };
  made.plan.steps = made.plan.steps.filter(({ vm: id }) => id !== vm.id);
  const step: VcpuStep = {
    ...{ vm: vm.id, vmName: vm.name, host: vm.host, from, to, of: 8, mode: 'auto', constraint: 'forecast' },
    ...{ reason: 'no more is expected', predictedDemand: 0.5 },
  };
  made.plan.vcpuSteps = [step];
  return { ...made, vm, step };
}

const found = ({ plan, snapshot, policy }: Case): string[] => [...new Set(lintPlan(plan, snapshot, policy).map(({ rule }) => rule))];

t.test('sound: taken, grown, brought back', (t) => {
  t.same(found(sound()), []);
  t.same(found(sound(4, 6)), []);
  const back = sound(4, 8);
  back.resources.cpu.mode = 'observe';
  back.step.mode = 'observe';
  back.plan.steps = [];
  back.policy.freezeWindows = [WHOLE_WEEK];
  back.vm.demand.cpu.ageMs = Number.POSITIVE_INFINITY;
  t.same(found(back), [], 'what the policy no longer allows goes back, in a freeze window and unseen too');
  t.end();
});

const NEVER = { allowed: false, reason: 'pinned' } as const;
const BREAK: Readonly<Record<string, (c: VcpuCase) => unknown>> = {
  'vcpus-labelled': (c) => (c.vm.labels = {}),
  'vcpus-known': (c) => delete c.vm.vcpusOnline,
  'vcpus-sound': (c) => (c.step.reason = ' '),
  'vcpus-enough': (c) => (c.step.to = 1),
  'vcpus-under-cap': (c) => {
    c.vm.demand.cpu.now = 1;
    c.vm.current.cpu = { resource: 'cpu', weight: 100, capCores: 1.6 };
  },
  'vcpus-rested': (c) => (c.vm.vcpusOnline = { online: 8, sinceMs: NOW_MS - HOUR_MS }),
  'vcpus-cooled': (c) => (c.vm.vcpusOnline!.coolUntilMs = NOW_MS + 1),
  'vcpus-reached': (c) => (c.vm.vcpusOnline!.infeasible = { target: 4, reason: 'the guest refused', untilMs: NOW_MS + 1 }),
  'host-heard': (c) => (c.snapshot.hosts = [{ ...c.snapshot.hosts[0]!, ageMs: 1e9 }]),
  eligibility: (c) => (c.vm.eligibility = { ...c.vm.eligibility, cpu: NEVER }),
  mode: (c) => (c.resources.cpu.mode = 'recommend' as never),
  'kill-switch': (c) => (c.snapshot.killSwitch = true),
  state: (c) => (c.vm.state = 'launching'),
  'fresh-demand': (c) => (c.vm.demand.cpu.ageMs = Number.POSITIVE_INFINITY),
  hold: (c) => (c.vm.holds = [{ resource: 'cpu', reason: 'someone else', forMs: 1000 }]),
  job: (c) => (c.vm.jobActive = true),
  'grow-only': (c) => (c.vm.labels = { ...c.vm.labels, class: 'cluster' }),
  anomaly: (c) => (c.vm.incident = { kind: 'leak', sinceMs: NOW_MS, resource: 'cpu', vouched: true } as never),
  pressure: (c) => (c.vm.demand.cpu.suppressed = true),
  grounds: (c) => (c.vm.demand.cpu.vouched = false),
  guarantee: (c) => (c.resources.cpu.oversubscribedFraction = 0.1),
  reach: (c) => (c.resources.cpu.shrinkHorizonMs = 24 * HOUR_MS),
  freeze: (c) => (c.policy.freezeWindows = [WHOLE_WEEK]),
  maintenance: (c) =>
    (c.policy.suspensions = [{ fromMs: 0, toMs: NOW_MS + 1, timeZone: 'UTC', reason: 'a disk', match: {}, matches: () => true }]),
  'policy-trial': (c) => Object.assign(c.policy, { canary: { share: 0, soakMs: 60_000 }, takenAtMs: NOW_MS - 1000 }),
};

t.test('every rule has a case that breaks it, and it alone', (t) => {
  t.same(Object.keys(BREAK).sort(), Object.keys(VCPU_RULES).sort());
  for (const [rule, breaks] of Object.entries(BREAK)) {
    const broken = sound();
    broken.plan.steps = [];
    broken.plan.grants = [];
    breaks(broken);
    t.same(found(broken), [rule], rule);
  }
  t.end();
});

t.test('fewer than the policy asks, than a fifth of all, or more than there are', (t) => {
  const floor = sound();
  floor.resources.cpu.floor = 5;
  t.same(found(floor), ['vcpus-enough']);
  t.same(found(sound(8, 1)), ['vcpus-enough']);
  t.ok(found(sound(8, 9)).includes('vcpus-sound'));
  t.ok(found(sound(8, 0)).includes('vcpus-sound'));
  t.ok(found(sound(8, 2.5)).includes('vcpus-sound'));
  const late = sound();
  late.step.from = 7;
  t.ok(found(late).includes('vcpus-known'), 'on other ground than what is in force');
  t.end();
});

t.test('where the policy only recommends: no farther than somebody gave leave for, and back without', (t) => {
  const asked = (from: number, count: number, leave: object = {}): VcpuCase => {
    const made = sound(from, count);
    made.resources.cpu.mode = 'recommend' as never;
    Object.assign(made.plan, { steps: [], grants: [] });
    made.snapshot.vcpuApprovals = [{ vm: made.vm.id, to: 4, by: 'ada', atMs: NOW_MS - 1, untilMs: NOW_MS + 1, ...leave }];
    return made;
  };
  t.same(found(asked(8, 4)), []);
  t.same(found(asked(8, 4, { to: 5 })), ['mode'], 'farther than that');
  t.same(found(asked(8, 4, { untilMs: NOW_MS })), ['mode'], 'lapsed');
  t.same(found(asked(8, 4, { vm: OTHER })), ['mode'], "another's");
  t.same(found(asked(4, 6, { untilMs: 0 })), []);
  t.end();
});

t.test('twice in one plan, an unknown VM, more VMs than one plan may change', (t) => {
  const twice = sound();
  twice.plan.vcpuSteps!.push({ ...twice.step });
  t.ok(found(twice).includes('one-step-each'));
  const stranger = sound();
  stranger.step.host = 'elsewhere' as never;
  t.same(found(stranger), ['known']);
  const many = sound();
  many.policy.blastRadius = { ...many.policy.blastRadius, vmsPerPlan: 2 };
  t.same(found(many), ['blast-radius'], 'two other VMs are changed already');
  t.end();
});

t.test('what is found strikes that order and no other step', (t) => {
  const broken = sound();
  broken.vm.labels = {};
  const findings = lintPlan(broken.plan, broken.snapshot, broken.policy);
  const left = withoutFindings(broken.plan, findings);
  t.equal(left.vcpuSteps, undefined);
  t.same(left.steps, broken.plan.steps);
  const whole = withoutFindings(sound().plan, [{ rule: 'x', message: 'y', step: null }]);
  t.same([whole.steps, whole.vcpuSteps], [[], undefined], 'a finding on the plan strikes all');
  t.end();
});
