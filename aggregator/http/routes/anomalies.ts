/** GET /v1/anomalies: what is or was wrong with VMs, newest first. They come as events of kind notification too. */
import Type, { type Static } from 'typebox';
import { Incident } from '../schemas/anomalies.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  open: Type.Optional(Type.Boolean({ description: 'Only what goes on' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
});

export const anomalyRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/anomalies',
    {
      schema: {
        summary: 'Incidents: what is or was wrong with VMs, newest first',
        tags: ['anomalies'],
        querystring: Query,
        response: answers(Type.Object({ items: Type.Array(Incident) })),
      },
    },
    ({ query }) => {
      const wanted = service.incidents().filter(({ endMs }) => !query.open || endMs === null);
      return { items: wanted.slice(0, query.limit ?? 100) };
    },
  );
};
