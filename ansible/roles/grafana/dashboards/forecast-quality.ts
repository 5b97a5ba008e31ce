/** How good the forecasts are: how often demand exceeded what was aimed at, by how far the median missed, who was held short. */
import type { DashboardSpec } from './build-dashboard.ts';
import { line, lines } from './influxql.ts';

const forecast = (field: string) => ({ measurement: 'vm_forecast', field });
const allocation = (field: string) => ({ measurement: 'vm_allocation', field });
const absolute = (name: string): string =>
  `SELECT mean("miss") FROM (SELECT abs("${name}/error") AS "miss" FROM "vm_forecast" WHERE $timeFilter) WHERE $timeFilter GROUP BY time($__interval) fill(none)`;
const BUDGET = 'Share of steps; it is to stay near the violation budget of the policy (1 % unless set otherwise).';

export const FORECAST_QUALITY: DashboardSpec = {
  uid: 'headroom-forecasts',
  title: 'Headroom / Forecast quality',
  description: 'How often demand exceeded what decisions aim at, and by how far medians missed.',
  variables: [],
  from: 'now-24h',
  panels: [
    {
      title: 'Demand above the forecast that decisions aim at',
      unit: 'percentunit',
      description: BUDGET,
      queries: [
        ['CPU', line('mean', forecast('cpuCores/exceeded'))],
        ['memory', line('mean', forecast('memoryMiB/exceeded'))],
      ],
      min: 0,
    },
    {
      title: 'Demand above the allocation',
      unit: 'percentunit',
      description: `${BUDGET} Counted where there is an allocation.`,
      queries: [['memory', line('mean', allocation('memoryMiB/violated'))]],
      min: 0,
    },
    {
      title: 'Mean miss of the CPU median',
      unit: 'cores',
      description: 'Mean of the distance between demand and the median forecast one step before.',
      queries: [['miss', absolute('cpuCores')]],
      min: 0,
    },
    {
      title: 'Mean miss of the memory median',
      unit: 'mbytes',
      description: 'Mean of the distance between demand and the median forecast one step before.',
      queries: [['miss', absolute('memoryMiB')]],
      min: 0,
    },
    {
      title: 'CPU above forecast, by VM',
      unit: 'percentunit',
      description: BUDGET,
      queries: [['$tag_vm', lines('mean', 'vm', forecast('cpuCores/exceeded'))]],
      min: 0,
    },
    {
      title: 'Memory above forecast, by VM',
      unit: 'percentunit',
      description: BUDGET,
      queries: [['$tag_vm', lines('mean', 'vm', forecast('memoryMiB/exceeded'))]],
      min: 0,
    },
  ],
};
