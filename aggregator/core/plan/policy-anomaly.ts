/**
 * What is done about a VM that went wrong, as the policy file says: its shape, the built-in answers, and how defaults and rules
 * resolve for one VM. Being told and taking nothing more are the defaults, since both are safe; to cut a VM off or to restart
 * it is never anybody's default.
 */
import Type, { type Static } from 'typebox';
import { ISOLATION_MEANS, ISOLATION_MS_MAX } from '../../../shared/protocol/vm-action-frames.ts';
import { INCIDENT_KINDS } from '../anomaly/incident.ts';
import {
  ANOMALY_DEFAULTS,
  ANOMALY_LIMITS,
  type AnomalyLimits,
  type AnomalyPolicies,
  type AnomalyPolicy,
  type ResolvedAnomaly,
} from './anomaly-policy.ts';
import { DURATION_PATTERN, parseDuration } from './durations.ts';
import type { MatchedVm } from './policy-match.ts';

const closed = { additionalProperties: false } as const;
const yesNo = Type.Boolean({ description: 'true or false' });
const kinds = Type.Array(Type.Enum(INCIDENT_KINDS, { description: `one of ${INCIDENT_KINDS.join(', ')}` }), {
  minItems: 1,
  maxItems: INCIDENT_KINDS.length,
  description: 'a list of at least one kind of incident',
});
const means = Type.Enum(ISOLATION_MEANS, {
  description: 'link (its links go down) or quarantine (a filter of the host drops its packets)',
});
const duration = Type.String({ pattern: DURATION_PATTERN, description: 'a duration of at most 24h, such as 15m' });
const count = Type.Integer({ minimum: 0, maximum: 1000, description: 'a whole number from 0 to 1000' });

/** Under `defaults` and in rules. */
export const AnomalySection = Type.Partial(
  Type.Object(
    {
      alert: yesNo,
      freezeShrinking: yesNo,
      growToFraction: Type.Number({ minimum: 0, maximum: 1, description: 'a share of the ceiling from 0 to 1, such as 0.8' }),
      isolate: Type.Union([Type.Object({ kinds, for: duration, by: Type.Optional(means) }, closed), Type.Null()], {
        description: 'the kinds of incidents and a duration, such as {kinds: [runaway process], for: 15m, by: link}, or null',
      }),
      restart: Type.Union([Type.Object({ kinds }, closed), Type.Null()], {
        description: 'the kinds of incidents, such as {kinds: [silence]}, or null',
      }),
    },
    closed,
  ),
  closed,
);
export type AnomalySection = Static<typeof AnomalySection>;

/** Under `fleet`: isolations and restarts together, within any hour. */
export const AnomalyActionLimits = Type.Partial(Type.Object({ perHostPerHour: count, perHour: count }, closed), closed);

/** What the schema cannot say of a section, null = nothing is wrong with it. */
export function isolationMistake(section: AnomalySection | undefined): string | null {
  const text = section?.isolate?.for;
  if (text === undefined) return null;
  const forMs = parseDuration(text);
  return forMs > 0 && forMs <= ISOLATION_MS_MAX ? null : `an isolation lasts more than nothing and at most 24h, not ${text}`;
}

interface AnomalyRule {
  name: string;
  anomaly?: AnomalySection | undefined;
}

/** Later rules win field by field, as everywhere in the file. Absent where the file says nothing of anomalies. */
export function anomalyPolicies(
  defaults: AnomalySection | undefined,
  rules: readonly { rule: AnomalyRule; matches: (vm: MatchedVm) => boolean }[],
  limits: Partial<AnomalyLimits> | undefined,
): AnomalyPolicies {
  const spoken = rules.filter(({ rule }) => rule.anomaly !== undefined);
  return {
    ...(limits === undefined ? {} : { anomalyLimits: { ...ANOMALY_LIMITS, ...limits } }),
    ...(defaults === undefined && spoken.length === 0
      ? {}
      : {
          anomalyOf: (vm: MatchedVm) => {
            let resolved: ResolvedAnomaly = {
              ...merged(ANOMALY_DEFAULTS, defaults),
              rule: defaults === undefined ? 'built-in' : 'defaults',
            };
            for (const { rule, matches } of spoken) if (matches(vm)) resolved = { ...merged(resolved, rule.anomaly), rule: rule.name };
            return resolved;
          },
        }),
  };
}

function merged(base: AnomalyPolicy, section: AnomalySection = {}): AnomalyPolicy {
  const { isolate, ...plain } = section;
  if (isolate === undefined) return { ...base, ...plain };
  return { ...base, ...plain, isolate: isolate === null ? null : isolationOf(isolate) };
}

function isolationOf({ kinds, for: forText, by }: NonNullable<AnomalySection['isolate']>): AnomalyPolicy['isolate'] {
  return { kinds, forMs: parseDuration(forText), means: by ?? 'link' };
}
