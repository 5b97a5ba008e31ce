/** `headroom top`: the fleet now, in one table that goes on: who uses most, who is held down, who waits. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { HostAnswer, VmAnswer } from '../answers.ts';
import type { ApiCommand, CommandContext } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, printable, table } from '../output.ts';
import { age, amount, usedOf, utc } from '../words.ts';
import { show } from './show.ts';

type ResourceAnswer = VmAnswer['resources']['cpu'];

/** What is unknown goes last. */
const orLast = (value: number | null): number => value ?? Number.NEGATIVE_INFINITY;

const ORDERS: Readonly<Record<string, (vm: VmAnswer) => number>> = {
  cpu: ({ resources }) => orLast(resources.cpu.usage),
  memory: ({ resources }) => orLast(resources.memory.usage),
  network: ({ resources }) => orLast(resources.network.usage),
  disk: ({ resources }) => orLast(resources.disk.usage),
  contention: ({ contention }) => orLast(contention?.score ?? null),
};
const ORDER_NAMES = Object.keys(ORDERS).join(', ');

/** The lines above the rows, that of how many more there are, and the cursor's. */
const OTHER_LINES = 6;

function share({ usage, allocation, uncapped }: ResourceAnswer): string {
  return usage === null || allocation === null || uncapped || allocation === 0 ? '-' : `${((100 * usage) / allocation).toFixed(0)} %`;
}

/** What somebody who looks at the table would want to know of a VM, in few words. */
function notes({ state, resources: { cpu, memory }, missingSignals }: VmAnswer): string {
  const said = [
    ...(state === 'ready' ? [] : [state]),
    ...(cpu.suppressed ? ['held down'] : []),
    ...(memory.suppressed ? ['short of memory'] : []),
    ...([cpu, memory].some(({ holds }) => holds.length > 0) ? ['hands off'] : []),
    ...(missingSignals.length > 0 ? [`${missingSignals.length} signals missing`] : []),
  ];
  return said.join(', ') || '-';
}

const COLUMNS: readonly Column<VmAnswer>[] = [
  { title: 'VM', text: ({ name }) => name },
  { title: 'HOST', text: ({ host }) => host },
  { title: 'CORES USED/CAP', right: true, text: ({ resources }) => usedOf(resources.cpu) },
  { title: '', right: true, text: ({ resources }) => share(resources.cpu) },
  { title: 'WANTS', right: true, text: ({ resources }) => amount(resources.cpu.demand, 'cores') },
  { title: 'MiB USED/GRANTED', right: true, text: ({ resources }) => usedOf(resources.memory) },
  { title: '', right: true, text: ({ resources }) => share(resources.memory) },
  { title: 'NETWORK B/s', right: true, wide: true, text: ({ resources }) => amount(resources.network.usage, 'bytes/s') },
  { title: 'DISK B/s', right: true, wide: true, text: ({ resources }) => amount(resources.disk.usage, 'bytes/s') },
  { title: 'WAITS', right: true, text: ({ contention }) => (contention === null ? '?' : `${(100 * contention.score).toFixed(0)} %`) },
  { title: 'SEEN', right: true, wide: true, text: ({ resources }) => age(resources.cpu.ageMs) },
  { title: 'MODE', wide: true, text: ({ resources }) => `${resources.cpu.mode}/${resources.memory.mode}` },
  { title: 'NOTES', text: notes },
];

/** Null as soon as one of them is unknown: a sum of the others would be a wrong one. */
function sum(values: readonly (number | null)[]): number | null {
  return values.reduce<number | null>((total, value) => (total === null || value === null ? null : total + value), 0);
}

function head(hosts: readonly HostAnswer[], vms: readonly VmAnswer[], nowMs: number, frozen: boolean, open: number): string {
  const here = hosts.filter(({ connected }) => connected);
  const cores = `${amount(sum(here.map(({ usageCores }) => usageCores)), 'cores')} of ${sum(here.map(({ cpuCores }) => cpuCores))} cores used`;
  const memory = `${amount(sum(here.map(({ availableMiB }) => availableMiB)), 'MiB')} of ${amount(sum(here.map(({ memoryMiB }) => memoryMiB)), 'MiB')} MiB free`;
  return `${utc(nowMs)}  ${here.length} of ${hosts.length} hosts, ${vms.length} VMs${frozen ? '  FROZEN: the kill switch of the fleet is engaged' : ''}
${cores}, ${memory}; ${open} ${open === 1 ? 'anomaly goes' : 'anomalies go'} on
`;
}

function limitOf({ io, values, watch }: CommandContext): number {
  if (values.limit === undefined) return watch && io.terminal ? Math.max(1, io.rows() - OTHER_LINES) : Number.POSITIVE_INFINITY;
  const limit = Number(values.limit);
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new HeadroomError('USAGE', `top: --limit ${values.limit}: a whole number from 1 is needed`);
  return limit;
}

export const top: ApiCommand = {
  kind: 'api',
  name: 'top',
  summary: 'the fleet now: who uses most, who is held down, who waits; goes on in a terminal',
  args: [],
  watches: 'live',
  options: {
    sort: { type: 'string', value: 'BY', help: `${ORDER_NAMES} (default cpu), the most first` },
    host: { type: 'string', value: 'HOST', help: 'only VMs of this host' },
    limit: { type: 'string', value: 'N', help: 'so many VMs at most (default: as many as the terminal shows)' },
  },
  details:
    '"Waits" is the share of time that something in the VM waits for CPU, memory or disk. A question mark is unknown; a dash is no limit.',
  async run(context) {
    const { sort = 'cpu', host: only } = context.values;
    const order = Object.hasOwn(ORDERS, String(sort)) ? ORDERS[String(sort)] : undefined;
    if (order === undefined) throw new HeadroomError('USAGE', `top: --sort ${sort}: there are ${ORDER_NAMES}`);
    const limit = limitOf(context);
    const { api } = context;
    const [status, hosts, all, { items: open }] = await Promise.all([
      api.get('/v1/status'),
      api.all('/v1/hosts'),
      api.all('/v1/vms'),
      api.get('/v1/anomalies', { query: { open: true, limit: 1000 } }),
    ]);
    const vms = all
      .filter(({ host }) => only === undefined || host === only)
      .sort((a, b) => order(b) - order(a) || a.name.localeCompare(b.name));
    const shown = vms.slice(0, limit);
    show(context, { nowMs: status.nowMs, killSwitch: status.killSwitch, openAnomalies: open.length, hosts, vms: shown }, (wide) => {
      const rest = vms.length > shown.length ? `and ${vms.length - shown.length} more\n` : '';
      const none =
        only === undefined
          ? 'no VM is known yet; they appear when a host agent connects\n'
          : `no VM of host ${printable(String(only))} is known\n`;
      return `${head(hosts, all, status.nowMs, status.killSwitch, open.length)}\n${shown.length === 0 ? none : table(shown, COLUMNS, wide)}${rest}`;
    });
    return EXIT.ok;
  },
};
