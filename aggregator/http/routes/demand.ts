/** GET /v1/demand: what the fleet or a group will want together, every five minutes to two days ahead, and what is there for it. */
import Type, { type Static } from 'typebox';
import { PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { Demand } from '../schemas/demand.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  group: Type.Optional(Type.String({ pattern: PLAIN_NAME_PATTERN, description: 'this group; the fleet where absent' })),
});

export const demandRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/demand',
    {
      schema: {
        summary: 'What the fleet or a group will want together, every five minutes to two days ahead, and what is there for it',
        tags: ['groups'],
        querystring: Query,
        response: answers(Demand),
      },
    },
    (request) => service.spawning.demand(request.query.group ?? null),
  );
};
