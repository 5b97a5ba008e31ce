/** Agents: what they cost, whether they lose anything, since when they run. */
import type { DashboardSpec } from './build-dashboard.ts';
import { lines } from './influxql.ts';

const ofHosts = (field: string): string => lines('last', 'host', { measurement: 'agent_health', field, where: `"host" != ''` });
const ofGuests = (field: string): string => lines('last', 'vm', { measurement: 'agent_health', field, where: `"source" = 'guest'` });

export const AGENTS: DashboardSpec = {
  uid: 'headroom-agents',
  title: 'Headroom / Agents',
  description: 'What agents cost and whether they lose anything.',
  variables: [],
  panels: [
    {
      title: 'Up for',
      unit: 's',
      description: 'Of each host agent: falls to zero at a restart.',
      queries: [['$tag_host', ofHosts('uptimeSeconds')]],
      min: 0,
    },
    {
      title: 'Rows dropped',
      unit: 'short',
      description: 'By each host agent since its start, for lack of room while it could not send.',
      queries: [['$tag_host', ofHosts('droppedRows')]],
      min: 0,
    },
    {
      title: 'CPU of host agents',
      unit: 'percentunit',
      description: 'Of one core.',
      queries: [['$tag_host', ofHosts('cpuFraction')]],
      min: 0,
    },
    { title: 'Memory of host agents', unit: 'mbytes', description: 'Resident.', queries: [['$tag_host', ofHosts('rssMiB')]], min: 0 },
    {
      title: 'CPU of guest agents',
      unit: 'percentunit',
      description: 'Of one core, as the guests claim.',
      queries: [['$tag_vm', ofGuests('guestCpuFraction')]],
      min: 0,
    },
    {
      title: 'Memory of guest agents',
      unit: 'mbytes',
      description: 'Resident, as the guests claim.',
      queries: [['$tag_vm', ofGuests('guestRssMiB')]],
      min: 0,
    },
  ],
};
