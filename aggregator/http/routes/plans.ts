/** GET /v1/plans, /v1/plans/{id}: what was decided, what was not and why. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { Plan } from '../schemas/decisions.ts';
import { Page } from '../schemas/words.ts';
import { answers, newestFirst, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 128 }) });
const Query = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 20 })),
  cursor: Type.Optional(Type.String({ maxLength: 128, description: 'as the page before answered it' })),
});
/** More plans than are remembered: all of them. */
const REMEMBERED_MAX = 10_000;

export const planRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/plans',
    {
      schema: {
        summary: 'Latest plans, newest first',
        tags: ['decisions'],
        querystring: Query,
        response: answers(Page(Plan)),
      },
    },
    (request) => {
      const { limit = 20, cursor } = request.query;
      // A plan that is no longer remembered: everything older is gone as well.
      return newestFirst(service.plans(cursor === undefined ? limit + 1 : REMEMBERED_MAX), ({ id }) => id, { ...request.query, limit });
    },
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/plans/:id',
    { schema: { summary: 'One plan', tags: ['decisions'], params: Params, response: answers(Plan) } },
    (request) => {
      const plan = service.plan(request.params.id);
      if (!plan) throw new HeadroomError('NOT_FOUND', `no plan "${request.params.id}" is remembered; the ledger keeps all of them`);
      return plan;
    },
  );
};
