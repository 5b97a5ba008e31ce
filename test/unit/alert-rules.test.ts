/**
 * Goal: the alert rules that ship watch metrics that there are, and each has its place in the runbook; incidents as Alertmanager
 * tells them have its shape and stay one alert from beginning to end.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parse } from 'yaml';
import { metricsText } from '../../aggregator/http/metrics.ts';
import { alertmanagerMessage } from '../../aggregator/notify/alertmanager.ts';
import type { Notification } from '../../aggregator/notify/notifier.ts';
import { vmId } from '../../shared/ids.ts';
import { aggregatorWorld } from '../support/aggregator-world.ts';
import { fakeVm } from '../support/fake-host.ts';

const guide = join(import.meta.dirname, '../../docs/guide');

interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: { severity: string };
  annotations: { summary: string; runbook: string };
}

t.test('every metric of every rule is told by a running aggregator; every rule has its heading', async (t) => {
  const world = await aggregatorWorld(
    [fakeVm(vmId('00000000-0000-4000-8000-000000000001'), 'web', () => ({ cores: 0.5, memoryMiB: 300 }))],
    'version: 1\n',
  );
  await world.run(30_000);
  const text = await metricsText(world.aggregator.service);
  const told = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const { groups } = parse(readFileSync(join(guide, 'headroom-alerts.yaml'), 'utf8')) as { groups: { rules: Rule[] }[] };
  const headings = new Set(
    [...readFileSync(join(guide, 'runbook.md'), 'utf8').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!.toLowerCase()),
  );
  const rules = groups.flatMap((group) => group.rules);
  t.ok(rules.length >= 10, `${rules.length} rules`);
  for (const { alert, expr, labels, annotations } of rules) {
    const names = [...expr.matchAll(/headroom_\w+/g)].map(([name]) => name);
    t.ok(names.length > 0 || expr.startsWith('up{'), `${alert} looks at something`);
    for (const name of names) t.ok(told.has(name), `${alert}: ${name}`);
    t.equal((expr.match(/[([{]/g) ?? []).length, (expr.match(/[)\]}]/g) ?? []).length, `${alert}: brackets`);
    t.match(labels.severity, /^(page|warning)$/);
    t.equal(annotations.runbook, `docs/guide/runbook.md#${alert.toLowerCase()}`);
    t.ok(headings.has(alert.toLowerCase()), `${alert} stands in the runbook`);
  }
  t.equal(headings.size, rules.length, 'and nothing else does');
  world.kill();
});

t.test('Alertmanager: firing, then resolved, one fingerprint; what is no alert is none', async (t) => {
  const incident = {
    ...{ vm: 'v', host: 'h', kind: 'leak', severity: 'page', startMs: 1_700_000_000_000, peakMs: 1, endMs: null, likelihood: 0.9 },
    ...{ contributors: [{ name: 'memory: value', share: 0.75 }], cause: 'c', vouched: true, explainedBy: null },
  };
  const told = (change: string, over: object = {}): Notification => ({
    ...{ id: 1, timeMs: 2, vm: vmId('00000000-0000-4000-8000-000000000001'), vmName: 'web', kind: 'anomaly', resource: null },
    message: 'leak: c',
    data: { change, incident: { ...incident, ...over } },
  });
  const firing = alertmanagerMessage(told('opened')) as { alerts: { fingerprint: string }[] };
  t.match(firing, {
    version: '4',
    status: 'firing',
    commonLabels: { alertname: 'HeadroomVmAnomaly', vm_name: 'web', severity: 'page' },
    alerts: [{ status: 'firing', endsAt: '0001-01-01T00:00:00Z', annotations: { kind: 'leak', contributors: 'memory: value 75 %' } }],
  });
  const renamed = alertmanagerMessage(told('updated', { kind: 'saturation' })) as typeof firing;
  t.match(renamed, { status: 'firing', alerts: [{ annotations: { kind: 'saturation' }, fingerprint: firing.alerts[0]?.fingerprint }] });
  const resolved = alertmanagerMessage(told('closed', { endMs: 1_700_000_060_000, kind: 'saturation' })) as typeof firing;
  t.match(resolved, { status: 'resolved', alerts: [{ endsAt: '2023-11-14T22:14:20.000Z' }] });
  t.equal(resolved.alerts[0]?.fingerprint, firing.alerts[0]?.fingerprint);
  t.equal(alertmanagerMessage({ ...told('opened'), data: { action: 'isolate' } }), null);
});
