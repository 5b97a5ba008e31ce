/**
 * What a planner may be blind to, rule by rule of the lint: for each, the whole truth about a world that was planned without it, or a planner's
 * slip in the plan itself. Input: a world as the planner saw it and its plan; output: what the lint is shown instead.
 */
import type { Loan } from '../../aggregator/core/plan/loan.ts';
import type { FleetSnapshot, HostSnapshot, Plan, PlanStep, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import type { FleetPolicy, ResourcePolicy } from '../../aggregator/core/plan/policy.ts';
import type { Setting } from '../../shared/resources.ts';
import { NOW_MS } from './fleet.ts';

export interface PlannedWorld {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  made: Plan;
}

/** The truth that the planner was blind to, made of what it saw; or a planner's slip, in the plan itself. */
export type Truth = (world: PlannedWorld) => Partial<PlannedWorld>;
export const vms =
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
export const memoryOf = (setting: Setting | undefined): number => (setting?.resource === 'memory' ? setting.memoryMiB : Number.NaN);
export const memoryStep = (steps: readonly PlanStep[]): PlanStep | undefined => steps.find((step) => step.resource === 'memory');
const ALL = ['cpu', 'memory', 'network', 'disk'] as const;
const everyResource = <T>(value: T) => Object.fromEntries(ALL.map((name) => [name, value])) as Record<(typeof ALL)[number], T>;
export const demands = (vm: VmSnapshot, change: (view: VmSnapshot['demand']['cpu']) => Partial<VmSnapshot['demand']['cpu']>) => ({
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

export const TRUTHS: Readonly<Record<string, Truth>> = {
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
