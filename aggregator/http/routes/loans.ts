/** GET /v1/loans: what VMs lend each other; GET /v1/shortages: who finds no room on its host, and what is done about it. */
import Type, { type Static } from 'typebox';
import { isOpen } from '../../core/plan/loan.ts';
import { LoanView, ShortageView } from '../schemas/loans.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  open: Type.Optional(Type.Boolean({ description: 'Only what is not paid back yet' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
});

export const loanRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/loans',
    {
      schema: {
        summary: 'What VMs lend each other: open loans first, then those that ended, newest first',
        tags: ['decisions'],
        querystring: Query,
        response: answers(Type.Object({ items: Type.Array(LoanView) })),
      },
    },
    ({ query }) => ({
      items: service
        .loans()
        .filter((loan) => !query.open || isOpen(loan))
        .slice(0, query.limit ?? 100),
    }),
  );
  app.get(
    '/v1/shortages',
    {
      schema: {
        summary: 'VMs that find no room on their host now, and what is done about it',
        tags: ['decisions'],
        response: answers(Type.Object({ items: Type.Array(ShortageView) })),
      },
    },
    () => ({ items: service.shortages() }),
  );
};
