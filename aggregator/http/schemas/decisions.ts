/** Schemas of plans, policies, events, the ledger. */
import Type from 'typebox';
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
  predictedDemand: Type.Number(),
  model: Type.String(),
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
    lint: Type.Array(Type.Object({ rule: Type.String(), message: Type.String(), step: Nullable(Type.Integer()) })),
    outcomes: Type.Array(Type.Object({ step: Type.Integer(), outcome: Type.String(), reason: Type.String() })),
  },
  { $id: 'Plan' },
);

export const Policies = Type.Object({ version: Type.Integer(), source: Type.String(), parsed: Type.Any() }, { $id: 'Policies' });
export const PolicyChange = Type.Object({ version: Type.Integer(), changes: Type.Array(Type.String()), dryRun: Type.Boolean() });

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
