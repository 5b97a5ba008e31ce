/** GET /healthz (the process answers) and /readyz (it can decide, and its stores have answered since the start). */
import Type from 'typebox';
import { answers, type Routes } from './route-options.ts';

const Health = Type.Object({ status: Type.Literal('ok'), version: Type.String() });
const Ready = Type.Object({ ready: Type.Boolean(), reason: Type.String() });

export const healthRoutes: Routes = (app, service) => {
  app.get(
    '/healthz',
    { config: { role: 'everybody' }, schema: { summary: 'The process answers', tags: ['operations'], response: answers(Health) } },
    () => ({
      status: 'ok' as const,
      version: service.version,
    }),
  );
  app.get(
    '/readyz',
    {
      config: { role: 'everybody' },
      schema: {
        summary: 'Ready to decide',
        tags: ['operations'],
        response: {
          200: { ...Ready, description: 'Ready' },
          503: { ...Ready, description: 'Not ready, and why' },
          '4xx': answers(Ready)['4xx'],
        },
      },
    },
    async (_request, reply) => {
      const state = service.ready();
      return reply.code(state.ready ? 200 : 503).send(state);
    },
  );
};
