/** Arbitrary fleets for property tests: hosts with too little and plenty of room, VMs in every state and plight. */
import fc from 'fast-check';
import type { DemandView, FleetSnapshot, ForecastView, HostSnapshot, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { hostId } from '../../shared/ids.ts';
import { VM_STATES } from '../../shared/resources.ts';
import { NOW_MS, STEP_MS, testVmId } from './fleet.ts';

const nullable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null, freq: 20 });
const rarely = fc.integer({ min: 0, max: 39 }).map((n) => n === 17);
const amount = (max: number) => fc.double({ min: 0, max, noNaN: true });
const ALLOWED = { allowed: true } as const;
const NEVER = { allowed: false, reason: 'a reason' } as const;

const forecast = (max: number): fc.Arbitrary<ForecastView> =>
  fc
    .record({
      peaks: fc.array(amount(max), { minLength: 5, maxLength: 8 }),
      confidence: fc.constantFrom(0.1, 0.3, 0.6, 0.9),
      lateSteps: fc.constantFrom(0, 0, 0, 1, 4),
    })
    .map(({ peaks, confidence, lateSteps }) => ({
      model: 'aggregate',
      stepMs: STEP_MS,
      fromMs: NOW_MS - lateSteps * STEP_MS,
      quantiles: [0.5, 0.95, 0.99],
      horizons: peaks.map((_, i) => i + 1),
      values: peaks.flatMap((peak) => [peak * 0.7, peak, peak * 1.1]),
      confidence,
      explanation: 'arbitrary',
    }));

const demand = (max: number): fc.Arbitrary<DemandView> =>
  fc.record({
    now: nullable(amount(max)),
    usage: fc.constant(null),
    ageMs: fc.oneof({ weight: 12, arbitrary: fc.constant(1000) }, { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) }),
    suppressed: rarely,
    vouched: rarely.map((not) => !not),
    forecast: nullable(forecast(max)),
  });

const CAPS = fc.option(fc.double({ min: 0.1, max: 8, noNaN: true }), { nil: null });

const givenVm = (hosts: number) =>
  fc.record({
    host: fc.nat(hosts - 1),
    state: fc.oneof({ weight: 9, arbitrary: fc.constant('ready' as const) }, { weight: 2, arbitrary: fc.constantFrom(...VM_STATES) }),
    vcpus: fc.integer({ min: 1, max: 8 }),
    bootMemoryMiB: fc.integer({ min: 128, max: 8192 }),
    share: fc.double({ min: 0.2, max: 1, noNaN: true }),
    workingShare: fc.double({ min: 0.05, max: 1, noNaN: true }),
    weight: fc.integer({ min: 1, max: 800 }),
    cap: CAPS,
    baselineCap: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: CAPS }),
    baselineWeight: fc.constantFrom(100, 100, 300),
    overheadMiB: nullable(amount(200)),
    node: nullable(fc.nat(1)),
    cpu: demand(8),
    memory: demand(8192),
    rate: demand(1e8),
    pressure: rarely,
    unknownMemory: rarely,
    rssOver: fc.double({ min: 0, max: 1.5, noNaN: true }),
    job: rarely,
    held: rarely,
    never: rarely,
    pendingShare: fc.oneof(
      { weight: 6, arbitrary: fc.constant(null) },
      { weight: 1, arbitrary: fc.double({ min: 0.3, max: 1, noNaN: true }) },
    ),
    changedMs: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.integer({ min: 0, max: 60_000 }) }),
    cooling: rarely,
    rollback: rarely,
    canary: rarely,
    cluster: rarely,
  });

type Given = ReturnType<typeof givenVm> extends fc.Arbitrary<infer G> ? G : never;

function vm(index: number, hosts: number): fc.Arbitrary<VmSnapshot> {
  return givenVm(hosts).map((given) => build(index, given));
}

function build(index: number, given: Given): VmSnapshot {
  const { vcpus, bootMemoryMiB } = given;
  const memoryMiB = Math.round(bootMemoryMiB * given.share);
  const workingSetMiB = given.unknownMemory ? null : memoryMiB * given.workingShare;
  const verdict = (value: boolean) => (value ? NEVER : ALLOWED);
  const lastChange =
    given.changedMs === null
      ? {}
      : {
          cpu: { atMs: NOW_MS - given.changedMs, direction: 'grow' as const },
          memory: { atMs: NOW_MS - given.changedMs, direction: 'shrink' as const },
        };
  return {
    id: testVmId(index + 1),
    name: `vm-${index + 1}`,
    host: hostId(`kvm${given.host + 1}`),
    state: given.state,
    labels: { ...(given.canary ? { canary: 'yes' } : {}), ...(given.cluster ? { class: 'cluster' } : {}) },
    vcpus,
    bootMemoryMiB,
    overheadMiB: given.overheadMiB,
    numaNode: given.node,
    osFamily: null,
    eligibility: { cpu: verdict(given.never), memory: verdict(given.never), network: ALLOWED, disk: ALLOWED },
    baseline: {
      cpu: { resource: 'cpu', weight: given.baselineWeight, capCores: given.baselineCap },
      memory: { resource: 'memory', memoryMiB: bootMemoryMiB },
    },
    current: {
      cpu: {
        resource: 'cpu',
        weight: given.weight,
        capCores: given.cap === null ? null : Math.min(vcpus, Math.max(0.2 * vcpus, given.cap)),
      },
      memory: { resource: 'memory', memoryMiB },
      network: { resource: 'network', inboundBytesPerSecond: null, outboundBytesPerSecond: null },
      disk: { resource: 'disk', bytesPerSecond: null, iops: null },
    },
    pending:
      given.pendingShare === null ? {} : { memory: { resource: 'memory', memoryMiB: Math.round(bootMemoryMiB * given.pendingShare) } },
    pairs: {},
    holds: given.held ? [{ resource: 'memory', reason: 'someone else', forMs: 1000 }] : [],
    jobActive: given.job,
    demand: { cpu: given.cpu, memory: given.memory, network: given.rate, disk: given.rate },
    memory: {
      balloonMiB: given.unknownMemory ? null : memoryMiB,
      workingSetMiB,
      workingSetPeakMiB: workingSetMiB === null ? null : workingSetMiB * 1.02,
      rssMiB: given.unknownMemory ? null : memoryMiB * given.rssOver,
      pressure: given.pressure,
    },
    lastChange,
    coolUntilMs: given.cooling ? { memory: NOW_MS + 1000, cpu: NOW_MS + 1000 } : {},
    rollback: given.rollback ? { memory: { to: { resource: 'memory', memoryMiB: bootMemoryMiB }, reason: 'it was short' } } : {},
  };
}

function host(index: number): fc.Arbitrary<HostSnapshot> {
  return fc
    .record({
      connected: rarely.map((not) => !not),
      cpuCores: fc.integer({ min: 1, max: 32 }),
      usageCores: nullable(amount(32)),
      cpuPressureFraction: nullable(amount(0.2)),
      memoryMiB: fc.integer({ min: 1024, max: 65_536 }),
      availableMiB: nullable(amount(32_768)),
      swapping: rarely,
      balloonManager: rarely.map((yes) => (yes ? 'another' : null)),
      killSwitch: rarely,
      guardReserve: fc.record({ cores: amount(4), memoryMiB: amount(2048) }),
    })
    .map((given) => ({
      ...given,
      id: hostId(`kvm${index + 1}`),
      ageMs: 1000,
      numaNodes: [0, 1].map((id) => ({ id, memoryMiB: given.memoryMiB / 2 })),
      epoch: 1,
    }));
}

const HOSTS_MAX = 3;

export const fleets: fc.Arbitrary<FleetSnapshot> = fc
  .record({ hosts: fc.integer({ min: 1, max: HOSTS_MAX }), vms: fc.integer({ min: 0, max: 14 }), killSwitch: rarely })
  .chain(({ hosts, vms, killSwitch }) =>
    fc.record({
      nowMs: fc.constant(NOW_MS),
      hosts: fc.tuple(...Array.from({ length: hosts }, (_, i) => host(i))),
      vms: fc.tuple(...Array.from({ length: vms }, (_, i) => vm(i, hosts))),
      recentChanges: fc.array(
        fc.record({
          vm: fc.nat(30).map((n) => testVmId(n + 1)),
          host: fc.constant(hostId('kvm1')),
          atMs: fc.integer({ min: NOW_MS - 120_000, max: NOW_MS }),
        }),
        { maxLength: 20 },
      ),
      killSwitch: fc.constant(killSwitch),
    }),
  );

/** Policies of every kind of enforcement, pace and reach. */
export const policySources: fc.Arbitrary<string> = fc
  .record({
    cpuMode: fc.constantFrom('off', 'observe', 'recommend', 'auto', 'auto', 'auto'),
    memoryMode: fc.constantFrom('observe', 'auto', 'auto', 'auto'),
    enforcement: fc.constantFrom('weight', 'cap-when-contended', 'cap-always'),
    ceiling: fc.constantFrom(null, 2, 6),
    memoryFloor: fc.constantFrom(null, 256),
    shrink: fc.constantFrom(0.1, 0.5, 1),
    grow: fc.constantFrom(0.2, 1, 50),
    cooldown: fc.constantFrom('0s', '10s', '45s'),
    deadBand: fc.constantFrom(0, 0.05, 0.3),
    guaranteed: fc.constantFrom(0, 0.5, 1),
    perPlan: fc.constantFrom(1, 3, 100),
    perWindow: fc.constantFrom(2, 10, 1000),
    reserve: fc.constantFrom(0, 512),
    reboot: fc.constantFrom(0, 1, 3),
    overcommit: fc.constantFrom(0.5, 1, 4),
    shrinkHorizon: fc.constantFrom('15s', '25s'),
    oversubscribed: fc.constantFrom(1, 1, 0.4),
    boost: fc.constantFrom(0, 0, 0.8),
    soak: fc.constantFrom('1s', '1s', '1h'),
    suspended: fc.constantFrom('nobody', 'nobody', 'vm-1*'),
  })
  .map(
    (p) => `version: 1
fleet:
  staleAfter: 60s
  rebootTogether: ${p.reboot}
  cpuOvercommit: ${p.overcommit}
  reserve: {memoryMiB: ${p.reserve}}
  blastRadius: {vmsPerPlan: ${p.perPlan}, vmsPerHostPerPlan: 5, vmsPerWindow: ${p.perWindow}, window: 1m}
  canary: {share: 0.3, soak: ${p.soak}}
  suspensions: [{match: {name: '${p.suspended}'}, from: '2000-01-01 00:00', to: '2100-01-01 00:00', timeZone: UTC, reason: test}]
defaults:
  cpu: {mode: ${p.cpuMode}, enforcement: ${p.enforcement}, ceiling: ${p.ceiling}, violationBudget: 0.05, lead: 10s, shrinkHorizon: ${p.shrinkHorizon}, stepLimitShrinkFraction: ${p.shrink}, stepLimitGrowFraction: ${p.grow}, cooldownShrink: ${p.cooldown}, cooldownGrow: ${p.cooldown}, deadBandFraction: ${p.deadBand}, guaranteedFraction: ${p.guaranteed}, oversubscribedFraction: ${p.oversubscribed}, startupBoostFraction: ${p.boost}}
  memory: {mode: ${p.memoryMode}, floor: ${p.memoryFloor}, violationBudget: 0.05, lead: 10s, shrinkHorizon: ${p.shrinkHorizon}, stepLimitShrinkFraction: ${p.shrink}, stepLimitGrowFraction: ${p.grow}, cooldownShrink: ${p.cooldown}, cooldownGrow: ${p.cooldown}, deadBandFraction: ${p.deadBand}, guaranteedFraction: ${p.guaranteed}, oversubscribedFraction: ${p.oversubscribed}, startupBoostFraction: ${p.boost}}
  disk: {mode: auto, ceiling: 1000000000, lead: 10s, shrinkHorizon: 15s}
  network: {mode: auto, ceiling: 200000000, lead: 10s, shrinkHorizon: 15s}
rules:
  - name: canaries
    match: {labels: {canary: 'yes'}}
    cpu: {canary: true}
    memory: {canary: true}
`,
  );
