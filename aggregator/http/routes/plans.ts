/** GET /v1/plans, /v1/plans/{id}: what was decided, what was not and why. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { Plan } from '../schemas/decisions.ts';
import { answers, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 128 }) });
const Query = Type.Object({ limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 20 })) });

export const planRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/plans',
    {
      schema: {
        summary: 'Latest plans, newest first',
        tags: ['decisions'],
        querystring: Query,
        response: answers(Type.Object({ items: Type.Array(Plan) })),
      },
    },
    (request) => ({ items: service.plans(request.query.limit ?? 20) }),
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
