/**
 * Goal: on the pure core, everything that may hold a change back does, says so, and lets go at its edge: freeze window,
 * suspension, blast radius (three ways), canaries, cooldowns (both ways), kill switches (four ways); and a startup boost gives. The
 * lint finds nothing in what is left. The same through the API: test/simulation/policy-by-api.test.ts.
 */
import t from 'tap';
import { lintPlan } from '../../aggregator/core/lint/lint.ts';
import { cohortPlace } from '../../aggregator/core/plan/canaries.ts';
import type { FleetSnapshot, VmSnapshot } from '../../aggregator/core/plan/plan.ts';
import { plan } from '../../aggregator/core/plan/planner.ts';
import { createPrng } from '../../shared/prng.ts';
import { AUTO_POLICY, demandOf, forecastOf, NOW_MS, policyOf, snapshotOf, testVmId, vmOf } from '../support/fleet.ts';

const MINUTE_MS = 60_000;
const steady = (cores: number) => forecastOf([cores, cores, cores, cores, cores, cores]);
/** Shrinks in CPU. */
const idle = (n: number, over: Partial<VmSnapshot> = {}): VmSnapshot =>
  vmOf(n, { demand: { ...vmOf(n).demand, cpu: demandOf(0.5, steady(0.5)) }, ...over });
/** Grows in CPU, in no hurry. */
const rising = (n: number, over: Partial<VmSnapshot> = {}): VmSnapshot =>
  vmOf(n, { demand: { ...vmOf(n).demand, cpu: demandOf(0.9, steady(1.4)) }, ...over });
const FOUR = [1, 2, 3, 4].map((n) => idle(n));
const withFleet = (text: string): string => AUTO_POLICY.replace('reserve: {memoryMiB: 512}\n', `reserve: {memoryMiB: 512}\n  ${text}\n`);
const withCpu = (text: string): string =>
  AUTO_POLICY.replace(/cpu: \{mode: auto, (.*), cooldownShrink: 10s\}/, `cpu: {mode: auto, $1, ${text}}`);
const radius = (limits: object): string =>
  withFleet(`blastRadius: ${JSON.stringify({ vmsPerPlan: 100, vmsPerHostPerPlan: 100, vmsPerWindow: 100, window: '10m', ...limits })}`);

interface Case {
  what: string;
  policy?: string;
  vms?: readonly VmSnapshot[];
  snapshot?: Partial<FleetSnapshot>;
  constraint: string;
  /** VMs held back, of those there are. */
  held: number;
  reason: RegExp;
}

const changed = (agoMs: number, direction: 'grow' | 'shrink') => ({ lastChange: { cpu: { atMs: NOW_MS - agoMs, direction } } });
const hosts = (over: object) => snapshotOf(FOUR).hosts.map((host) => ({ ...host, ...over }));
const lately = [8, 9].map((n) => ({ vm: testVmId(n), host: snapshotOf(FOUR).hosts[0]!.id, atMs: NOW_MS - MINUTE_MS }));
const outside = FOUR.filter(({ id }) => cohortPlace(id) >= 0.5).length;

// It is a Tuesday, 08:55 UTC: 09:55 in Berlin.
const CASES: Case[] = [
  {
    what: 'freeze window',
    policy: withFleet('freezeWindows: [{from: Tue 09:50, to: Tue 09:56, timeZone: Europe/Berlin, reason: till roll}]'),
    constraint: 'freeze-window',
    held: 4,
    reason: /till roll/,
  },
  {
    what: 'freeze window, at its end',
    policy: withFleet('freezeWindows: [{from: Tue 09:50, to: Tue 09:55, timeZone: Europe/Berlin, reason: till roll}]'),
    constraint: 'freeze-window',
    held: 0,
    reason: /^$/,
  },
  {
    what: 'suspension',
    policy: withFleet(
      "suspensions: [{match: {name: vm-2}, from: '2026-03-03 08:55', to: '2026-03-03 08:56', timeZone: UTC, reason: new disk}]",
    ),
    constraint: 'maintenance',
    held: 1,
    reason: /suspended until .*: new disk/,
  },
  {
    what: 'suspension, over',
    policy: withFleet("suspensions: [{from: '2026-03-03 08:50', to: '2026-03-03 08:55', timeZone: UTC, reason: new disk}]"),
    constraint: 'maintenance',
    held: 0,
    reason: /^$/,
  },
  { what: 'blast radius of a plan', policy: radius({ vmsPerPlan: 1 }), constraint: 'blast-radius', held: 3, reason: /1 VMs? .*plan|plan/ },
  { what: 'blast radius of a host', policy: radius({ vmsPerHostPerPlan: 2 }), constraint: 'blast-radius', held: 2, reason: /host/ },
  {
    what: 'blast radius of a window',
    policy: radius({ vmsPerWindow: 3 }),
    snapshot: { recentChanges: lately },
    constraint: 'blast-radius',
    held: 3,
    reason: /10 min|window/,
  },
  { what: 'blast radius, wide enough', policy: radius({ vmsPerPlan: 4 }), constraint: 'blast-radius', held: 0, reason: /^$/ },
  {
    what: 'canaries, while a policy is tried',
    policy: withFleet('canary: {share: 0.5, soak: 10m}'),
    constraint: 'canary',
    held: outside,
    reason: /tried with the canaries/,
  },
  {
    what: 'cooldown of a shrink',
    policy: withCpu('cooldownShrink: 5m'),
    vms: [idle(1, changed(5 * MINUTE_MS - 1, 'grow'))],
    constraint: 'cooldown',
    held: 1,
    reason: /it may shrink again after 5 min/,
  },
  {
    what: 'cooldown of a shrink, over',
    policy: withCpu('cooldownShrink: 5m'),
    vms: [idle(1, changed(5 * MINUTE_MS, 'grow'))],
    constraint: 'cooldown',
    held: 0,
    reason: /^$/,
  },
  {
    what: 'cooldown of growth',
    policy: withCpu('cooldownGrow: 5m'),
    vms: [rising(1, changed(MINUTE_MS, 'grow'))],
    constraint: 'cooldown',
    held: 1,
    reason: /it may grow again after 5 min/,
  },
  {
    what: 'cooldown of growth, of a VM that is short now',
    policy: withCpu('cooldownGrow: 5m'),
    vms: [
      vmOf(1, { ...changed(MINUTE_MS, 'grow'), demand: { ...vmOf(1).demand, cpu: { ...demandOf(1.4, steady(1.4)), suppressed: true } } }),
    ],
    constraint: 'cooldown',
    held: 0,
    reason: /^$/,
  },
  {
    what: 'cooldown after harm',
    vms: [idle(1, { coolUntilMs: { cpu: NOW_MS + 1 } })],
    constraint: 'cooldown',
    held: 1,
    reason: /did harm: no other before/,
  },
  { what: 'kill switch in the policy', policy: withFleet('killSwitch: true'), constraint: 'kill-switch', held: 4, reason: /policy file/ },
  { what: 'kill switch of the fleet', snapshot: { killSwitch: true }, constraint: 'kill-switch', held: 4, reason: /of the fleet is on/ },
  {
    what: 'kill switch of a host',
    snapshot: { hosts: hosts({ killSwitch: true }) },
    constraint: 'kill-switch',
    held: 4,
    reason: /of host kvm1 is on/,
  },
  {
    what: 'kill switch of a VM',
    vms: [idle(1, { holds: [{ resource: 'cpu', reason: 'kill switch: a drill', forMs: null }] }), idle(2)],
    constraint: 'kill-switch',
    held: 1,
    reason: /a drill/,
  },
];

function decide({ policy = AUTO_POLICY, vms = FOUR, snapshot = {} }: Partial<Case>) {
  const rules = policyOf(policy);
  const seen = { ...snapshotOf([...vms]), ...snapshot };
  const made = plan(seen, rules, { epoch: 1 }, createPrng(1)).plan;
  return { steps: made.steps.filter(({ resource }) => resource === 'cpu'), notDone: made.notDone, findings: lintPlan(made, seen, rules) };
}

t.test('without any of it, all are changed', async (t) => {
  t.equal(decide({}).steps.length, 4);
  t.equal(decide({ vms: [rising(1)] }).steps[0]?.direction, 'grow');
});

for (const each of CASES) {
  t.test(each.what, async (t) => {
    const { steps, notDone, findings } = decide(each);
    const held = notDone.filter(({ resource, constraint }) => resource === 'cpu' && constraint === each.constraint);
    const all = (each.vms ?? FOUR).length;
    t.same([held.length, steps.length], [each.held, all - each.held], held.map(({ reason }) => reason).join('; '));
    for (const { reason } of held) t.match(reason, each.reason);
    t.same(findings, []);
  });
}

t.test('a startup boost gives while a VM launches, and not before or after', async (t) => {
  const policy = withCpu('startupBoostFraction: 0.9');
  const boost = decide({ policy, vms: [idle(1, { state: 'launching' })] });
  t.match(boost.steps, [{ direction: 'grow', to: { capCores: 1.8 }, constraint: 'startup' }]);
  t.same(boost.findings, []);
  t.match(decide({ policy, vms: [idle(1)] }).steps, [{ direction: 'shrink' }]);
  t.same(decide({ policy, vms: [idle(1, { state: 'paused' })] }).steps, []);
});
