/**
 * Suspending in the policy file: its shape, what a schema cannot say of it, its defaults. Nothing is suspended, fetched ahead or brought
 * back by a policy that does not ask for it.
 */
import Type from 'typebox';
import { DURATION_PATTERN, parseDuration } from './durations.ts';
import { minuteOfWeek, validTimeZone } from './freeze.ts';
import { compileSelector } from './policy-match.ts';
import type { PolicyDocument } from './policy-schema.ts';
import type { SuspendRule } from './suspend-rule.ts';

const closed = { additionalProperties: false } as const;
const duration = Type.String({ pattern: DURATION_PATTERN, description: 'a duration, such as 90s, 30m or 2h' });
const weekTime = Type.String({
  pattern: '^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]$',
  description: 'a day and time, such as Fri 18:00',
});

/** `selector`: the file's own, as rules have it. */
export const suspendSection = <S extends Type.TSchema>(selector: S) =>
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 128, description: 'a name for it' }),
      match: selector,
      idle: Type.Optional(
        Type.Object(
          {
            for: duration,
            cpuCores: Type.Optional(Type.Number({ minimum: 0, maximum: 64, description: 'cores below which it is idle, such as 0.05' })),
            bytesPerSecond: Type.Optional(Type.Number({ minimum: 0, description: 'network and disk traffic below which it is idle' })),
          },
          closed,
        ),
      ),
      schedules: Type.Optional(
        Type.Array(
          Type.Object(
            { suspend: weekTime, resume: weekTime, timeZone: Type.String({ minLength: 1, maxLength: 64, description: 'a time zone' }) },
            closed,
          ),
          { maxItems: 14, description: 'a list of at most 14 schedules' },
        ),
      ),
      to: Type.Optional(Type.Enum(['own', 'any'] as const, { description: 'own or any: the host it is brought back on' })),
      prefetch: Type.Optional(
        Type.Object(
          {
            lead: Type.Optional(duration),
            probability: Type.Optional(Type.Number({ minimum: 0.05, maximum: 1, description: 'a share from 0.05 to 1, such as 0.5' })),
            hold: Type.Optional(duration),
            priority: Type.Optional(
              Type.Integer({ minimum: 0, maximum: 1_000_000, description: 'a whole number from 0 to 1000000; larger goes first' }),
            ),
            learn: Type.Optional(
              Type.Object(
                {
                  secondsPerGiB: Type.Optional(
                    Type.Number({ minimum: 0, description: 'seconds of waiting that fetching a GiB ahead is worth' }),
                  ),
                  secondsPerGiBHour: Type.Optional(
                    Type.Number({ minimum: 0, description: 'seconds of waiting that holding a GiB for an hour is worth' }),
                  ),
                },
                closed,
              ),
            ),
            rateMiB: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'MiB a second at most' })),
          },
          closed,
        ),
      ),
    },
    closed,
  );
type SuspendSection = NonNullable<PolicyDocument['suspend']>[number];

/** What an idle Linux guest takes by its timers and its agent, and what a quiet network carries. */
const IDLE_DEFAULTS = { cpuCores: 0.05, bytesPerSecond: 4096 };
const PREFETCH_DEFAULTS = { lead: '30m', probability: 0.5, hold: '1h' };
/** Two seconds for holding an eighth of a GiB, a usual working set, all day long; next to that reading it once is cheap. */
const LEARN_DEFAULTS = { secondsPerGiB: 0.5, secondsPerGiBHour: 0.7 };
const MIB = 1024 * 1024;

/** What the schema cannot say, with the field it is about; null = nothing is wrong. */
export function suspendMistake(sections: readonly SuspendSection[]): { path: (string | number)[]; what: string } | null {
  for (const [i, { idle, schedules = [] }] of sections.entries()) {
    if (idle !== undefined && parseDuration(idle.for) < 60_000)
      return { path: ['suspend', i, 'idle', 'for'], what: 'nothing is idle in less than a minute; name 1m or more' };
    for (const [j, { suspend, resume, timeZone }] of schedules.entries()) {
      const path = ['suspend', i, 'schedules', j];
      if (!validTimeZone(timeZone)) {
        return { path: [...path, 'timeZone'], what: `"${timeZone}" is not a known time zone; use a name such as Europe/Berlin or UTC` };
      }
      if (suspend === resume) return { path: [...path, 'resume'], what: `it is to be back when it goes (${resume}); name a later time` };
    }
  }
  return null;
}

/** Absent where the file says nothing of it. */
export function suspendRules(sections: readonly SuspendSection[] | undefined): { suspendRules?: readonly SuspendRule[] } {
  return sections === undefined ? {} : { suspendRules: sections.map(ruleOf) };
}

function ruleOf({ name, match, idle, schedules = [], to = 'own', prefetch }: SuspendSection): SuspendRule {
  const { cpuCores, bytesPerSecond } = { ...IDLE_DEFAULTS, ...idle };
  const { lead, probability, hold } = { ...PREFETCH_DEFAULTS, ...prefetch };
  const rate = prefetch?.rateMiB;
  return {
    name,
    idle: idle === undefined ? null : { forMs: parseDuration(idle.for), cpuCores, bytesPerSecond },
    schedules: schedules.map(({ suspend, resume, timeZone }) => ({
      suspendMinuteOfWeek: minuteOfWeek(suspend),
      resumeMinuteOfWeek: minuteOfWeek(resume),
      timeZone,
    })),
    prefetch:
      prefetch === undefined
        ? null
        : {
            leadMs: parseDuration(lead),
            probability,
            holdMs: parseDuration(hold),
            bytesPerSecondMax: rate === undefined ? null : rate * MIB,
            priority: prefetch.priority ?? null,
            learn: prefetch.learn === undefined ? null : { ...LEARN_DEFAULTS, ...prefetch.learn },
          },
    anyHost: to === 'any',
    match: match ?? {},
    matches: compileSelector(match),
  };
}
