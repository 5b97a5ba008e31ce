/**
 * Policy file → FleetPolicy. Input: YAML or JSON text, the names of the forecasters there are, a revision number. Output:
 * the policy in force for any VM and resource, and the file's canonical text. Built-in defaults, then the file's defaults,
 * then each rule that matches, in order: later ones win field by field. Observe, unless the file says otherwise.
 */
import { stringify } from 'yaml';
import type { HeadroomError } from '../../../shared/errors.ts';
import { RESOURCES, type Resource } from '../../../shared/resources.ts';
import { formatDuration, parseDuration } from './durations.ts';
import { minuteOfWeek, validTimeZone } from './freeze.ts';
import { utcOfLocal } from './local-time.ts';
import type { FleetPolicy, ResourcePolicy, WhenShort } from './policy.ts';
import { type AnomalySection, anomalyPolicies, isolationMistake } from './policy-anomaly.ts';
import { FLEET_DEFAULTS, RESOURCE_DEFAULTS, WHEN_SHORT_DEFAULTS } from './policy-defaults.ts';
import { GROUP_DURATIONS, groupMistake, groupPolicies } from './policy-groups.ts';
import { compileSelector, type MatchedVm } from './policy-match.ts';
import type { PolicyDocument, ResourceSection } from './policy-schema.ts';
import { type PathPart, type PolicySource, readPolicySource } from './policy-source.ts';
import { suspendMistake, suspendRules } from './policy-suspend.ts';

export interface PolicyFileOptions {
  /** Revision of the policy in force, shown everywhere. */
  version: number;
  /** When it takes force, UTC ms: a new policy is tried by canaries first. */
  takenAtMs?: number;
  forecasters: readonly string[];
  /** Lease where the file names none. */
  leaseMs?: number;
}

export interface PolicyFile {
  policy: FleetPolicy;
  document: PolicyDocument;
  /** The same policy in one fixed form: equal policies have equal texts. */
  canonical: string;
}

/** A policy that watches and touches nothing: what holds before any file was given. */
export const EMPTY_POLICY_SOURCE = 'version: 1\n';

/** Throws POLICY_INVALID naming line, column and field. */
export function parsePolicyFile(source: string, options: PolicyFileOptions): PolicyFile {
  const read = readPolicySource(source);
  checkMeaning(read, options);
  return { policy: fleetPolicy(read.document, options), document: read.document, canonical: canonicalPolicy(read.document) };
}

/** What a schema cannot say. */
function checkMeaning(read: PolicySource, options: PolicyFileOptions): void {
  const { document } = read;
  const names = new Set<string>();
  for (const [i, rule] of (document.rules ?? []).entries()) {
    if (names.has(rule.name)) throw read.mistakeAt(['rules', i, 'name'], `"${rule.name}" names two rules; give each its own name`);
    names.add(rule.name);
    checkSections(read, rule, ['rules', i], options);
  }
  checkSections(read, document.defaults ?? {}, ['defaults'], options);
  checkSuspensions(read);
  checkAgreements(read);
  const mistake = groupMistake(document.groups ?? []) ?? suspendMistake(document.suspend ?? []);
  if (mistake !== null) throw read.mistakeAt(mistake.path, mistake.what);
  for (const [i, window] of (document.fleet?.freezeWindows ?? []).entries()) {
    if (!validTimeZone(window.timeZone)) {
      throw read.mistakeAt(
        ['fleet', 'freezeWindows', i, 'timeZone'],
        `"${window.timeZone}" is not a known time zone; use a name such as Europe/Berlin or UTC`,
      );
    }
    if (window.from === window.to) {
      throw read.mistakeAt(['fleet', 'freezeWindows', i, 'to'], `it ends when it begins (${window.from}); name a later time`);
    }
  }
}

function checkAgreements(read: PolicySource): void {
  const names = new Set<string>();
  for (const [i, { name, window }] of (read.document.fleet?.slas ?? []).entries()) {
    if (names.has(name)) throw read.mistakeAt(['fleet', 'slas', i, 'name'], `"${name}" names two agreements; give each its own name`);
    names.add(name);
    if (parseDuration(window) === 0)
      throw read.mistakeAt(['fleet', 'slas', i, 'window'], 'a window of nothing; name a duration such as 7d');
  }
}

function checkSuspensions(read: PolicySource): void {
  for (const [i, { from, to, timeZone }] of (read.document.fleet?.suspensions ?? []).entries()) {
    const refuse = (field: string, what: string): HeadroomError => read.mistakeAt(['fleet', 'suspensions', i, field], what);
    if (!validTimeZone(timeZone))
      throw refuse('timeZone', `"${timeZone}" is not a known time zone; use a name such as Europe/Berlin or UTC`);
    const [fromMs, toMs] = [utcOfLocal(from, timeZone, 'first'), utcOfLocal(to, timeZone, 'last')];
    if (fromMs === null) throw refuse('from', `"${from}" is no day of the calendar`);
    if (toMs === null) throw refuse('to', `"${to}" is no day of the calendar`);
    if (toMs <= fromMs) throw refuse('to', `it ends (${to}) before it begins (${from}); name a later time`);
  }
}

type Sections = Partial<Record<Resource, ResourceSection>> & { anomaly?: AnomalySection };

function checkSections(read: PolicySource, sections: Sections, path: readonly PathPart[], { forecasters }: PolicyFileOptions): void {
  const mistake = isolationMistake(sections.anomaly);
  if (mistake !== null) throw read.mistakeAt([...path, 'anomaly', 'isolate', 'for'], mistake);
  for (const resource of RESOURCES) {
    const section = sections[resource];
    if (!section) continue;
    const { floor, ceiling, forecaster } = section;
    if (typeof floor === 'number' && typeof ceiling === 'number' && floor > ceiling) {
      throw read.mistakeAt([...path, resource, 'floor'], `the floor of ${floor} is above the ceiling of ${ceiling}`);
    }
    if (forecaster !== undefined && !forecasters.includes(forecaster)) {
      throw read.mistakeAt(
        [...path, resource, 'forecaster'],
        `no forecaster is called "${forecaster}"; there are ${forecasters.join(', ')}`,
      );
    }
  }
}

function fleetPolicy(document: PolicyDocument, options: PolicyFileOptions): FleetPolicy {
  const fleet = document.fleet ?? {};
  const { blastRadius = {}, reserve = {} } = fleet;
  const base = FLEET_DEFAULTS;
  const { window, ...limits } = blastRadius;
  return {
    version: options.version,
    blastRadius: { ...base.blastRadius, ...limits, windowMs: durationOr(window, base.blastRadius.windowMs) },
    reserve: { ...base.reserve, ...reserve },
    cpuOvercommit: fleet.cpuOvercommit ?? base.cpuOvercommit,
    rebootTogether: fleet.rebootTogether ?? base.rebootTogether,
    staleAfterMs: durationOr(fleet.staleAfter, base.staleAfterMs),
    leaseMs: durationOr(fleet.lease, options.leaseMs ?? base.leaseMs),
    freezeWindows: (fleet.freezeWindows ?? []).map(({ from, to, timeZone, reason }) => ({
      fromMinuteOfWeek: minuteOfWeek(from),
      toMinuteOfWeek: minuteOfWeek(to),
      timeZone,
      reason,
    })),
    ...newerFields(fleet, options.takenAtMs),
    killSwitch: fleet.killSwitch ?? base.killSwitch,
    ...anomalyPolicies(document.defaults?.anomaly, compiledRules(document), fleet.anomalyActions),
    ...groupPolicies(document.groups, fleet.spawnedMax),
    ...suspendRules(document.suspend),
    resolve: resolver(document),
  };
}

/** Left out where the file says nothing of them: what a plan rests on, and its digest, are then as they always were. */
function newerFields(
  { suspensions, canary, slas, whenShort }: NonNullable<PolicyDocument['fleet']>,
  takenAtMs: number | undefined,
): Pick<FleetPolicy, 'suspensions' | 'slas' | 'canary' | 'whenShort' | 'takenAtMs'> {
  return {
    ...(suspensions === undefined
      ? {}
      : {
          suspensions: suspensions.map(({ match = {}, from, to, timeZone, reason }) => ({
            fromMs: utcOfLocal(from, timeZone, 'first') ?? 0,
            toMs: utcOfLocal(to, timeZone, 'last') ?? 0,
            timeZone,
            reason,
            match,
            matches: compileSelector(match),
          })),
        }),
    ...(slas === undefined
      ? {}
      : {
          slas: slas.map(({ name, match = {}, resource, objective, window }) => {
            return { name, match, matches: compileSelector(match), resource, objective, windowMs: parseDuration(window) };
          }),
        }),
    ...(canary === undefined ? {} : { canary: { share: canary.share, soakMs: parseDuration(canary.soak) } }),
    ...(whenShort === undefined ? {} : { whenShort: shortOf(whenShort) }),
    ...(canary === undefined || takenAtMs === undefined ? {} : { takenAtMs }),
  };
}

function shortOf({ loanTerm, ...plain }: NonNullable<NonNullable<PolicyDocument['fleet']>['whenShort']>): WhenShort {
  return { ...WHEN_SHORT_DEFAULTS, ...plain, loanTermMs: durationOr(loanTerm, WHEN_SHORT_DEFAULTS.loanTermMs) };
}

type Rule = NonNullable<PolicyDocument['rules']>[number];

function compiledRules({ rules = [] }: PolicyDocument): { rule: Rule; matches: (vm: MatchedVm) => boolean }[] {
  return rules.map((rule) => ({ rule, matches: compileSelector(rule.match) }));
}

type Resolved = ResourcePolicy & { rule: string };

/** VMs remembered: a fleet and its comings and goings; then begun anew. */
const REMEMBERED_MAX = 50_000;

/** Remembers each VM's answer for as long as its name, host and labels are the same: it is asked several times a plan. */
function resolver(document: PolicyDocument): FleetPolicy['resolve'] {
  const rules = compiledRules(document);
  const remembered = new Map<string, { vm: MatchedVm; resolved: Record<Resource, Resolved> }>();
  return (vm, resource) => {
    const known = remembered.get(vm.id);
    if (known && known.vm.labels === vm.labels && known.vm.name === vm.name && known.vm.host === vm.host) return known.resolved[resource];
    const matching = rules.filter(({ matches }) => matches(vm)).map(({ rule }) => rule);
    const resolved = Object.fromEntries(RESOURCES.map((each) => [each, resolveOne(document, matching, each)])) as Record<
      Resource,
      Resolved
    >;
    if (remembered.size >= REMEMBERED_MAX) remembered.clear();
    remembered.set(vm.id, { vm: { id: vm.id, name: vm.name, host: vm.host, labels: vm.labels }, resolved });
    return resolved[resource];
  };
}

function resolveOne(document: PolicyDocument, matching: readonly ({ name: string } & Sections)[], resource: Resource): Resolved {
  const defaults: ResourceSection | undefined = document.defaults?.[resource];
  let resolved: Resolved = { ...RESOURCE_DEFAULTS[resource], rule: 'built-in' };
  if (defaults) resolved = { ...merge(resolved, defaults), rule: 'defaults' };
  for (const rule of matching) {
    const section = rule[resource];
    if (section) resolved = { ...merge(resolved, section), rule: rule.name };
  }
  return resolved;
}

const DURATIONS = {
  cooldownGrow: 'cooldownGrowMs',
  cooldownShrink: 'cooldownShrinkMs',
  lead: 'leadMs',
  shrinkHorizon: 'shrinkHorizonMs',
  workingSetWindow: 'workingSetWindowMs',
} as const;

function merge(base: Resolved, section: ResourceSection): Resolved {
  const { cooldownGrow, cooldownShrink, lead, shrinkHorizon, workingSetWindow, enforcement, ...plain } = section;
  const given = { cooldownGrow, cooldownShrink, lead, shrinkHorizon, workingSetWindow };
  const merged: Resolved = { ...base, ...plain };
  for (const [name, field] of Object.entries(DURATIONS)) {
    const text = given[name as keyof typeof DURATIONS];
    if (text !== undefined) merged[field] = parseDuration(text);
  }
  if (enforcement !== undefined) merged.cpuEnforcement = enforcement;
  return merged;
}

function durationOr(text: string | undefined, otherwiseMs: number): number {
  return text === undefined ? otherwiseMs : parseDuration(text);
}

const TOP_LEVEL = ['version', 'fleet', 'defaults', 'rules', 'suspend', 'groups', 'name', 'match', ...RESOURCES, 'anomaly'];
const DURATION_FIELDS = new Set([
  ...Object.keys(DURATIONS),
  'staleAfter',
  'lease',
  'window',
  'soak',
  'for',
  'loanTerm',
  ...GROUP_DURATIONS,
  'hold',
]);

/** One text for one policy: fields in a fixed order, durations in their largest exact unit, nothing implied spelled out. */
export function canonicalPolicy(document: PolicyDocument): string {
  return stringify(ordered(document, ''), { lineWidth: 0, aliasDuplicateObjects: false });
}

function ordered(value: unknown, key: string): unknown {
  if (typeof value === 'string') return DURATION_FIELDS.has(key) ? formatDuration(parseDuration(value)) : value;
  if (Array.isArray(value)) return value.map((item) => ordered(item, ''));
  if (typeof value !== 'object' || value === null) return value;
  const rank = (name: string): number => (TOP_LEVEL.indexOf(name) + TOP_LEVEL.length + 1) % (TOP_LEVEL.length + 1);
  const inLabels = key === 'labels';
  const keys = Object.keys(value).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Object.fromEntries(keys.map((name) => [name, ordered((value as Record<string, unknown>)[name], inLabels ? '' : name)]));
}
