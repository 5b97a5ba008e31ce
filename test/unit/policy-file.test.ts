/**
 * Goal: a policy file means what it says. Defaults observe; later rules win field by field; every mistake is told with
 * line, column, field and what is allowed; the canonical form is stable and means the same.
 */
import t from 'tap';
import { freezeAt } from '../../aggregator/core/plan/freeze.ts';
import { canonicalPolicy, EMPTY_POLICY_SOURCE, parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { RESOURCES } from '../../shared/resources.ts';
import { vmOf } from '../support/fleet.ts';

const OPTIONS = { version: 7, forecasters: ['aggregate', 'last-value'] };
const parse = (source: string) => parsePolicyFile(source, OPTIONS);

t.test('nothing said: everything is observed, nothing is changed', async (t) => {
  const { policy } = parse(EMPTY_POLICY_SOURCE);
  for (const resource of RESOURCES) {
    t.equal(policy.resolve(vmOf(1), resource).mode, 'observe');
    t.equal(policy.resolve(vmOf(1), resource).rule, 'built-in');
  }
  t.equal(policy.resolve(vmOf(1), 'cpu').cpuEnforcement, 'weight');
  t.equal(policy.killSwitch, false);
  t.equal(policy.version, 7);
});

const LAYERS = `
version: 1
fleet:
  staleAfter: 90s
  blastRadius: {vmsPerPlan: 5, window: 1h}
defaults:
  cpu: {mode: recommend, marginFraction: 0.2}
rules:
  - name: web
    match: {name: 'web-*', labels: {tier: front}}
    cpu: {mode: auto, cooldownShrink: 1.5m}
    memory: {mode: auto, workingSetWindow: 2h}
  - name: one host
    match: {host: kvm?, class: gold}
    cpu: {marginFraction: 0.5, enforcement: cap-always}
  - name: templates
    match: {template: 'debian(12)+*'}
    disk: {mode: off}
`;

t.test('defaults, then rules in order; later ones win field by field', async (t) => {
  const { policy } = parse(LAYERS);
  const web = policy.resolve(vmOf(1, { name: 'web-1', labels: { tier: 'front' } }), 'cpu');
  t.match(web, { mode: 'auto', marginFraction: 0.2, cooldownShrinkMs: 90_000, rule: 'web', cpuEnforcement: 'weight' });
  const gold = policy.resolve(vmOf(2, { name: 'web-1', labels: { tier: 'front', class: 'gold' } }), 'cpu');
  t.match(gold, { mode: 'auto', marginFraction: 0.5, cooldownShrinkMs: 90_000, rule: 'one host', cpuEnforcement: 'cap-always' });
  t.match(policy.resolve(vmOf(3, { name: 'web-1' }), 'cpu'), { mode: 'recommend', rule: 'defaults' }, 'a missing label does not match');
  t.equal(policy.resolve(vmOf(1, { name: 'web-1', labels: { tier: 'front' } }), 'memory').workingSetWindowMs, 7_200_000);
  t.equal(
    policy.resolve(vmOf(4, { labels: { template: 'debian(12)+web' } }), 'disk').mode,
    'off',
    'globs have no other special characters',
  );
  t.equal(policy.resolve(vmOf(4, { labels: { template: 'debian12web' } }), 'disk').mode, 'observe');
  t.equal(policy.staleAfterMs, 90_000);
  t.match(policy.blastRadius, { vmsPerPlan: 5, windowMs: 3_600_000, vmsPerHostPerPlan: 10 });
});

t.test('a VM whose labels change is matched anew', async (t) => {
  const { policy } = parse(LAYERS);
  const vm = vmOf(1, { name: 'web-1', labels: { tier: 'front' } });
  t.equal(policy.resolve(vm, 'cpu').mode, 'auto');
  t.equal(policy.resolve({ ...vm, labels: {} }, 'cpu').mode, 'recommend');
});

const MISTAKES: [name: string, source: string, told: RegExp][] = [
  [
    'unknown key',
    'version: 1\ndefaults:\n  cpu: {mode: auto, flor: 1}\n',
    /line 3, column 21, field defaults\.cpu\.flor: unknown field "flor"; allowed here: .*floor/,
  ],
  ['unknown top-level key', 'version: 1\npolicy: {}\n', /line 2, column 1, field policy: unknown field .*version, fleet, defaults, rules/],
  [
    'wrong mode',
    'version: 1\ndefaults:\n  memory:\n    mode: on\n',
    /line 4, column 5, field defaults\.memory\.mode: "on" is not accepted; expected one of off, observe/,
  ],
  [
    'duration without unit',
    'version: 1\ndefaults:\n  cpu:\n    lead: 15\n',
    /line 4, column 5, field defaults\.cpu\.lead: 15 is not accepted; expected a duration/,
  ],
  [
    'share in per cent',
    'version: 1\ndefaults:\n  cpu: {violationBudget: 5}\n',
    /field defaults\.cpu\.violationBudget: 5 is not accepted; expected a share/,
  ],
  ['negative amount', 'version: 1\ndefaults:\n  cpu: {floor: -1}\n', /field defaults\.cpu\.floor: -1 is not accepted/],
  ['infinite amount', 'version: 1\ndefaults:\n  cpu: {ceiling: .inf}\n', /field defaults\.cpu\.ceiling/],
  [
    'field of another resource',
    'version: 1\ndefaults:\n  memory: {enforcement: weight}\n',
    /line 3, column 12, field defaults\.memory\.enforcement: unknown field/,
  ],
  [
    'rule without a name',
    'version: 1\nrules:\n  - match: {}\n    cpu: {mode: auto}\n',
    /line 3, column 5, field rules\[0\]: "name" is missing: expected the rule's name/,
  ],
  [
    'rule within a list',
    'version: 1\nrules:\n  - {name: a, match: {}}\n  - {name: b, match: {nam: x}}\n',
    /line 4, column 23, field rules\[1\]\.match\.nam/,
  ],
  [
    'two rules of one name',
    'version: 1\nrules:\n  - {name: a, match: {}}\n  - {name: a, match: {}}\n',
    /line 4, column 6, field rules\[1\]\.name: "a" names two rules/,
  ],
  [
    'floor above ceiling',
    'version: 1\ndefaults:\n  cpu: {floor: 2, ceiling: 1}\n',
    /line 3, column 9, field defaults\.cpu\.floor: the floor of 2 is above the ceiling of 1/,
  ],
  [
    'unknown forecaster',
    'version: 1\ndefaults:\n  cpu: {forecaster: oracle}\n',
    /no forecaster is called "oracle"; there are aggregate, last-value/,
  ],
  [
    'unknown time zone',
    'version: 1\nfleet:\n  freezeWindows:\n    - {from: Fri 18:00, to: Mon 06:00, timeZone: Mars/Base, reason: x}\n',
    /line 4, column 40, field fleet\.freezeWindows\[0\]\.timeZone: "Mars\/Base"/,
  ],
  [
    'a day that is none',
    'version: 1\nfleet:\n  freezeWindows:\n    - {from: Fry 18:00, to: Mon 06:00, timeZone: UTC, reason: x}\n',
    /freezeWindows\[0\]\.from: "Fry 18:00" is not accepted; expected a day and time/,
  ],
  ['key twice', 'version: 1\nversion: 1\n', /line 2, column 1: .*unique/],
  ['not YAML', 'version: 1\nrules: [\n', /line \d+, column \d+: /],
  ['empty', '', /the policy is empty/],
  ['not a mapping', '- 1\n', /the whole policy: \[1\] is not accepted; expected a mapping with version/],
  ['later format', 'version: 2\n', /field version: 2 is not accepted; expected 1/],
];

for (const [name, source, told] of MISTAKES) {
  t.test(`refused: ${name}`, async (t) => {
    t.throws(() => parse(source), { code: 'POLICY_INVALID', message: told });
  });
}

t.test('several mistakes are told together, and a flood in portions', async (t) => {
  const source = `version: 1\ndefaults:\n  cpu: {a: 1, b: 2}\n  memory: {mode: never}\n`;
  t.throws(() => parse(source), { message: /"a"[\s\S]*"b"[\s\S]*"never"/ });
  const flood = `version: 1\ndefaults:\n  cpu:\n${Array.from({ length: 50 }, (_, i) => `    x${i}: 1\n`).join('')}`;
  t.throws(() => parse(flood), { message: /^line 4, column 5, field defaults\.cpu\.x0: unknown field "x0"/ });
  t.throws(() => parse('x'.repeat(2_000_000)), { code: 'POLICY_INVALID', message: /2000000 characters/ });
});

t.test('JSON is accepted, and the canonical form is a fixed point that means the same', async (t) => {
  const json = parse('{"version":1,"defaults":{"cpu":{"cooldownShrink":"90s","mode":"auto"}},"fleet":{"lease":"300s"}}');
  const yaml = parse('version: 1\nfleet: {lease: 5m}\ndefaults: {cpu: {mode: auto, cooldownShrink: 1.5m}}\n');
  t.equal(json.canonical, yaml.canonical);
  for (const source of [LAYERS, json.canonical, EMPTY_POLICY_SOURCE]) {
    const once = parse(source);
    const twice = parse(once.canonical);
    t.equal(twice.canonical, once.canonical);
    for (const resource of RESOURCES) {
      const vm = vmOf(1, { name: 'web-1', labels: { tier: 'front', class: 'gold' } });
      t.same(twice.policy.resolve(vm, resource), once.policy.resolve(vm, resource));
    }
  }
  t.match(canonicalPolicy(json.document), /^version: 1\nfleet:\n {2}lease: 5m\n/);
});

t.test('freeze windows follow the time zone, over midnight and over the end of the week', async (t) => {
  const { policy } = parse(
    'version: 1\nfleet:\n  freezeWindows:\n    - {from: Fri 18:00, to: Mon 06:00, timeZone: Europe/Berlin, reason: weekend}\n',
  );
  const frozen = (iso: string) => freezeAt(Date.parse(iso), policy.freezeWindows)?.reason ?? null;
  t.equal(frozen('2026-03-06T16:59:00Z'), null, 'Friday 17:59 in Berlin');
  t.equal(frozen('2026-03-06T17:00:00Z'), 'weekend', 'Friday 18:00 in Berlin, winter');
  t.equal(frozen('2026-03-08T12:00:00Z'), 'weekend');
  t.equal(frozen('2026-03-09T04:59:00Z'), 'weekend');
  t.equal(frozen('2026-03-09T05:00:00Z'), null, 'Monday 06:00 in Berlin');
  t.equal(frozen('2026-07-03T16:00:00Z'), 'weekend', 'Friday 18:00 in Berlin, summer');
  t.equal(frozen('2026-07-03T15:59:00Z'), null);
});

t.test('suspending: nothing beyond what is asked for; a word on learning turns it on, at prices that can be named', async (t) => {
  const rules = (suspend: string) => parse(`version: 1\nsuspend:\n  - ${suspend}\n`).policy.suspendRules!;
  const lead = { leadMs: 1_800_000, probability: 0.5, holdMs: 3_600_000, bytesPerSecondMax: null };
  t.match(rules('{name: a, match: {}}'), [{ idle: null, schedules: [], prefetch: null, anyHost: false }]);
  t.match(rules('{name: a, match: {}, prefetch: {}}'), [{ prefetch: { ...lead, priority: null, learn: null } }]);
  t.match(rules('{name: a, match: {}, to: any, prefetch: {priority: 7, rateMiB: 2, learn: {}}}'), [
    { anyHost: true, prefetch: { priority: 7, bytesPerSecondMax: 2 * 1024 * 1024, learn: { secondsPerGiB: 0.5, secondsPerGiBHour: 0.7 } } },
  ]);
  t.match(rules('{name: a, match: {}, to: own, prefetch: {learn: {secondsPerGiB: 0}}}'), [
    { anyHost: false, prefetch: { learn: { secondsPerGiB: 0, secondsPerGiBHour: 0.7 } } },
  ]);
  for (const wrong of ['{priority: -1}', '{priority: 1.5}', '{learn: {secondsPerGiB: -1}}', '{learn: true}', '{learn: {other: 1}}'])
    t.throws(() => rules(`{name: a, match: {}, prefetch: ${wrong}}`), wrong);
  t.throws(() => rules('{name: a, match: {}, to: kvm1}'));
});
