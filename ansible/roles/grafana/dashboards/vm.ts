/** One VM: usage, forecast band, allocation, floor and ceiling on one chart for each resource, decisions as annotations. */
import type { DashboardSpec, PanelSpec } from './build-dashboard.ts';
import { lines, OF_GUEST, OF_VM } from './influxql.ts';
import { seriesOf, trafficPanels } from './shared-panels.ts';

const of = seriesOf(OF_VM);
const claimed = seriesOf(OF_GUEST);

const decided = (name: string, demand: string): PanelSpec['queries'] => [
  ['demand', of(demand.split('.')[0]!, demand.split('.')[1]!)],
  [
    'forecast, quantile $tag_quantile',
    lines('last', 'quantile', { measurement: 'vm_forecast', field: name, where: `${OF_VM} AND "horizon" = '1'` }),
  ],
  ['allocation', of('vm_allocation', name, 'last')],
  ['floor', of('vm_allocation', `${name}/floor`, 'last')],
  ['ceiling', of('vm_allocation', `${name}/ceiling`, 'last')],
];
const STEP_EARLY =
  'A forecast is drawn at the step it was made in, one step before the one it is for. Without an allocation line there is no limit.';

export const VM: DashboardSpec = {
  uid: 'headroom-vm',
  title: 'Headroom / VM',
  description: 'What a VM uses, what is expected of it, what it is granted, and why.',
  variables: [['vm', 'VM', 'SHOW TAG VALUES FROM "vm_cpu" WITH KEY = "vm"']],
  annotations: [
    ['CPU decisions', `SELECT "cpuCores/target" FROM "vm_decision" WHERE ${OF_VM} AND $timeFilter`, 'cpuCores/target'],
    ['Incidents', `SELECT "began" FROM "vm_anomaly" WHERE ${OF_VM} AND "began" > 0 AND $timeFilter`, 'began'],
    ['Memory decisions', `SELECT "memoryMiB/target" FROM "vm_decision" WHERE ${OF_VM} AND $timeFilter`, 'memoryMiB/target'],
  ],
  panels: [
    {
      title: 'CPU',
      unit: 'cores',
      description: STEP_EARLY,
      width: 24,
      queries: [['usage', of('vm_cpu', 'usageCores')], ...decided('cpuCores', 'vm_cpu.demandCores')],
      min: 0,
    },
    {
      title: 'Memory',
      unit: 'mbytes',
      description: `Usage is what the balloon leaves less what the guest calls available. ${STEP_EARLY}`,
      width: 24,
      queries: [
        [
          'usage',
          `SELECT mean("balloonMiB") - mean("availableMiB") FROM "vm_memory" WHERE ${OF_VM} AND $timeFilter GROUP BY time($__interval) fill(none)`,
        ],
        ...decided('memoryMiB', 'vm_memory.demandMiB'),
      ],
      min: 0,
    },
    {
      title: 'Held down',
      unit: 'percentunit',
      description: 'Share of time that vCPUs were throttled by a cap, or ready to run and waiting for a CPU.',
      queries: [
        ['throttled', of('vm_cpu', 'throttledFraction')],
        ['waiting', of('vm_cpu', 'waitFraction')],
      ],
      min: 0,
    },
    {
      title: 'Weight and resident memory',
      unit: 'short',
      description: 'CPU weight against neighbours (100 is the default), and what QEMU really holds, MiB.',
      queries: [
        ['CPU weight', of('vm_allocation', 'cpuWeight', 'last')],
        ['resident, MiB', of('vm_memory', 'rssMiB')],
      ],
      min: 0,
    },
    ...trafficPanels(of, 'vm', { network: 'As the host sees it.', disk: 'As the host sees it.' }),
    {
      title: 'How unusual',
      unit: 'percentunit',
      description: 'Likelihood of an anomaly at the end of each step; the dashboard of anomalies has all VMs.',
      queries: [['likelihood', of('vm_anomaly', 'likelihood', 'max')]],
      min: 0,
    },
    {
      title: 'What the guest claims of its memory',
      unit: 'mbytes',
      description: "The guest agent's own figures; nothing is decided on them beyond the guaranteed share.",
      queries: [
        ['total', claimed('vm_memory', 'guestTotalMiB')],
        ['available', claimed('vm_memory', 'guestAvailableMiB')],
      ],
      min: 0,
    },
  ],
};
