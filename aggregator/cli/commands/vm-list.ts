/** `headroom vm list`. */
import { RESOURCES } from '../../../shared/resources.ts';
import type { VmAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { age, amount, usedOf } from '../words.ts';
import { show } from './show.ts';

const labelsText = (labels: Record<string, string>): string =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',') || '-';

const COLUMNS: readonly Column<VmAnswer>[] = [
  { title: 'NAME', text: ({ name }) => name },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'STATE', text: ({ state }) => state },
  { title: 'CPU MODE', text: ({ resources }) => resources.cpu.mode },
  { title: 'CORES USED/CAP', right: true, text: ({ resources }) => usedOf(resources.cpu) },
  { title: 'DEMAND', right: true, wide: true, text: ({ resources }) => amount(resources.cpu.demand, 'cores') },
  { title: 'MEMORY MODE', text: ({ resources }) => resources.memory.mode },
  { title: 'MiB USED/ALLOCATED', right: true, text: ({ resources }) => usedOf(resources.memory) },
  { title: 'DEMAND', right: true, wide: true, text: ({ resources }) => amount(resources.memory.demand, 'MiB') },
  { title: 'NETWORK B/s', right: true, wide: true, text: ({ resources }) => usedOf(resources.network) },
  { title: 'DISK B/s', right: true, wide: true, text: ({ resources }) => usedOf(resources.disk) },
  { title: 'HOLDS', right: true, text: ({ resources }) => String(RESOURCES.reduce((sum, name) => sum + resources[name].holds.length, 0)) },
  { title: 'SEEN', right: true, wide: true, text: ({ resources }) => age(resources.cpu.ageMs) },
  { title: 'GUEST AGENT', wide: true, text: ({ guestAgent }) => (guestAgent ? 'yes' : 'no') },
  { title: 'LABELS', wide: true, text: ({ labels }) => labelsText(labels) },
  { title: 'UUID', wide: true, text: ({ id }) => id },
];

export const vmList: ApiCommand = {
  kind: 'api',
  name: 'vm list',
  summary: 'all VMs: what they use and what they are granted',
  args: [],
  options: { host: { type: 'string', value: 'HOST', help: 'only those of this host' } },
  details: 'A question mark is unknown; a dash is no limit.',
  async run(context) {
    const all = await context.api.all('/v1/vms');
    const vms = all
      .filter(({ host }) => context.values.host === undefined || host === context.values.host)
      .sort((a, b) => a.host.localeCompare(b.host) || a.name.localeCompare(b.name));
    const none =
      all.length === 0 ? 'no VM is known yet; they appear when a host agent connects\n' : `no VM of host ${context.values.host} is known\n`;
    show(context, vms, (wide) => (vms.length === 0 ? none : table(vms, COLUMNS, wide)));
    return EXIT.ok;
  },
};
