/**
 * The policy file's shape: the one source of its types, of what is refused and of what an error says is allowed (each
 * `description` completes "expected …"). Unknown keys are refused everywhere but in labels.
 */
import Type, { type Static } from 'typebox';
import { MODES, RESOURCES } from '../../../shared/resources.ts';
import { DURATION_PATTERN } from './durations.ts';
import { LOCAL_TIME_PATTERN } from './local-time.ts';
import { CPU_ENFORCEMENTS, STARTUP_KINDS } from './policy.ts';
import { AnomalyActionLimits, AnomalySection } from './policy-anomaly.ts';
import { groupSection } from './policy-groups.ts';
import { suspendSection } from './policy-suspend.ts';

const closed = { additionalProperties: false } as const;
const duration = Type.String({
  pattern: DURATION_PATTERN,
  description: 'a duration: a number and ms, s, m, h or d, such as 90s, 5m or 24h',
});
const share = Type.Number({ minimum: 0, maximum: 1, description: 'a share from 0 to 1, such as 0.01' });
const amount = Type.Union([Type.Number({ minimum: 0 }), Type.Null()], {
  description: 'a number of at least 0 (cores, MiB or bytes/s), or null to derive it',
});
const yesNo = Type.Boolean({ description: 'true or false' });
const count = Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'a whole number from 0 to 1000000' });

const COMMON = {
  mode: Type.Enum(MODES, { description: `one of ${MODES.join(', ')}` }),
  floor: amount,
  ceiling: amount,
  violationBudget: Type.Number({ minimum: 0.00001, maximum: 0.5, description: 'a share from 0.00001 to 0.5, such as 0.01' }),
  marginFraction: Type.Number({ minimum: 0, maximum: 10, description: 'a number from 0 to 10, such as 0.1 for 10 % on top' }),
  stepLimitGrowFraction: Type.Number({
    minimum: 0.01,
    maximum: 100,
    description: 'a number from 0.01 to 100, such as 1 for at most doubling',
  }),
  stepLimitShrinkFraction: Type.Number({ minimum: 0.01, maximum: 1, description: 'a share from 0.01 to 1, such as 0.1' }),
  cooldownGrow: duration,
  cooldownShrink: duration,
  deadBandFraction: share,
  lead: duration,
  shrinkHorizon: duration,
  growOnly: yesNo,
  forecaster: Type.String({ minLength: 1, maxLength: 64, description: 'the name of a forecaster, such as aggregate or ensemble' }),
  priority: Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'a whole number from 0 to 1000000; larger goes first' }),
  guaranteedFraction: share,
  oversubscribedFraction: share,
  startupBoostFraction: share,
  canary: yesNo,
};

const GeneralResource = Type.Partial(Type.Object(COMMON, closed), closed);
const CpuResource = Type.Partial(
  Type.Object(
    {
      ...COMMON,
      enforcement: Type.Enum(CPU_ENFORCEMENTS, { description: `one of ${CPU_ENFORCEMENTS.join(', ')}` }),
      startup: Type.Enum(STARTUP_KINDS, { description: `one of ${STARTUP_KINDS.join(', ')}` }),
    },
    closed,
  ),
  closed,
);
const MemoryResource = Type.Partial(Type.Object({ ...COMMON, workingSetWindow: duration }, closed), closed);

const SECTIONS = {
  cpu: Type.Optional(CpuResource),
  memory: Type.Optional(MemoryResource),
  network: Type.Optional(GeneralResource),
  disk: Type.Optional(GeneralResource),
  anomaly: Type.Optional(AnomalySection),
};

const glob = Type.String({ minLength: 1, maxLength: 256, description: 'a name, in which * stands for any text and ? for one character' });

const Selector = Type.Object(
  {
    name: Type.Optional(glob),
    host: Type.Optional(glob),
    template: Type.Optional(glob),
    class: Type.Optional(glob),
    labels: Type.Optional(
      Type.Record(Type.String({ maxLength: 64 }), glob, { description: 'labels and their values, such as {tier: web}' }),
    ),
  },
  closed,
);

const weekTime = Type.String({
  pattern: '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]$',
  description: 'a day and time, such as Fri 18:00',
});

const localTime = Type.String({ pattern: LOCAL_TIME_PATTERN, description: 'a date and time, such as 2026-03-28 22:00' });
const timeZone = Type.String({ minLength: 1, maxLength: 64, description: 'a time zone, such as Europe/Berlin or UTC' });
const reason = Type.String({ minLength: 1, maxLength: 256, description: 'the reason, in words' });

const Fleet = Type.Partial(
  Type.Object(
    {
      killSwitch: yesNo,
      staleAfter: duration,
      lease: duration,
      rebootTogether: count,
      cpuOvercommit: Type.Number({ minimum: 0.1, maximum: 100, description: 'a number from 0.1 to 100' }),
      reserve: Type.Partial(
        Type.Object(
          {
            cpuCores: Type.Number({ minimum: 0, description: 'a number of cores, at least 0' }),
            memoryMiB: Type.Number({ minimum: 0, description: 'a number of MiB, at least 0' }),
          },
          closed,
        ),
        closed,
      ),
      blastRadius: Type.Partial(
        Type.Object({ vmsPerPlan: count, vmsPerHostPerPlan: count, vmsPerWindow: count, window: duration }, closed),
        closed,
      ),
      freezeWindows: Type.Array(
        Type.Object(
          {
            from: weekTime,
            to: weekTime,
            timeZone,
            reason,
          },
          closed,
        ),
        { maxItems: 100, description: 'a list of at most 100 freeze windows' },
      ),
      suspensions: Type.Array(Type.Object({ match: Type.Optional(Selector), from: localTime, to: localTime, timeZone, reason }, closed), {
        maxItems: 1000,
        description: 'a list of at most 1000 suspensions for maintenance',
      }),
      anomalyActions: AnomalyActionLimits,
      spawnedMax: count,
      canary: Type.Object({ share, soak: duration }, closed),
      whenShort: Type.Partial(Type.Object({ borrow: yesNo, loanTerm: duration, migrate: yesNo, throttle: yesNo }, closed), closed),
      slas: Type.Array(
        Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 128, description: "the agreement's name" }),
            match: Type.Optional(Selector),
            resource: Type.Enum(RESOURCES, { description: `one of ${RESOURCES.join(', ')}` }),
            objective: Type.Number({ minimum: 0.5, maximum: 1, description: 'a share from 0.5 to 1, such as 0.999' }),
            window: duration,
          },
          closed,
        ),
        { maxItems: 100, description: 'a list of at most 100 agreements' },
      ),
    },
    closed,
  ),
  closed,
);

export const PolicyDocument = Type.Object(
  {
    version: Type.Literal(1, { description: '1, the version of this format' }),
    fleet: Type.Optional(Fleet),
    defaults: Type.Optional(Type.Object(SECTIONS, closed)),
    rules: Type.Optional(
      Type.Array(
        Type.Object(
          {
            name: Type.String({ minLength: 1, maxLength: 128, description: "the rule's name" }),
            match: Selector,
            ...SECTIONS,
          },
          closed,
        ),
        { maxItems: 1000, description: 'a list of at most 1000 rules' },
      ),
    ),
    suspend: Type.Optional(
      Type.Array(suspendSection(Selector), { maxItems: 100, description: 'a list of at most 100 rules for suspending' }),
    ),
    groups: Type.Optional(Type.Array(groupSection(Selector), { maxItems: 100, description: 'a list of at most 100 groups' })),
  },
  closed,
);
export type PolicyDocument = Static<typeof PolicyDocument>;
export type PolicySelector = Static<typeof Selector>;
export type ResourceSection = Static<typeof CpuResource> & Static<typeof MemoryResource>;
