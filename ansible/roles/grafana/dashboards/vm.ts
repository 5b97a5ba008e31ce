/** One VM: usage, forecast band, allocation, floor and ceiling on one chart for each resource, decisions as annotations. */
import type { DashboardSpec, PanelSpec } from './build-dashboard.ts';
import { line, lines, OF_GUEST, OF_VM } from './influxql.ts';

const of = (measurement: string, field: string, aggregate: 'mean' | 'max' | 'last' = 'mean'): string =>
  line(aggregate, { measurement, field, where: OF_VM });

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
    {
      title: 'Network',
      unit: 'Bps',
      description: 'As the host sees it.',
      queries: [
        ['received', of('vm_network', 'receiveBytesPerSecond')],
        ['sent', of('vm_network', 'transmitBytesPerSecond')],
      ],
      min: 0,
    },
    {
      title: 'Disk',
      unit: 'Bps',
      description: 'As the host sees it.',
      queries: [
        ['read', of('vm_disk', 'readBytesPerSecond')],
        ['written', of('vm_disk', 'writeBytesPerSecond')],
      ],
      min: 0,
    },
    {
      title: 'What the guest claims of its memory',
      unit: 'mbytes',
      description: "The guest agent's own figures; nothing is decided on them beyond the guaranteed share.",
      width: 24,
      queries: [
        ['total', line('mean', { measurement: 'vm_memory', field: 'guestTotalMiB', where: OF_GUEST })],
        ['available', line('mean', { measurement: 'vm_memory', field: 'guestAvailableMiB', where: OF_GUEST })],
      ],
      min: 0,
    },
  ],
};
