/** Goal: `explain` says in plain words why a VM has what it has, what would change it, and what is unknown, never a bare zero. */
import t from 'tap';
import { explain } from '../../aggregator/http/explain.ts';
import type { ResourceView, VmView } from '../../aggregator/http/service.ts';
import { vmView } from '../support/fake-service.ts';
import { MADE_VMS } from '../support/made-fleet.ts';

const NOW_MS = Date.UTC(2026, 0, 7, 12, 0, 31);
const web = vmView(MADE_VMS[0]!, NOW_MS);
const withCpu = (change: Partial<ResourceView>): VmView => ({
  ...web,
  resources: { ...web.resources, cpu: { ...web.resources.cpu, ...change } },
});

t.test('an automatic resource: what it has, by which rule, what is expected, what was decided', (t) => {
  const text = explain(web).join('\n');
  t.match(text, /^shop-web on rack1-kvm01 is ready\./);
  t.match(text, /CPU: it has \d\.\d\d cores, uses \d\.\d\d cores and would use/);
  t.match(text, /CPU is in mode auto by the rule "shop-auto", at least 0\.20 cores, at most 1\.00 cores\./);
  t.match(text, /CPU may need up to \d\.\d\d cores within 60 s \(quantile 0\.99 by aggregate, confidence 0\.86\)/);
  t.match(text, /CPU, decided at 2026-01-07T12:00:30Z: .* – applied\./);
  t.match(text, /Network is in mode observe .* mode recommend or auto in the policy would change that/);
  t.end();
});

const CASES: [name: string, change: Partial<ResourceView>, expected: RegExp, never?: RegExp][] = [
  ['never eligible', { eligible: { allowed: false, reason: 'it is pinned' } }, /CPU is never changed: it is pinned\./, /CPU is in mode/],
  ['off', { mode: 'off' }, /CPU: mode is off by the rule "shop-auto"/, /CPU: it has/],
  ['recommend', { mode: 'recommend' }, /Changes are proposed and not made/],
  ['a hold', { holds: [{ reason: 'someone else wrote it', forMs: 7_200_000 }] }, /CPU is left alone for 2 h more: someone else wrote it/],
  ['a hold without end', { holds: [{ reason: 'job active', forMs: null }] }, /CPU is left alone: job active\./],
  ['suppressed', { suppressed: true }, /what it has holds it down/],
  [
    'no sample ever',
    { usage: null, demand: null, ageMs: Number.POSITIVE_INFINITY },
    /what it uses is unknown \(no sample has come yet\)/,
    /uses 0/,
  ],
  ['an old sample', { ageMs: 600_000 }, /newest sample is 10 min old; stale data moves nothing/],
  ['unknown allocation', { allocation: null, uncapped: false }, /it has an unknown amount/],
  ['no forecast', { forecast: null }, /CPU is in mode auto/, /CPU may need/],
  [
    'a refused change',
    { lastDecision: { atMs: NOW_MS, planId: 'p', done: true, reason: 'raised', constraint: 'forecast', outcome: 'refused: lower epoch' } },
    /raised – refused: lower epoch\./,
  ],
];

for (const [name, change, expected, never] of CASES) {
  t.test(name, (t) => {
    const text = explain(withCpu(change)).join('\n');
    t.match(text, expected);
    if (never) t.notMatch(text, never);
    t.notMatch(text, /NaN|Infinity|undefined|null/);
    t.end();
  });
}
