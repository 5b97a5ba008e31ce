/** Schemas of hosts and VMs. */
import Type from 'typebox';
import { WORKLOAD_CLASSES } from '../../core/classify/workload-class.ts';
import { VERDICTS } from '../../core/verdict/judge.ts';
import { NOTIFICATION_KINDS } from '../../notify/notifier.ts';
import { Forecast, ModeName, Nullable, ResourceName, Setting, UtcMs, VmStateName } from './words.ts';

const Eligibility = Type.Union([
  Type.Object({ allowed: Type.Literal(true) }),
  Type.Object({ allowed: Type.Literal(false), reason: Type.String() }),
]);

export const Host = Type.Object(
  {
    id: Type.String(),
    connected: Type.Boolean(),
    ageMs: Nullable(Type.Number({ description: 'Age of its newest sample; null = none came yet' })),
    cpuCores: Type.Number(),
    usageCores: Nullable(Type.Number()),
    cpuPressureFraction: Nullable(Type.Number()),
    memoryMiB: Type.Number(),
    availableMiB: Nullable(Type.Number()),
    swapping: Type.Boolean(),
    numaNodes: Type.Array(Type.Object({ id: Type.Integer(), memoryMiB: Type.Number() })),
    balloonManager: Nullable(Type.String()),
    killSwitch: Type.Boolean(),
    epoch: Type.Number(),
    guardReserve: Type.Object({ cores: Type.Number(), memoryMiB: Type.Number() }),
    vms: Type.Integer(),
    allocatedCores: Type.Number(),
    allocatedMiB: Type.Number(),
  },
  { $id: 'Host' },
);

const JUDGED = {
  changedAtMs: UtcMs,
  judgedAtMs: UtcMs,
  direction: Type.Enum(['grow', 'shrink'] as const),
  verdict: Type.Enum(VERDICTS),
  reason: Type.String(),
  planId: Nullable(Type.String()),
};

const ResourceState = Type.Object({
  mode: ModeName,
  rule: Type.String({ description: 'The policy rule that gave the mode' }),
  eligible: Eligibility,
  unit: Type.Enum(['cores', 'MiB', 'bytes/s'] as const),
  allocation: Nullable(Type.Number()),
  uncapped: Type.Boolean(),
  setting: Nullable(Setting),
  baseline: Nullable(Setting),
  usage: Nullable(Type.Number()),
  demand: Nullable(Type.Number()),
  suppressed: Type.Boolean({ description: 'Demand was held down by the allocation' }),
  ageMs: Nullable(Type.Number()),
  floor: Nullable(Type.Number()),
  ceiling: Nullable(Type.Number()),
  forecast: Nullable(Forecast),
  holds: Type.Array(Type.Object({ reason: Type.String(), forMs: Nullable(Type.Number()) })),
  hints: Type.Optional(
    Type.Array(
      Type.Object({
        amount: Type.Number(),
        fromMs: UtcMs,
        untilMs: UtcMs,
        countsTo: Nullable(Type.Number({ description: 'The share that the policy guarantees: it is never given more for its word' })),
      }),
      {
        description:
          'What its guest says that it will need: a claim of its own, never a command. Absent: it has said nothing that still counts',
      },
    ),
  ),
  lastVerdict: Nullable(Type.Object(JUDGED, { description: 'What became of the last change that was judged' })),
  coolUntilMs: Nullable(Type.Number({ description: 'No shrink before then, after one that did harm' })),
  infeasible: Nullable(
    Type.Object(
      { direction: Type.Enum(['grow', 'shrink'] as const), target: Type.Number(), reason: Type.String(), untilMs: UtcMs },
      { description: 'A target that was tried and not reached; nothing as far is tried until then' },
    ),
  ),
  lastDecision: Nullable(
    Type.Object({
      atMs: UtcMs,
      planId: Type.String(),
      done: Type.Boolean(),
      reason: Type.String(),
      constraint: Type.String(),
      outcome: Nullable(Type.String()),
    }),
  ),
});

const Share = Type.Number({ minimum: 0, maximum: 1 });
const Contention = Type.Object(
  {
    score: Share,
    parts: Type.Object({
      cpuWait: Nullable(Share),
      steal: Nullable(Share),
      memoryPressure: Nullable(Share),
      ioPressure: Nullable(Share),
      swap: Nullable(Share),
    }),
  },
  { description: "Shares of time that something waits, over about a minute; steal is the guest's own word; the score joins them" },
);

export const Sla = Type.Object(
  {
    name: Type.String(),
    resource: ResourceName,
    objective: Type.Number(),
    windowMs: Type.Number(),
    vms: Type.Integer(),
    steps: Type.Integer({ description: 'Steps of VMs in which demand and allocation are known' }),
    attainment: Nullable(Type.Number({ description: 'Share of them in which the allocation covered the demand' })),
    kept: Nullable(Type.Boolean()),
    budgetLeft: Nullable(Type.Number({ description: 'Share of the steps that may fall short and have not yet; negative: overdrawn' })),
    sinceMs: Nullable(UtcMs),
    worst: Type.Array(Type.Object({ vm: Type.String(), name: Type.String(), attainment: Type.Number(), steps: Type.Integer() })),
  },
  { $id: 'Sla' },
);

const Workload = Type.Object(
  {
    class: Nullable(Type.Enum(WORKLOAD_CLASSES)),
    confidence: Type.Number({ minimum: 0, maximum: 1, description: '1 = set by hand, 0 = nothing tells' }),
    setByHand: Type.Boolean({ description: 'The label "class" of the VM says so' }),
    reasons: Type.Array(Type.String(), { description: 'What it rests on, most telling first' }),
  },
  { description: 'Which kind of work the VM does, from its name and labels, its processes, and how it uses what it has' },
);

export const Vm = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    host: Type.String(),
    state: VmStateName,
    labels: Type.Record(Type.String(), Type.String()),
    guestAgent: Type.Boolean(),
    vcpus: Type.Optional(
      Type.Object({
        defined: Type.Number({ description: 'Of its definition' }),
        online: Nullable(Type.Integer({ description: 'Online in the guest as far as Headroom changes that; null = it does not' })),
        lastChange: Nullable(Type.Object({ atMs: UtcMs, reason: Type.String() })),
        lastVerdict: Type.Optional(
          Type.Object(
            { ...JUDGED, from: Type.Integer(), to: Type.Integer() },
            { description: 'What became of the last change of their number that was judged; absent = none was' },
          ),
        ),
        coolUntilMs: Type.Optional(Type.Number({ description: 'None is taken offline before then: the last time did harm' })),
        infeasible: Type.Optional(
          Type.Object(
            { target: Type.Integer(), reason: Type.String(), untilMs: UtcMs },
            { description: 'So few were tried and not reached: no fewer are tried until then' },
          ),
        ),
      }),
    ),
    missingSignals: Type.Array(Type.String()),
    contention: Nullable(Contention),
    workload: Workload,
    resources: Type.Object({ cpu: ResourceState, memory: ResourceState, network: ResourceState, disk: ResourceState }),
  },
  { $id: 'Vm' },
);

export const Notification = Type.Object(
  {
    id: Type.Integer({ description: 'Rises, also over restarts' }),
    timeMs: UtcMs,
    vm: Type.String(),
    vmName: Type.String(),
    kind: Type.Enum(NOTIFICATION_KINDS),
    resource: Nullable(ResourceName),
    message: Type.String({ description: "One sentence for the VM's owner; times in it are UTC" }),
    data: Type.Record(Type.String(), Type.Any()),
  },
  { $id: 'Notification' },
);

/** Arrays of one length; null = unknown at that time. */
const Column = Type.Array(Nullable(Type.Number()));
export const VmSeries = Type.Object(
  {
    vm: Type.String(),
    resource: Type.String(),
    unit: Type.String(),
    resolution: Type.String(),
    timesMs: Type.Array(Type.Number()),
    usage: Column,
    demand: Column,
    allocation: Column,
    forecastMedian: Column,
    forecastHigh: Column,
    forecastQuantile: Nullable(Type.Number({ description: 'The quantile of forecastHigh' })),
    stepMs: Nullable(Type.Number({ description: 'Demand, allocation and forecast come once a step' })),
  },
  { $id: 'VmSeries', description: 'One row a time; the forecast is the one made one step earlier' },
);

export const Explanation = Type.Object({
  vm: Type.String(),
  name: Type.String(),
  text: Type.Array(Type.String(), { description: 'Sentences, most important first' }),
});
