/** Anomalies: how unusual VMs behave, what incidents are open, what began and how long it lasted. */
import type { DashboardSpec } from './build-dashboard.ts';
import { line, lines, sumOf } from './influxql.ts';

const ANOMALY = 'vm_anomaly';
const reading = (field: string) => ({ measurement: ANOMALY, field });

export const ANOMALIES: DashboardSpec = {
  uid: 'headroom-anomalies',
  title: 'Headroom / Anomalies',
  description: 'What live detection sees: how unusual VMs behave, which incidents are open, how long they last.',
  variables: [],
  from: 'now-24h',
  annotations: [['Incidents that began', `SELECT "began" FROM "${ANOMALY}" WHERE "began" > 0 AND $timeFilter`, 'began']],
  panels: [
    {
      title: 'Open incidents',
      unit: 'short',
      description: 'VMs with an incident that nothing explains.',
      kind: 'number',
      width: 6,
      queries: [['open', sumOf('vm', reading('open'))]],
    },
    {
      title: 'VMs watched',
      unit: 'short',
      description: 'VMs that run and whose host is connected.',
      kind: 'number',
      width: 6,
      queries: [
        [
          'VMs',
          `SELECT count("each") FROM (SELECT last("likelihood") AS "each" FROM "${ANOMALY}" WHERE $timeFilter GROUP BY time($__interval), "vm" fill(none)) WHERE $timeFilter GROUP BY time($__interval) fill(none)`,
        ],
      ],
    },
    {
      title: 'Incidents over time',
      unit: 'short',
      description:
        'Open: nothing explains them. Explained: our own resizes, or a storm that points to a collector, a clock or the network.',
      queries: [
        ['open', sumOf('vm', reading('open'))],
        ['explained', sumOf('vm', reading('explained'))],
      ],
      min: 0,
    },
    {
      title: 'How unusual, by VM',
      unit: 'percentunit',
      description: 'Likelihood of an anomaly at the end of each step: an incident opens at one half, once a VM is known.',
      width: 24,
      queries: [['$tag_vm', lines('max', 'vm', reading('likelihood'))]],
      min: 0,
    },
    {
      title: 'Severity, by VM',
      unit: 'short',
      description: '0: no incident. 1: for the record, explained ones are. 2: a warning. 3: somebody is to be woken.',
      width: 24,
      queries: [['$tag_vm', lines('max', 'vm', reading('severity'))]],
      min: 0,
    },
    {
      title: 'Incidents that began',
      unit: 'short',
      description: 'And of how many people were told: of several VMs of one host at one time only of the first.',
      queries: [
        ['began', line('count', reading('began'))],
        ['told', line('sum', reading('alerted'))],
      ],
      min: 0,
    },
    {
      title: 'How long incidents lasted',
      unit: 's',
      description: 'Of those that ended, from when they were seen to when the VM had been as usual for a while.',
      queries: [['$tag_vm', lines('max', 'vm', reading('lastedSeconds'))]],
      min: 0,
    },
  ],
};
