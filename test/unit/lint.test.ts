/** Goal: the lint finds nothing in a sound plan, and each rule is load-bearing: a plan that breaks just it is caught by it. */
import t from 'tap';
import { lintPlan, PLAN_RULES, STEP_RULES, withoutFindings } from '../../aggregator/core/lint/lint.ts';
import type { Loan } from '../../aggregator/core/plan/loan.ts';
import { vmId } from '../../shared/ids.ts';
import { type Case, cleanCase, cpuStep, HOST, memoryStep, NOW_MS } from '../support/lint-fixture.ts';

const lint = ({ plan, snapshot, policy }: Case) => lintPlan(plan, snapshot, policy);

t.test('a sound plan has no findings', (t) => {
  t.same(lint(cleanCase()), []);
  t.end();
});

const LOAN: Loan = {
  id: 'loan-1',
  host: HOST,
  resource: 'memory',
  lender: vmId('00000000-0000-4000-8000-000000000002'),
  lenderName: 'vm-2',
  borrower: vmId('00000000-0000-4000-8000-000000000003'),
  borrowerName: 'vm-3',
  amount: 148,
  lenderBefore: 2048,
  lenderAfter: 1900,
  openedAtMs: NOW_MS,
  askedAtMs: NOW_MS,
  askedAmount: 148,
  untilMs: NOW_MS + 30 * 60_000,
  state: 'asked',
  because: 'test',
};

/** Makes the clean case's shrink of VM 2 a loan to VM 3, sound but for what `change` does to it. */
function lends(c: Case, change: (loan: Loan) => unknown): void {
  const loan = { ...LOAN };
  const { resolve } = c.policy;
  c.policy.resolve = (vm, resource) => ({ ...resolve(vm, resource), priority: vm.name === 'vm-3' ? 900 : 100 });
  c.plan.steps[0]!.loan = LOAN.id;
  c.plan.loans = [loan];
  change(loan);
}

t.test('a sound loan has no findings', (t) => {
  const sound = cleanCase();
  lends(sound, () => undefined);
  t.same(lint(sound), []);
  t.end();
});

t.test("an administrator's own cap is gone back to, whatever caps of ours would need for that", (t) => {
  const c = cleanCase();
  const [from, to, granted] = [0.8, 1.6, { resource: 'cpu' as const, weight: 100, capCores: 1.6 }];
  c.snapshot.vms[0]!.baseline.cpu = granted;
  c.snapshot.vms[0]!.current.cpu = { ...granted, capCores: from };
  c.plan.steps[1] = cpuStep(c.snapshot.vms[0]!, to);
  for (const cpuEnforcement of ['weight', 'cap-when-contended'] as const) {
    Object.assign(c.resources.cpu, { cpuEnforcement, ceiling: 1 });
    c.policy.cpuOvercommit = 0.01;
    t.same(lint(c), [], `${cpuEnforcement}: beyond the ceiling and the room for caps of ours, without contention`);
  }
  c.plan.steps[1] = cpuStep(c.snapshot.vms[0]!, to - 0.2);
  t.match(new Set(lint(c).map(({ rule }) => rule)), new Set(['bounds', 'cap-needed', 'host-cpu']), 'a cap in between is ours');
  t.end();
});

t.test('a claim raises a VM to what no cap may go below, whatever is guaranteed, and no hundredth more', (t) => {
  const c = cleanCase();
  const vm = c.snapshot.vms[0]!;
  vm.current.cpu = { resource: 'cpu', weight: 100, capCores: 0.3 };
  vm.demand.cpu.vouched = false;
  c.resources.cpu.guaranteedFraction = 0;
  const least = 0.2 * vm.vcpus;
  const found = (cores: number): boolean => {
    c.plan.steps[1] = cpuStep(vm, cores);
    return lint(c).some(({ rule }) => rule === 'claimed');
  };
  t.notOk(found(least));
  t.ok(found(least + 0.02));
  t.end();
});

/** Steps of the clean case: 0 shrinks memory of VM 2, 1 grows CPU of VM 1, 2 grows memory of VM 3. */
const BREAK: Record<string, [rule: string, change: (c: Case) => void][]> = {
  eligibility: [['eligibility', (c) => (c.snapshot.vms[1]!.eligibility.memory = { allowed: false, reason: 'locked memory' })]],
  'balloon-manager': [['balloon-manager', (c) => (c.snapshot.hosts[0]!.balloonManager = 'oVirt MOM')]],
  mode: [
    ['mode', (c) => (c.resources.memory.mode = 'recommend' as never)],
    ['mode', (c) => (c.plan.steps[0]!.mode = 'observe')],
  ],
  'kill-switch': [
    ['kill-switch', (c) => (c.snapshot.killSwitch = true)],
    ['kill-switch', (c) => (c.policy.killSwitch = true)],
    ['kill-switch', (c) => (c.snapshot.hosts[0]!.killSwitch = true)],
  ],
  state: [
    ['state', (c) => (c.snapshot.vms[0]!.state = 'paused')],
    ['state', (c) => (c.snapshot.vms[0]!.state = 'unknown')],
    ['state', (c) => (c.snapshot.vms[1]!.state = 'launching')],
  ],
  'host-heard': [
    ['host-heard', (c) => (c.snapshot.hosts[0]!.connected = false)],
    ['host-heard', (c) => (c.snapshot.hosts[0]!.ageMs = 1e9)],
  ],
  'fresh-demand': [['fresh-demand', (c) => (c.snapshot.vms[1]!.demand.memory.ageMs = Number.POSITIVE_INFINITY)]],
  hold: [['hold', (c) => (c.snapshot.vms[0]!.holds = [{ resource: 'cpu', reason: 'foreign writer', forMs: 1000 }])]],
  job: [['job', (c) => (c.snapshot.vms[0]!.jobActive = true)]],
  pending: [['pending', (c) => (c.snapshot.vms[0]!.pending.cpu = { resource: 'cpu', weight: 100, capCores: 1.5 })]],
  'from-current': [
    ['from-current', (c) => (c.snapshot.vms[1]!.current.memory = { resource: 'memory', memoryMiB: 2100 })],
    ['from-current', (c) => delete c.snapshot.vms[1]!.current.memory],
  ],
  direction: [
    ['direction', (c) => (c.plan.steps[0]!.direction = 'grow')],
    ['direction', (c) => (c.plan.steps[1]!.to = { ...c.plan.steps[1]!.from })],
    ['direction', (c) => (c.plan.steps[1]!.reason = ' ')],
  ],
  'cap-minimum': [
    [
      'cap-minimum',
      (c) => {
        c.resources.cpu.stepLimitShrinkFraction = 1;
        c.plan.steps[1] = cpuStep(c.snapshot.vms[0]!, 0.3);
      },
    ],
  ],
  'cap-vcpus': [
    [
      'cap-vcpus',
      (c) => {
        const vm = c.snapshot.vms[0]!;
        vm.vcpusOnline = { online: 1, sinceMs: 0 };
        vm.demand.cpu.now = 0.5;
        c.plan.steps[1] = cpuStep(vm, 0.8);
      },
    ],
  ],
  'cap-asked': [['cap-asked', (c) => (c.resources.cpu.cpuEnforcement = 'weight' as never)]],
  weight: [['weight', (c) => (c.plan.steps[1]!.to = { resource: 'cpu', weight: 0, capCores: 1.5 })]],
  bounds: [
    ['bounds', (c) => (c.resources.memory.ceiling = 2200)],
    ['bounds', (c) => (c.resources.memory.floor = 2000)],
    ['bounds', (c) => (c.resources.cpu.ceiling = 1.2)],
    ['bounds', (c) => (c.plan.steps[2] = memoryStep(c.snapshot.vms[2]!, 5000))],
    ['bounds', (c) => (c.plan.steps[1] = cpuStep(c.snapshot.vms[0]!, 3))],
  ],
  rates: [
    [
      'rates',
      (c) => {
        const disk = (bytesPerSecond: number) => ({ resource: 'disk' as const, bytesPerSecond, iops: null });
        c.snapshot.vms[0]!.current.disk = disk(1e6);
        c.resources.memory.floor = 9e5;
        c.resources.memory.stepLimitShrinkFraction = 1;
        c.plan.steps = [
          { ...c.plan.steps[0]!, vm: c.snapshot.vms[0]!.id, resource: 'disk', direction: 'shrink', from: disk(1e6), to: disk(8e5) },
        ];
      },
    ],
  ],
  'working-set': [
    ['working-set', (c) => (c.snapshot.vms[1]!.memory.workingSetPeakMiB = 1950)],
    ['working-set', (c) => (c.snapshot.vms[1]!.memory.workingSetMiB = null)],
    ['working-set', (c) => (c.snapshot.vms[1]!.memory.balloonMiB = null)],
  ],
  pressure: [
    ['pressure', (c) => (c.snapshot.vms[1]!.memory.pressure = true)],
    ['pressure', (c) => (c.snapshot.vms[1]!.demand.memory.suppressed = true)],
  ],
  'host-pressure': [
    ['host-pressure', (c) => (c.snapshot.hosts[0]!.swapping = true)],
    ['host-pressure', (c) => (c.snapshot.hosts[0]!.availableMiB = 400)],
    ['host-pressure', (c) => (c.snapshot.hosts[0]!.availableMiB = null)],
  ],
  'grow-only': [
    ['grow-only', (c) => (c.resources.memory.growOnly = true)],
    ['grow-only', (c) => (c.snapshot.vms[1]!.labels = { class: 'cluster' })],
  ],
  anomaly: [['anomaly', (c) => (c.snapshot.vms[1]!.incident = { kind: 'leak', sinceMs: 0, resource: 'memory', vouched: true })]],
  grounds: [
    ['grounds', (c) => (c.snapshot.vms[1]!.demand.memory.vouched = false)],
    ['grounds', (c) => (c.snapshot.vms[1]!.demand.memory.forecast = null)],
    ['grounds', (c) => (c.snapshot.vms[1]!.demand.memory.now = null)],
    ['grounds', (c) => (c.snapshot.vms[1]!.demand.memory.forecast!.confidence = 0.1)],
  ],
  claimed: [
    [
      'claimed',
      (c) => {
        c.snapshot.vms[2]!.demand.memory.vouched = false;
        c.resources.memory.guaranteedFraction = 0.5;
      },
    ],
    [
      'claimed',
      (c) => {
        c.snapshot.vms[0]!.demand.cpu.vouched = false;
        c.resources.cpu.guaranteedFraction = 0.5;
      },
    ],
  ],
  'step-limit': [
    ['step-limit', (c) => (c.resources.memory.stepLimitShrinkFraction = 0.05)],
    ['step-limit', (c) => (c.resources.cpu.stepLimitGrowFraction = 0.2)],
  ],
  cooldown: [
    ['cooldown', (c) => (c.snapshot.vms[1]!.lastChange.memory = { atMs: NOW_MS - 1000, direction: 'grow' })],
    ['cooldown', (c) => (c.snapshot.vms[1]!.coolUntilMs.memory = NOW_MS + 1)],
    [
      'cooldown',
      (c) => {
        c.resources.cpu.cooldownGrowMs = 60_000;
        c.snapshot.vms[0]!.lastChange.cpu = { atMs: NOW_MS - 1000, direction: 'grow' };
      },
    ],
  ],
  freeze: [
    // NOW_MS is a Wednesday, 12:00 UTC, 21:00 in Tokyo.
    [
      'freeze',
      (c) =>
        (c.policy.freezeWindows = [
          { fromMinuteOfWeek: 2 * 1440 + 1260, toMinuteOfWeek: 2 * 1440 + 1261, timeZone: 'Asia/Tokyo', reason: 'x' },
        ]),
    ],
    [
      'freeze',
      (c) =>
        (c.policy.freezeWindows = [{ fromMinuteOfWeek: 6 * 1440, toMinuteOfWeek: 3 * 1440, timeZone: 'UTC', reason: 'over the week' }]),
    ],
  ],
  confirmed: [
    ['confirmed', (c) => (c.snapshot.vms[1]!.memory.rssMiB = 2400)],
    ['confirmed', (c) => (c.snapshot.vms[1]!.memory.rssMiB = null)],
  ],
  margin: [['margin', (c) => (c.snapshot.vms[1]!.memory.workingSetMiB = 1890)]],
  'dead-band': [
    [
      'dead-band',
      (c) => {
        c.plan.steps[0] = memoryStep(c.snapshot.vms[1]!, 2000);
      },
    ],
  ],
  reach: [['reach', (c) => (c.snapshot.vms[1]!.demand.memory.forecast!.horizons = [1, 2])]],
  // The memory of VM 2 is lent to VM 3, which has a higher priority.
  loan: [
    ['loan', (c) => lends(c, (loan) => (loan.id = 'another'))],
    ['loan', (c) => lends(c, (loan) => (loan.untilMs += 31 * 60_000))],
    ['loan', (c) => lends(c, (loan) => (loan.borrower = c.snapshot.vms[0]!.id))],
    ['loan', (c) => lends(c, (loan) => (loan.lender = c.snapshot.vms[0]!.id))],
    [
      'loan',
      (c) => lends(c, () => Object.assign(c.policy, { whenShort: { borrow: false, loanTermMs: 1e9, migrate: false, throttle: true } })),
    ],
    ['loan', (c) => lends(c, (loan) => (c.snapshot.loans = [{ ...loan, id: 'before', state: 'lent' }]))],
  ],
  lent: [
    ['lent', (c) => (c.snapshot.loans = [{ ...LOAN, lender: c.snapshot.vms[2]!.id, lenderAfter: 2048, state: 'lent' }])],
    ['lent', (c) => (c.snapshot.loans = [{ ...LOAN, resource: 'cpu', lender: c.snapshot.vms[0]!.id, lenderAfter: 1, state: 'asked' }])],
  ],
  borrowed: [['borrowed', (c) => lends(c, (loan) => (loan.askedAmount = 9000))]],
  'cap-needed': [['cap-needed', (c) => (c.resources.cpu.cpuEnforcement = 'cap-when-contended' as never)]],
  'bounds-sent': [
    ['bounds-sent', (c) => (c.plan.steps[0]!.ceiling = 9999)],
    ['bounds-sent', (c) => (c.plan.steps[1]!.ceiling = 3)],
    ['bounds-sent', (c) => (c.plan.steps[0]!.floor = 0)],
    ['bounds-sent', (c) => (c.plan.steps[0]!.floor = Number.NaN)],
  ],
  maintenance: [
    [
      'maintenance',
      (c) => {
        const matches = ({ name }: { name: string }) => name === 'vm-1';
        c.policy.suspensions = [{ fromMs: NOW_MS, toMs: NOW_MS + 1, timeZone: 'UTC', reason: 'a new disk', match: {}, matches }];
      },
    ],
  ],
  'policy-trial': [['policy-trial', (c) => Object.assign(c.policy, { canary: { share: 0, soakMs: 1000 }, takenAtMs: NOW_MS - 999 })]],
  guarantee: [
    ['guarantee', (c) => (c.resources.memory.oversubscribedFraction = 0.5)],
    [
      'guarantee',
      (c) => {
        c.resources.cpu.oversubscribedFraction = 0.6;
        c.plan.steps[1] = cpuStep(c.snapshot.vms[0]!, 0.75);
      },
    ],
  ],
  canary: [
    [
      'canary',
      (c) => {
        const { resolve } = c.policy;
        c.policy.resolve = (vm, resource) => ({ ...resolve(vm, resource), canary: vm.name === 'vm-3' });
        c.snapshot.vms[2]!.coolUntilMs.memory = NOW_MS + 1;
      },
    ],
  ],
  infeasible: [
    [
      'infeasible',
      (c) => (c.snapshot.vms[1]!.infeasible = { memory: { direction: 'shrink', target: 1950, reason: 'held', untilMs: NOW_MS + 1 } }),
    ],
    [
      'infeasible',
      (c) => (c.snapshot.vms[0]!.infeasible = { cpu: { direction: 'grow', target: 1.5, reason: 'full', untilMs: NOW_MS + 1 } }),
    ],
  ],
  'one-step-each': [['one-step-each', (c) => c.plan.steps.push({ ...c.plan.steps[0]! })]],
  'blast-radius': [
    ['blast-radius', (c) => (c.policy.blastRadius.vmsPerPlan = 2)],
    ['blast-radius', (c) => (c.policy.blastRadius.vmsPerHostPerPlan = 2)],
    [
      'blast-radius',
      (c) => {
        c.policy.blastRadius.vmsPerWindow = 3;
        c.snapshot.recentChanges = [{ vm: vmId('00000000-0000-4000-8000-999999999999'), host: HOST, atMs: NOW_MS - 1 }];
      },
    ],
  ],
  'host-memory': [
    ['host-memory', (c) => (c.snapshot.hosts[0]!.memoryMiB = 9000)],
    ['host-memory', (c) => (c.snapshot.hosts[0]!.availableMiB = 600)],
    [
      'host-memory',
      (c) => {
        c.plan.grants = [];
        c.snapshot.hosts[0]!.guardReserve.memoryMiB = 7500;
      },
    ],
    // A reboot of two would not fit any more.
    [
      'host-memory',
      (c) => {
        c.plan.grants = [];
        c.policy.rebootTogether = 2;
        c.snapshot.hosts[0]!.memoryMiB = 10_900;
        c.snapshot.vms[2]!.bootMemoryMiB = 2300;
        c.snapshot.vms[1]!.bootMemoryMiB = 9000;
      },
    ],
  ],
  'numa-memory': [['numa-memory', (c) => (c.snapshot.hosts[0]!.numaNodes = [{ id: 0, memoryMiB: 6600 }])]],
  'host-cpu': [['host-cpu', (c) => (c.policy.cpuOvercommit = 0.4)]],
  'guard-grants': [
    ['guard-grants', (c) => (c.plan.grants[0]!.reserveMiB = 9000)],
    ['guard-grants', (c) => (c.plan.grants[0]!.allowances[0]!.cpuCeilingCores = 3)],
    ['guard-grants', (c) => (c.plan.grants[0]!.allowances[0]!.memoryCeilingMiB = 8000)],
    ['guard-grants', (c) => (c.snapshot.vms[0]!.eligibility.memory = { allowed: false, reason: 'VFIO' })],
  ],
};

t.test('every rule has a case that breaks it', (t) => {
  t.same(Object.keys(BREAK).sort(), [...Object.keys(STEP_RULES), ...Object.keys(PLAN_RULES)].sort());
  t.end();
});

for (const [rule, cases] of Object.entries(BREAK)) {
  for (const [index, [name, change]] of cases.entries()) {
    t.test(`${rule}, case ${index + 1}`, (t) => {
      const broken = cleanCase();
      change(broken);
      const findings = lint(broken);
      t.ok(
        findings.some((finding) => finding.rule === name),
        `found by ${name}: ${JSON.stringify(findings)}`,
      );
      t.end();
    });
  }
}

t.test('a step for a VM that is not there', (t) => {
  const broken = cleanCase();
  broken.plan.steps[0]!.vm = vmId('00000000-0000-4000-8000-999999999999');
  t.match(lint(broken), [{ rule: 'known', step: 0 }]);
  t.end();
});

t.test('struck steps move to what is not done, with their reason; the rest stays', (t) => {
  const broken = cleanCase();
  broken.snapshot.vms[1]!.jobActive = true;
  const kept = withoutFindings(broken.plan, lint(broken));
  t.same(kept.steps, broken.plan.steps.slice(1));
  t.match(kept.notDone, [{ vm: broken.snapshot.vms[1]!.id, constraint: 'lint', reason: /job rule/ }]);
  t.end();
});

t.test('a finding on the whole plan leaves nothing to carry out and nothing for the guards', (t) => {
  const broken = cleanCase();
  broken.plan.grants[0]!.reserveMiB = 9000;
  const kept = withoutFindings(broken.plan, lint(broken));
  t.same(kept.steps, []);
  t.equal(kept.notDone.length, 3);
  t.match(kept.grants, [{ reserveCores: 0, reserveMiB: 0, allowances: [] }]);
  t.end();
});
