/** `headroom capacity list`: what each host can be sold beyond what its VMs will want; in others' forms, for their schedulers. */
import { HeadroomError } from '../../../shared/errors.ts';
import type { CapacityAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { show } from './show.ts';

const FORMS = ['openstack', 'proxmox'] as const;
const number = (value: number | null | undefined, digits = 1): string =>
  value === null || value === undefined ? '?' : value.toFixed(digits);

const COLUMNS: readonly Column<CapacityAnswer>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'VMS', right: true, text: ({ vms }) => String(vms) },
  { title: 'MORE VMS', right: true, text: ({ moreVms }) => number(moreVms, 0) },
  { title: 'CORES', right: true, text: ({ resources: { cpu } }) => number(cpu.capacity - cpu.reserve) },
  { title: 'WANTED (DAY)', right: true, text: ({ resources: { cpu } }) => number(cpu.nextDay?.q99) },
  { title: 'SELLABLE', right: true, text: ({ resources: { cpu } }) => number(cpu.sellable) },
  { title: 'RATIO', right: true, text: ({ resources: { cpu } }) => number(cpu.allocationRatio, 2) },
  { title: 'MIB', right: true, text: ({ resources: { memory } }) => number(memory.capacity - memory.reserve, 0) },
  { title: 'WANTED (DAY)', right: true, text: ({ resources: { memory } }) => number(memory.nextDay?.q99, 0) },
  { title: 'SELLABLE', right: true, text: ({ resources: { memory } }) => number(memory.sellable, 0) },
  { title: 'ADVICE', wide: true, text: ({ advice }) => advice },
];

export const capacityList: ApiCommand = {
  kind: 'api',
  name: 'capacity list',
  summary: 'what each host can be sold beyond what its VMs will want together',
  args: [],
  options: { form: { type: 'string', value: 'FORM', help: 'as JSON that openstack (allocation ratios) or proxmox (nodes) reads' } },
  async run(context) {
    const { form } = context.values;
    if (form !== undefined) {
      if (!FORMS.some((one) => one === form))
        throw new HeadroomError('USAGE', `capacity list: --form ${form}: there are ${FORMS.join(', ')}`);
      const path = form === 'openstack' ? '/v1/capacity/openstack' : '/v1/capacity/proxmox';
      context.io.out(`${JSON.stringify(await context.api.get(path), null, 2)}\n`);
      return EXIT.ok;
    }
    const { items } = await context.api.get('/v1/capacity');
    show(context, items, (wide) => (items.length === 0 ? 'no host is known yet\n' : table(items, COLUMNS, wide)));
    return EXIT.ok;
  },
};
