/** The fleet at a glance: what there is, what is granted of it, what is wanted, and what was done. */
import type { DashboardSpec, PanelSpec } from './build-dashboard.ts';
import { lines, type Reading, sumOf } from './influxql.ts';
import { decisionsPanel } from './shared-panels.ts';

const host = (field: string, policy?: Reading['policy']): Reading => ({
  measurement: 'host_allocation',
  field,
  ...(policy ? { policy } : {}),
});

const amounts = (name: string): PanelSpec['queries'] => [
  ['capacity', sumOf('host', host(`${name}/capacity`))],
  ['baseline', sumOf('host', host(`${name}/baseline`))],
  ['granted', sumOf('host', host(`${name}/granted`))],
  ['demand', sumOf('host', host(`${name}/demand`))],
];
const longAgo = (name: string): PanelSpec['queries'] => [
  ['granted', sumOf('host', host(`${name}/granted:mean`, '5m'))],
  ['demand', sumOf('host', host(`${name}/demand:mean`, '5m'))],
];
const EXPLAINED =
  'Sums over hosts. Baseline is what the VMs had when Headroom first took control, granted what they have now, demand what they want.';

export const FLEET: DashboardSpec = {
  uid: 'headroom-fleet',
  title: 'Headroom / Fleet',
  description: 'What there is, what is granted of it and what is wanted.',
  variables: [],
  panels: [
    {
      title: 'VMs',
      unit: 'short',
      description: 'Known to all hosts.',
      kind: 'number',
      width: 6,
      queries: [['VMs', sumOf('host', host('vms'))]],
    },
    {
      title: 'Hosts that report',
      unit: 'short',
      description: 'Hosts with rows in each interval.',
      kind: 'number',
      width: 6,
      queries: [
        [
          'hosts',
          'SELECT count("each") FROM (SELECT last("usageCores") AS "each" FROM "host_cpu" WHERE $timeFilter GROUP BY time($__interval), "host" fill(none)) WHERE $timeFilter GROUP BY time($__interval) fill(none)',
        ],
      ],
    },
    decisionsPanel('Changes that plans made, and changes they would have made but for a mode, a limit or a hold.'),
    { title: 'CPU', unit: 'cores', description: EXPLAINED, queries: amounts('cpuCores'), min: 0 },
    { title: 'Memory', unit: 'mbytes', description: EXPLAINED, queries: amounts('memoryMiB'), min: 0 },
    {
      title: 'CPU in use, by host',
      unit: 'cores',
      description: 'As each host sees itself.',
      queries: [['$tag_host', lines('mean', 'host', { measurement: 'host_cpu', field: 'usageCores' })]],
      min: 0,
    },
    {
      title: 'CPU in use, by VM',
      unit: 'cores',
      description: 'As the hosts see them.',
      queries: [['$tag_vm', lines('mean', 'vm', { measurement: 'vm_cpu', field: 'usageCores', where: `"source" = 'host'` })]],
      min: 0,
    },
    {
      title: 'CPU, from five-minute statistics',
      unit: 'cores',
      description: 'Kept for 90 days: widen the time range.',
      queries: longAgo('cpuCores'),
      min: 0,
    },
    {
      title: 'Memory, from five-minute statistics',
      unit: 'mbytes',
      description: 'Kept for 90 days: widen the time range.',
      queries: longAgo('memoryMiB'),
      min: 0,
    },
  ],
};
