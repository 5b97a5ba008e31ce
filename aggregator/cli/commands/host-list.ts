/** `headroom host list`. */
import type { HostAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { age, amount } from '../words.ts';
import { show } from './show.ts';

function notes(host: HostAnswer): string {
  const said = [
    ...(host.killSwitch ? ['kill switch'] : []),
    ...(host.swapping ? ['swapping'] : []),
    ...(host.balloonManager === null ? [] : [`${host.balloonManager} manages balloons`]),
  ];
  return said.join(', ') || '-';
}

const COLUMNS: readonly Column<HostAnswer>[] = [
  { title: 'HOST', text: ({ id }) => id },
  { title: 'AGENT', text: ({ connected }) => (connected ? 'connected' : 'gone') },
  { title: 'SEEN', right: true, text: ({ ageMs }) => age(ageMs) },
  { title: 'VMS', right: true, text: ({ vms }) => String(vms) },
  {
    title: 'CORES USED/ALLOCATED/ALL',
    right: true,
    text: (host) => `${amount(host.usageCores, 'cores')} / ${amount(host.allocatedCores, 'cores')} / ${host.cpuCores}`,
  },
  {
    title: 'MiB FREE/ALLOCATED/ALL',
    right: true,
    text: (host) => `${amount(host.availableMiB, 'MiB')} / ${amount(host.allocatedMiB, 'MiB')} / ${amount(host.memoryMiB, 'MiB')}`,
  },
  {
    title: 'CPU PRESSURE',
    right: true,
    wide: true,
    text: ({ cpuPressureFraction }) => (cpuPressureFraction === null ? '?' : `${(cpuPressureFraction * 100).toFixed(1)} %`),
  },
  { title: 'NUMA NODES', right: true, wide: true, text: ({ numaNodes }) => String(numaNodes.length) },
  {
    title: 'GUARD RESERVE',
    right: true,
    wide: true,
    text: ({ guardReserve }) => `${amount(guardReserve.cores, 'cores')} cores, ${amount(guardReserve.memoryMiB, 'MiB')} MiB`,
  },
  { title: 'NOTES', text: notes },
];

export const hostList: ApiCommand = {
  kind: 'api',
  name: 'host list',
  summary: 'all hosts: capacity, what is used, what is allocated',
  args: [],
  async run(context) {
    const hosts = await context.api.all('/v1/hosts');
    show(context, hosts, (wide) =>
      hosts.length === 0 ? 'no host is known yet; one appears when its agent connects\n' : table(hosts, COLUMNS, wide),
    );
    return EXIT.ok;
  },
};
