/** One host: what it has, what runs on it, whether it is short of anything. */
import type { DashboardSpec } from './build-dashboard.ts';
import { OF_HOST } from './influxql.ts';
import { decisionsPanel, seriesOf, trafficPanels } from './shared-panels.ts';

const of = seriesOf(OF_HOST);

export const HOST: DashboardSpec = {
  uid: 'headroom-host',
  title: 'Headroom / Host',
  description: 'What a host has, what is granted of it, and whether it is short of anything.',
  variables: [['host', 'Host', 'SHOW TAG VALUES FROM "host_cpu" WITH KEY = "host"']],
  panels: [
    {
      title: 'CPU',
      unit: 'cores',
      description: 'Granted counts vCPUs where there is no cap: on an idle host it may well be above the capacity.',
      queries: [
        ['in use', of('host_cpu', 'usageCores')],
        ['capacity', of('host_allocation', 'cpuCores/capacity', 'last')],
        ['granted', of('host_allocation', 'cpuCores/granted', 'last')],
        ['demand of VMs', of('host_allocation', 'cpuCores/demand', 'last')],
      ],
      min: 0,
    },
    {
      title: 'Memory',
      unit: 'mbytes',
      description: 'Granted and demand are those of the VMs.',
      queries: [
        ['total', of('host_memory', 'totalMiB', 'last')],
        ['available', of('host_memory', 'availableMiB')],
        ['granted', of('host_allocation', 'memoryMiB/granted', 'last')],
        ['demand of VMs', of('host_allocation', 'memoryMiB/demand', 'last')],
      ],
      min: 0,
    },
    {
      title: 'Pressure',
      unit: 'percentunit',
      description: 'Share of time in which something waited (PSI); "full": in which everything did.',
      queries: [
        ['CPU', of('host_pressure', 'cpuSomeFraction')],
        ['memory', of('host_pressure', 'memorySomeFraction')],
        ['memory, full', of('host_pressure', 'memoryFullFraction')],
        ['disk', of('host_pressure', 'ioSomeFraction')],
      ],
      min: 0,
    },
    {
      title: 'Swap',
      unit: 'mbytes',
      description: 'A host that swaps gets no more memory lent.',
      queries: [
        ['used', of('host_memory', 'swapUsedMiB')],
        ['in, a second', of('host_memory', 'swapInMiBPerSecond')],
        ['out, a second', of('host_memory', 'swapOutMiBPerSecond')],
      ],
      min: 0,
    },
    ...trafficPanels(of, 'host', { network: 'All interfaces.', disk: 'All disks.' }),
    {
      ...decisionsPanel('Changes that plans made here, and changes they would have made but for a mode, a limit or a hold.', OF_HOST),
      width: 24,
    },
  ],
};
