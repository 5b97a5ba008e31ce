/**
 * Groups in the policy file: their shape, what a schema cannot say of them, and their defaults. A group is only shown what it
 * should have until its mode says more.
 */
import Type from 'typebox';
import { PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { DURATION_PATTERN, parseDuration } from './durations.ts';
import { GROUP_MODES, GROUP_RESOURCES, type GroupPolicies, type GroupPolicy, WARM_BY } from './group-policy.ts';
import { compileSelector } from './policy-match.ts';
import type { PolicyDocument } from './policy-schema.ts';

const closed = { additionalProperties: false } as const;
const plainName = (what: string) =>
  Type.String({ pattern: PLAIN_NAME_PATTERN, description: `${what}: letters, digits and . _ + - (at most 128)` });
const duration = Type.String({ pattern: DURATION_PATTERN, description: 'a duration, such as 90s, 5m or 24h' });
const count = (minimum: number) => Type.Integer({ minimum, maximum: 10_000, description: `a whole number from ${minimum} to 10000` });
const share = Type.Number({ minimum: 0.05, maximum: 1, description: 'a share from 0.05 to 1, such as 0.7' });

/** `selector`: the file's own, as rules have it. */
export const groupSection = <S extends Type.TSchema>(selector: S) =>
  Type.Object(
    {
      name: plainName("the group's name"),
      template: plainName('the name of a template'),
      mode: Type.Optional(Type.Enum(GROUP_MODES, { description: `one of ${GROUP_MODES.join(', ')}` })),
      min: count(1),
      max: count(1),
      target: Type.Object(
        {
          cpu: Type.Optional(share),
          memory: Type.Optional(share),
          network: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'bytes/s that one member serves' })),
        },
        { ...closed, minProperties: 1, description: 'at least one of cpu, memory (shares of a member) and network (bytes/s of a member)' },
      ),
      match: Type.Optional(selector),
      shortfallBudget: Type.Optional(Type.Number({ minimum: 0.001, maximum: 0.5, description: 'a share from 0.001 to 0.5, such as 0.04' })),
      perHost: Type.Optional(count(1)),
      perHour: Type.Optional(count(1)),
      idleFor: Type.Optional(duration),
      drain: Type.Optional(duration),
      grace: Type.Optional(duration),
      ignores: Type.Optional(Type.Enum(['force', 'leave'] as const, { description: 'force or leave' })),
      undo: Type.Optional(duration),
      storage: Type.Optional(Type.Enum(['delete', 'keep'] as const, { description: 'delete or keep' })),
      warmBy: Type.Optional(Type.Enum(WARM_BY, { description: `one of ${WARM_BY.join(', ')}` })),
    },
    closed,
  );
type GroupSection = NonNullable<PolicyDocument['groups']>[number];

/** For the file's canonical text. */
export const GROUP_DURATIONS = ['idleFor', 'drain', 'grace', 'undo'] as const;

/** Drain and grace as load balancers and init systems have them by default; an hour of undo is a person's coffee and a call. */
const DEFAULTS = {
  mode: 'recommend',
  // What `bench spawn` is measured with.
  shortfallBudget: 0.04,
  perHost: 10_000,
  perHour: 20,
  idleFor: '10m',
  drain: '1m',
  grace: '90s',
  ignores: 'force',
  undo: '10m',
  storage: 'delete',
  warmBy: 'boot',
} as const;

/** What the schema cannot say, with the field it is about; null = nothing is wrong. */
export function groupMistake(sections: readonly GroupSection[]): { path: (string | number)[]; what: string } | null {
  const names = new Set<string>();
  for (const [i, { name, min, max, target }] of sections.entries()) {
    if (names.has(name)) return { path: ['groups', i, 'name'], what: `"${name}" names two groups; give each its own name` };
    names.add(name);
    if (min > max) return { path: ['groups', i, 'min'], what: `the least of ${min} is above the most of ${max}` };
    if (Object.keys(target).length === 0) {
      return { path: ['groups', i, 'target'], what: `nothing says what a member serves: name one of ${GROUP_RESOURCES.join(', ')}` };
    }
  }
  return null;
}

/** Absent where the file says nothing of groups. */
export function groupPolicies(sections: readonly GroupSection[] | undefined, spawnedMax: number | undefined): GroupPolicies {
  return {
    ...(sections === undefined ? {} : { groups: sections.map(groupOf) }),
    ...(spawnedMax === undefined ? {} : { spawnedMax }),
  };
}

function groupOf(section: GroupSection): GroupPolicy {
  const { name, template, min, max, target, match, ...rest } = section;
  const { mode, shortfallBudget, perHost, perHour, idleFor, drain, grace, ignores, undo, storage, warmBy } = { ...DEFAULTS, ...rest };
  return {
    ...{ name, template, mode, least: min, most: max, target, shortfallBudget, perHost, perHour, ignores, storage, warmBy },
    ...{ idleMs: parseDuration(idleFor), drainMs: parseDuration(drain), graceMs: parseDuration(grace), undoMs: parseDuration(undo) },
    match: match ?? null,
    matches: match === undefined ? () => false : compileSelector(match),
  };
}
