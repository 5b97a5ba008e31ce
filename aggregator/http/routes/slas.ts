/** GET /v1/slas: the agreements of the policy file, and how well they were kept. */
import Type from 'typebox';
import { Sla } from '../schemas/fleet.ts';
import { answers, type Routes } from './route-options.ts';

export const slaRoutes: Routes = (app, service) => {
  app.get(
    '/v1/slas',
    {
      schema: {
        summary: "The policy's agreements on service, and their attainment",
        tags: ['policies'],
        response: answers(Type.Object({ items: Type.Array(Sla) })),
      },
    },
    () => ({ items: service.slas() }),
  );
};
