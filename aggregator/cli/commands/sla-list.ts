/** `headroom sla list`: agreements and how well they were kept. */
import type { SlaAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { age } from '../words.ts';
import { show } from './show.ts';

const percent = (share: number | null): string => (share === null ? '?' : `${Number((share * 100).toFixed(3))} %`);

const COLUMNS: readonly Column<SlaAnswer>[] = [
  { title: 'SLA', text: ({ name }) => name },
  { title: 'RESOURCE', text: ({ resource }) => resource },
  { title: 'VMS', right: true, text: ({ vms }) => String(vms) },
  { title: 'OBJECTIVE', right: true, text: ({ objective }) => percent(objective) },
  { title: 'ATTAINED', right: true, text: ({ attainment }) => percent(attainment) },
  { title: 'KEPT', text: ({ kept }) => (kept === null ? '?' : kept ? 'yes' : 'NO') },
  { title: 'BUDGET LEFT', right: true, text: ({ budgetLeft }) => percent(budgetLeft) },
  { title: 'WINDOW', right: true, text: ({ windowMs }) => age(windowMs) },
  {
    title: 'WORST',
    wide: true,
    text: ({ worst }) => worst.map(({ name, attainment }) => `${name} ${percent(attainment)}`).join(', ') || '-',
  },
];

export const slaList: ApiCommand = {
  kind: 'api',
  name: 'sla list',
  summary: "the policy's agreements on service, and how well they were kept",
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/slas');
    show(context, items, (wide) =>
      items.length === 0 ? 'the policy file names no agreement (fleet.slas)\n' : table(items, COLUMNS, wide),
    );
    return EXIT.ok;
  },
};
