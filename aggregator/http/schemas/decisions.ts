/** Schemas of plans, policies, events, the ledger. */
import Type from 'typebox';
import { VERDICTS } from '../../core/verdict/judge.ts';
import { ModeName, Nullable, ResourceName, Setting, UtcMs } from './words.ts';

const Step = Type.Object({
  vm: Type.String(),
  vmName: Type.String(),
  host: Type.String(),
  resource: ResourceName,
  direction: Type.Enum(['grow', 'shrink'] as const),
  from: Setting,
  to: Setting,
  floor: Type.Number(),
  ceiling: Type.Number(),
  mode: ModeName,
  constraint: Type.String(),
  reason: Type.String(),
  expectedByMs: Type.Optional(UtcMs),
  loan: Type.Optional(Type.String({ description: 'The loan for which this shrink makes room' })),
  predictedDemand: Type.Number(),
  model: Type.String(),
});

const VcpuStep = Type.Object({
  ...{ vm: Type.String(), vmName: Type.String(), host: Type.String() },
  from: Type.Integer({ description: 'vCPUs online before' }),
  to: Type.Integer(),
  of: Type.Integer({ description: 'vCPUs of its definition' }),
  ...{ mode: ModeName, constraint: Type.String(), reason: Type.String(), predictedDemand: Type.Number() },
  approvedBy: Type.Optional(Type.String({ description: 'Whose leave it has, where the policy only recommends' })),
});

const NotDone = Type.Object({
  vm: Type.String(),
  resource: ResourceName,
  constraint: Type.String(),
  reason: Type.String(),
  wouldBe: Nullable(Setting),
});

export const Plan = Type.Object(
  {
    id: Type.String(),
    nowMs: UtcMs,
    steps: Type.Array(Step),
    vcpuSteps: Type.Optional(Type.Array(VcpuStep, { description: 'vCPUs that guests take on or offline; absent = none' })),
    vcpusRecommended: Type.Optional(
      Type.Array(VcpuStep, { description: 'Fewer vCPUs online that the policy only recommends; absent = none' }),
    ),
    notDone: Type.Array(NotDone),
    grants: Type.Array(
      Type.Object({
        host: Type.String(),
        reserveCores: Type.Number(),
        reserveMiB: Type.Number(),
        allowances: Type.Array(
          Type.Object({ vm: Type.String(), cpuCeilingCores: Nullable(Type.Number()), memoryCeilingMiB: Nullable(Type.Number()) }),
        ),
      }),
    ),
    inputsDigest: Type.String(),
    lint: Type.Array(
      Type.Object({
        ...{ rule: Type.String(), message: Type.String(), step: Nullable(Type.Integer()) },
        vcpuStep: Type.Optional(Type.Integer()),
      }),
    ),
    verdicts: Type.Array(Type.Object({ step: Type.Integer(), verdict: Type.Enum(VERDICTS), reason: Type.String() }), {
      description: 'Did it help? On steps that were applied, once their window is over',
    }),
    outcomes: Type.Array(Type.Object({ step: Type.Integer(), outcome: Type.String(), reason: Type.String() })),
    vcpuVerdicts: Type.Optional(
      Type.Array(Type.Object({ vcpuStep: Type.Integer(), verdict: Type.Enum(VERDICTS), reason: Type.String() }), {
        description: 'The same of `vcpuSteps`; absent = none yet',
      }),
    ),
    vcpuOutcomes: Type.Optional(
      Type.Array(Type.Object({ vcpuStep: Type.Integer(), outcome: Type.String(), reason: Type.String() }), {
        description: 'Of `vcpuSteps`; absent = none yet',
      }),
    ),
  },
  { $id: 'Plan' },
);

export const Policies = Type.Object({ version: Type.Integer(), source: Type.String(), parsed: Type.Any() }, { $id: 'Policies' });
const VmPolicyChange = Type.Object({
  vm: Type.String(),
  name: Type.String(),
  host: Type.String(),
  resource: ResourceName,
  fields: Type.Array(Type.Object({ field: Type.String(), before: Type.Any(), after: Type.Any() }), {
    description: 'Mode, floor and ceiling as they will bind this VM, then the rest',
  }),
});
export const PolicyChange = Type.Object({
  version: Type.Integer({ description: 'In force now' }),
  changes: Type.Array(Type.String(), { description: 'For people' }),
  dryRun: Type.Boolean(),
  vms: Type.Array(VmPolicyChange, { description: 'At most 1000' }),
  nextPlan: Nullable(
    Type.Object(
      { steps: Type.Array(Step), stepsAll: Type.Integer(), notDone: Type.Record(Type.String(), Type.Integer()) },
      { description: 'Only of a dry run: the plan that would be made now, at most 200 of its steps' },
    ),
  ),
});
export const PolicyVersion = Type.Object(
  {
    version: Type.Integer(),
    atMs: UtcMs,
    by: Type.String(),
    digest: Type.String({ description: "SHA-256 of its canonical text, as the ledger's chain has it" }),
    source: Nullable(Type.String({ description: 'null in lists, and where it is no longer kept' })),
  },
  { $id: 'PolicyVersion' },
);

export const Event = Type.Object(
  {
    id: Type.Integer(),
    timeMs: UtcMs,
    kind: Type.Enum(['plan', 'outcome', 'agent', 'notification', 'vm-state', 'policy', 'operator'] as const),
    vm: Nullable(Type.String()),
    host: Nullable(Type.String()),
    message: Type.String(),
    data: Type.Record(Type.String(), Type.Any()),
  },
  { $id: 'Event' },
);

export const LedgerEntry = Type.Object(
  { index: Type.Integer(), timeMs: UtcMs, body: Type.Any(), previousHash: Type.String(), hash: Type.String() },
  { $id: 'LedgerEntry' },
);

export const Verification = Type.Union([
  Type.Object({ ok: Type.Literal(true), entries: Type.Integer(), head: Type.String() }),
  Type.Object({ ok: Type.Literal(false), index: Type.Integer(), problem: Type.String() }),
]);

export const KillSwitchBody = Type.Object(
  {
    host: Type.Optional(Type.String({ maxLength: 128 })),
    vm: Type.Optional(Type.String({ maxLength: 64 })),
    reason: Type.String({ minLength: 1, maxLength: 256 }),
  },
  { additionalProperties: false, description: 'Neither host nor vm: the whole fleet' },
);
