/** `headroom loan list`: what VMs lend each other; `headroom shortage list`: who finds no room on its host, and what is done. */
import type { LoanAnswer, ShortageAnswer } from '../answers.ts';
import type { ApiCommand } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, table } from '../output.ts';
import { show } from './show.ts';

const amount = (resource: string, value: number): string => (resource === 'cpu' ? `${value.toFixed(2)} cores` : `${value.toFixed(0)} MiB`);
const time = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');

const LOANS: readonly Column<LoanAnswer>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'LENDER', text: ({ lenderName }) => lenderName },
  { title: 'BORROWER', text: ({ borrowerName }) => borrowerName },
  { title: 'AMOUNT', right: true, text: (loan) => amount(loan.resource, loan.amount) },
  { title: 'STATE', text: ({ state }) => state },
  { title: 'UNTIL (UTC)', text: ({ untilMs }) => time(untilMs) },
  { title: 'WHY', wide: true, text: ({ because }) => because },
];

export const loanList: ApiCommand = {
  kind: 'api',
  name: 'loan list',
  summary: 'what VMs lend each other, until when, and what came of it',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/loans');
    show(context, items, (wide) => (items.length === 0 ? 'no VM lends another anything\n' : table(items, LOANS, wide)));
    return EXIT.ok;
  },
};

const SHORTAGES: readonly Column<ShortageAnswer>[] = [
  { title: 'HOST', text: ({ host }) => host },
  { title: 'VM', text: ({ vmName }) => vmName },
  { title: 'HAS', right: true, text: ({ resource, has }) => amount(resource, has) },
  { title: 'WANTS', right: true, text: ({ resource, wanted }) => amount(resource, wanted) },
  {
    title: 'DONE',
    text: ({ measures }) =>
      measures
        .filter(({ done }) => done)
        .map(({ kind }) => kind)
        .join(', ') || '-',
  },
  { title: 'SINCE (UTC)', text: ({ sinceMs }) => time(sinceMs) },
  { title: 'MEASURES', wide: true, text: ({ measures }) => measures.map(({ kind, words }) => `${kind}: ${words}`).join('; ') },
];

export const shortageList: ApiCommand = {
  kind: 'api',
  name: 'shortage list',
  summary: 'VMs that find no room on their host now, and what is done about it',
  args: [],
  async run(context) {
    const { items } = await context.api.get('/v1/shortages');
    show(context, items, (wide) => (items.length === 0 ? 'every VM finds room on its host\n' : table(items, SHORTAGES, wide)));
    return EXIT.ok;
  },
};
