/** What is not granted any more of what VMs had, and what is granted beyond what they want. */
import type { DashboardSpec, PanelSpec } from './build-dashboard.ts';
import { differenceOfHosts, type Reading } from './influxql.ts';

const SOURCE = { measurement: 'host_allocation' } as const;
const STORED: Omit<Reading, 'field'> = { ...SOURCE, policy: '5m' };

const panels = (title: string, name: string, unit: string): PanelSpec[] => [
  {
    title: `${title} set free`,
    unit,
    description: 'Baseline less what is granted now, over all hosts: below zero where VMs were given more than they had.',
    queries: [['set free', differenceOfHosts(`${name}/baseline`, `${name}/granted`, SOURCE)]],
  },
  {
    title: `${title} granted and not wanted`,
    unit,
    description: 'Granted less demand: the room that is left for surprises, and what may still be set free.',
    queries: [['slack', differenceOfHosts(`${name}/granted`, `${name}/demand`, SOURCE)]],
  },
  {
    title: `${title} set free, from five-minute statistics`,
    unit,
    description: 'Kept for 90 days: widen the time range.',
    width: 24,
    queries: [['set free', differenceOfHosts(`${name}/baseline:mean`, `${name}/granted:mean`, STORED)]],
  },
];

export const SAVINGS: DashboardSpec = {
  uid: 'headroom-savings',
  title: 'Headroom / Savings',
  description: 'What is not granted any more of what VMs had.',
  variables: [],
  from: 'now-24h',
  panels: [...panels('CPU', 'cpuCores', 'cores'), ...panels('Memory', 'memoryMiB', 'mbytes')],
};
