/**
 * Goal: every rule of the lint carries weight. The real planner is shown a world in which one thing is missing and plans in it;
 * the lint knows the whole truth. For each rule there is a fleet, from a fixed seed, where that rule alone stands between a bad
 * step and the host: with it the step is struck out, without it nothing else would have. For memory what follows is reckoned
 * apart: without the rule of sums, or with shrinks of the same plan counted before they are confirmed (one phase in place of
 * two), some order of the steps holds more than the host has; with the rule none does.
 */
import fc from 'fast-check';
import t from 'tap';
import { FORECASTERS } from '../../aggregator/core/forecast/registry.ts';
import { lintPlan, PLAN_RULES, STEP_RULES, withoutFindings } from '../../aggregator/core/lint/lint.ts';
import type { Loan } from '../../aggregator/core/plan/loan.ts';
import type { FleetSnapshot, HostSnapshot, LintFinding, Plan, PlanStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import type { FleetPolicy, ResourcePolicy } from '../../aggregator/core/plan/policy.ts';
import { parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { createPrng } from '../../shared/prng.ts';
import type { Setting } from '../../shared/resources.ts';
import { NOW_MS } from '../support/fleet.ts';
import { fleets, policySources } from '../support/fleet-arbitrary.ts';
import { heldMiB, sizesBefore, worstExcessMiB } from '../support/physical-memory.ts';

const SEED = 11;
/** Most rules are shown by one of the first fifty fleets. */
const FLEETS = 700;

interface World {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  made: Plan;
}

const parse = (source: string) => parsePolicyFile(source, { version: 1, forecasters: FORECASTERS }).policy;
const decide = (snapshot: FleetSnapshot, policy: FleetPolicy): Plan => plan(snapshot, policy, { epoch: 1 }, createPrng(1)).plan;
const samples = fc.sample(fc.tuple(fleets, policySources), { numRuns: FLEETS, seed: SEED });
/** Planned once; what the lint then knows differs from rule to rule. */
const planned = new Map<number, World>();
function worldOf(index: number): World {
  const known = planned.get(index);
  if (known) return known;
  const [snapshot, source] = samples[index]!;
  const policy = parse(source);
  const world = { snapshot, policy, made: decide(snapshot, policy) };
  planned.set(index, world);
  return world;
}

/** The truth that the planner was blind to, made of what it saw; or a planner's slip, in the plan itself. */
type Truth = (world: World) => Partial<World>;
const vms =
  (change: (vm: VmSnapshot, steps: readonly PlanStep[]) => Partial<VmSnapshot>): Truth =>
  ({ snapshot, made }) => ({
    snapshot: {
      ...snapshot,
      vms: snapshot.vms.map((vm) => ({
        ...vm,
        ...change(
          vm,
          made.steps.filter((step) => step.vm === vm.id),
        ),
      })),
    },
  });
const hosts =
  (change: (host: HostSnapshot) => Partial<HostSnapshot>): Truth =>
  ({ snapshot }) => ({ snapshot: { ...snapshot, hosts: snapshot.hosts.map((host) => ({ ...host, ...change(host) })) } });
const fleet =
  (change: Partial<FleetPolicy>): Truth =>
  ({ policy }) => ({ policy: { ...policy, ...change } });
const resource =
  (change: (own: ResourcePolicy) => Partial<ResourcePolicy>): Truth =>
  ({ policy }) => ({
    policy: {
      ...policy,
      resolve: (...args) => {
        const own = policy.resolve(...args);
        return { ...own, ...change(own) };
      },
    },
  });
const slip =
  (change: (step: PlanStep, made: Plan) => PlanStep): Truth =>
  ({ made }) => ({ made: { ...made, steps: made.steps.map((step) => change(step, made)) } });

const NEVER = { allowed: false, reason: 'passed through' } as const;
const memoryOf = (setting: Setting | undefined): number => (setting?.resource === 'memory' ? setting.memoryMiB : Number.NaN);
const memoryStep = (steps: readonly PlanStep[]): PlanStep | undefined => steps.find((step) => step.resource === 'memory');
const ALL = ['cpu', 'memory', 'network', 'disk'] as const;
const everyResource = <T>(value: T) => Object.fromEntries(ALL.map((name) => [name, value])) as Record<(typeof ALL)[number], T>;
const demands = (vm: VmSnapshot, change: (view: VmSnapshot['demand']['cpu']) => Partial<VmSnapshot['demand']['cpu']>) => ({
  demand: Object.fromEntries(ALL.map((name) => [name, { ...vm.demand[name], ...change(vm.demand[name]) }])) as VmSnapshot['demand'],
});
const WHOLE_WEEK = { fromMinuteOfWeek: 0, toMinuteOfWeek: 7 * 24 * 60, timeZone: 'UTC', reason: 'the whole week' };
const LATER_MS = NOW_MS + 3_600_000;
const LOAN = 'no-such-loan';
const isLoanable = ({ resource: name }: PlanStep): boolean => name === 'cpu' || name === 'memory';
/** What its VM gave away before, so that it has what the step begins with. */
const lentBy = ({ vm, vmName, host, resource: name, from }: PlanStep): Loan => {
  const left = from.resource === 'memory' ? from.memoryMiB : from.resource === 'cpu' ? (from.capCores ?? 0) : 0;
  return {
    ...{ id: LOAN, host, resource: name as Loan['resource'], lender: vm, lenderName: vmName, borrower: vm, borrowerName: 'another' },
    ...{ amount: 1, lenderBefore: left + 1, lenderAfter: left, openedAtMs: NOW_MS, askedAtMs: NOW_MS, askedAmount: 1 },
    ...{ untilMs: NOW_MS + 600_000, state: 'lent', because: 'another needed it' },
  };
};

const TRUTHS: Readonly<Record<string, Truth>> = {
  eligibility: vms(() => ({ eligibility: everyResource(NEVER) })),
  'balloon-manager': hosts(() => ({ balloonManager: 'oVirt MOM' })),
  mode: resource(() => ({ mode: 'recommend' })),
  'kill-switch': ({ snapshot }) => ({ snapshot: { ...snapshot, killSwitch: true } }),
  state: vms(() => ({ state: 'paused' })),
  'host-heard': hosts(() => ({ connected: false })),
  'fresh-demand': vms((vm) => demands(vm, () => ({ ageMs: Number.POSITIVE_INFINITY }))),
  hold: vms(() => ({ holds: ALL.map((name) => ({ resource: name, reason: 'someone else', forMs: 1000 })) })),
  job: vms(() => ({ jobActive: true })),
  pending: vms((_, steps) => ({ pending: Object.fromEntries(steps.map((step) => [step.resource, step.from])) })),
  'from-current': vms(({ current }) => ({
    current: { ...current, cpu: current.cpu?.resource === 'cpu' ? { ...current.cpu, weight: current.cpu.weight + 7 } : current.cpu! },
  })),
  direction: slip((step) => ({ ...step, direction: step.direction === 'grow' ? 'shrink' : 'grow' })),
  'cap-minimum': vms((vm) => ({ vcpus: vm.vcpus * 4 })),
  'cap-vcpus': vms((vm) => ({ vcpusOnline: { online: 1, sinceMs: 0 }, ...demands(vm, () => ({ now: 1 })) })),
  'cap-asked': resource(() => ({ cpuEnforcement: 'weight' })),
  weight: slip((step) => (step.to.resource === 'cpu' ? { ...step, to: { ...step.to, weight: 20_000 } } : step)),
  bounds: resource(() => ({ ceiling: 0.5 })),
  rates: resource((own) => ({ ceiling: own.ceiling && own.ceiling * 0.9, stepLimitGrowFraction: 100 })),
  'working-set': vms((vm) => ({ memory: { ...vm.memory, workingSetPeakMiB: vm.bootMemoryMiB } })),
  pressure: vms((vm) => ({ memory: { ...vm.memory, pressure: true } })),
  'host-pressure': hosts(() => ({ swapping: true })),
  'grow-only': vms(() => ({ labels: { class: 'cluster' } })),
  anomaly: vms(() => ({ incident: { kind: 'leak', vouched: true, resource: 'memory' } as unknown as NonNullable<VmSnapshot['incident']> })),
  grounds: vms((vm) => demands(vm, ({ forecast }) => ({ forecast: forecast && { ...forecast, confidence: 0.1 } }))),
  claimed: vms((vm) => demands(vm, () => ({ vouched: false }))),
  'step-limit': resource(() => ({ stepLimitShrinkFraction: 0.01, stepLimitGrowFraction: 0.01 })),
  cooldown: vms((vm) => ({ coolUntilMs: { ...vm.coolUntilMs, memory: LATER_MS, cpu: LATER_MS } })),
  freeze: fleet({ freezeWindows: [WHOLE_WEEK] }),
  maintenance: fleet({ suspensions: [{ fromMs: 0, toMs: LATER_MS, reason: 'a new disk', matches: () => true }] as never }),
  'policy-trial': fleet({ canary: { share: 0, soakMs: 60_000 } as never, takenAtMs: NOW_MS - 1000 }),
  guarantee: resource(() => ({ oversubscribedFraction: 0.01 })),
  confirmed: vms((vm) => ({ memory: { ...vm.memory, rssMiB: 2 * vm.bootMemoryMiB } })),
  margin: vms((vm, steps) => {
    const to = memoryOf(memoryStep(steps)?.to);
    return { memory: { ...vm.memory, workingSetMiB: Number.isNaN(to) ? vm.memory.workingSetMiB : to - 5, workingSetPeakMiB: to } };
  }),
  'dead-band': resource(() => ({ deadBandFraction: 0.9 })),
  reach: resource(() => ({ shrinkHorizonMs: 3_600_000 })),
  'cap-needed': resource((own) => (own.cpuEnforcement === 'cap-always' ? { cpuEnforcement: 'cap-when-contended' } : {})),
  infeasible: vms((_, steps) => ({
    infeasible: Object.fromEntries(
      steps.map(({ resource: name, direction, to }) => [name, { direction, target: memoryOf(to), reason: 'refused', untilMs: LATER_MS }]),
    ),
  })),
  'bounds-sent': slip((step) => (step.resource === 'memory' ? { ...step, ceiling: 1e9 } : step)),
  loan: slip((step) => ({ ...step, loan: LOAN })),
  'one-step-each': ({ made }) => ({ made: { ...made, steps: made.steps.flatMap((step) => [step, step]) } }),
  'blast-radius': fleet({ blastRadius: { vmsPerPlan: 0, vmsPerHostPerPlan: 0, vmsPerWindow: 0, windowMs: 60_000 } }),
  'host-memory': (world) => ({
    ...hosts((host) => ({ memoryMiB: host.memoryMiB / 4 }))(world),
    made: { ...world.made, grants: world.made.grants.map((grant) => ({ ...grant, reserveMiB: 0 })) },
  }),
  'numa-memory': hosts(({ numaNodes }) => ({ numaNodes: numaNodes.map((node) => ({ ...node, memoryMiB: node.memoryMiB / 8 })) })),
  'host-cpu': fleet({ cpuOvercommit: 0.01 }),
  'guard-grants': ({ made }) => ({ made: { ...made, grants: made.grants.map((grant) => ({ ...grant, reserveMiB: 1e6 })) } }),
  lent: ({ snapshot, made }) => ({
    snapshot: { ...snapshot, loans: made.steps.filter(isLoanable).flatMap((step) => (step.direction === 'grow' ? [lentBy(step)] : [])) },
  }),
  borrowed: ({ snapshot, policy, made }) => {
    // The first step that takes something becomes a loan to a neighbour, sound but for its size.
    const step = made.steps.find((one) => one.direction === 'shrink' && isLoanable(one));
    const borrower = step && snapshot.vms.find((vm) => vm.host === step.host && vm.id !== step.vm);
    if (step === undefined || borrower === undefined) return {};
    const loan = { ...lentBy(step), borrower: borrower.id, borrowerName: borrower.name, state: 'asked', askedAmount: 1e9 } as const;
    return {
      policy: {
        ...policy,
        resolve: (vm, name) => ({ ...policy.resolve(vm, name), ...(vm.id === borrower.id ? { priority: 1e6, mode: 'auto' } : {}) }),
      },
      made: { ...made, loans: [loan], steps: made.steps.map((one) => (one === step ? { ...one, loan: LOAN } : one)) },
    };
  },
  canary: ({ snapshot, policy }) => ({
    policy: {
      ...policy,
      resolve: (vm, name) => ({ ...policy.resolve(vm, name), canary: vm.id === snapshot.vms[0]?.id }),
    },
    snapshot: {
      ...snapshot,
      vms: snapshot.vms.map((vm, i) => (i === 0 ? { ...vm, coolUntilMs: { cpu: LATER_MS, memory: LATER_MS } } : vm)),
    },
  }),
};

/** Strikes a step, or the whole plan, with no other rule's help. */
function alone(findings: readonly LintFinding[], rule: string): boolean {
  if (findings.some((finding) => finding.step === null && finding.rule !== rule)) return false;
  return findings.some(
    (finding) =>
      finding.rule === rule && findings.every((other) => other.rule === rule || other.step !== finding.step || finding.step === null),
  );
}

t.test('every rule is looked at', (t) => {
  t.same(new Set(Object.keys(TRUTHS)), new Set([...Object.keys(STEP_RULES), ...Object.keys(PLAN_RULES)]));
  t.end();
});

for (const [rule, truth] of Object.entries(TRUTHS)) {
  t.test(rule, (t) => {
    let tried = 0;
    for (; tried < FLEETS; tried++) {
      const world = worldOf(tried);
      if (world.made.steps.length === 0) continue;
      const { snapshot, policy, made } = { ...world, ...truth(world) };
      if (alone(lintPlan(made, snapshot, policy), rule)) break;
    }
    t.ok(tried < FLEETS, `alone it stands between a bad step and the host in fleet ${tried} of seed ${SEED}`);
    t.end();
  });
}

/** Growths first, as they would go out together with shrinks, then the shrinks. */
const growthsFirst = ({ steps }: Plan): number[] =>
  [...steps.keys()].sort((a, b) => Number(steps[a]!.direction === 'shrink') - Number(steps[b]!.direction === 'shrink'));
const excessOf = (snapshot: FleetSnapshot, policy: FleetPolicy, made: Plan): number =>
  Math.max(...snapshot.hosts.map(({ id }) => worstExcessMiB(snapshot, policy, made, growthsFirst(made), id)));

/** Reckons what each variant of the lint lets happen, over all fleets. */
function worst(
  of: (world: World) => World,
  struck: (findings: readonly LintFinding[]) => LintFinding[],
): { excessMiB: number; fleet: number } {
  const found = { excessMiB: Number.NEGATIVE_INFINITY, fleet: -1 };
  for (let index = 0; index < FLEETS; index++) {
    const { snapshot, policy, made } = of(worldOf(index));
    const excessMiB = excessOf(snapshot, policy, withoutFindings(made, struck(lintPlan(made, snapshot, policy))));
    if (excessMiB > found.excessMiB) Object.assign(found, { excessMiB, fleet: index });
  }
  return found;
}

const TOLERANCE_MIB = 2;
const growsMemory = ({ resource: name, direction }: PlanStep): boolean => name === 'memory' && direction === 'grow';
/** Hosts that have exactly what their VMs hold before the plan: what grows can only come from what shrinks. */
function tight({ snapshot, policy }: World, seen: FleetSnapshot): FleetSnapshot {
  const sizes = sizesBefore(snapshot);
  const hosts = seen.hosts.map((host) => {
    const memoryMiB = heldMiB(snapshot, host.id, sizes, policy.rebootTogether) + policy.reserve.memoryMiB;
    return { ...host, memoryMiB, availableMiB: memoryMiB, numaNodes: [], guardReserve: { cores: 0, memoryMiB: 0 } };
  });
  return { ...seen, hosts };
}
const noGrants = (made: Plan): Plan => ({ ...made, grants: made.grants.map((grant) => ({ ...grant, reserveMiB: 0 })) });

t.test('without the rule of sums a host holds more than it has; with it none does', (t) => {
  const small = (world: World): World => ({ ...world, ...TRUTHS['host-memory']!(world) });
  const whole = worst(small, (findings) => [...findings]);
  const without = worst(small, (findings) => findings.filter(({ rule }) => rule !== 'host-memory'));
  t.ok(whole.excessMiB <= TOLERANCE_MIB, `with it: ${JSON.stringify(whole)}`);
  t.ok(without.excessMiB > 50, `without it: ${JSON.stringify(without)}`);
  t.end();
});

t.test('shrink, confirm, grow: counting a shrink of the same plan as done lets a host hold more than it has', (t) => {
  /** The planner gives away what it is about to take, as if one phase did. */
  const hasty = (world: World): World => {
    const shrunk = vms((vm, steps) => {
      const step = memoryStep(steps);
      if (step?.direction !== 'shrink') return {};
      const memory = { ...vm.memory, balloonMiB: memoryOf(step.to), rssMiB: memoryOf(step.to) };
      return { current: { ...vm.current, memory: step.to }, memory };
    })(world).snapshot!;
    const grown = decide(tight(world, shrunk), world.policy).steps.filter(growsMemory);
    const shrinks = world.made.steps.filter((step) => step.resource === 'memory' && step.direction === 'shrink');
    const steps = [...shrinks, ...grown.filter(({ vm }) => shrinks.every((step) => step.vm !== vm))];
    return { ...world, snapshot: tight(world, world.snapshot), made: noGrants({ ...world.made, steps }) };
  };
  const twoPhases = worst(hasty, (findings) => [...findings]);
  const onePhase = worst(hasty, (findings) => findings.filter(({ rule }) => rule !== 'host-memory'));
  t.ok(twoPhases.excessMiB <= TOLERANCE_MIB, `two phases: ${JSON.stringify(twoPhases)}`);
  t.ok(onePhase.excessMiB > TOLERANCE_MIB, `one phase: ${JSON.stringify(onePhase)}`);
  t.end();
});
