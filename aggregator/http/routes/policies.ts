/** GET and PUT /v1/policies: the policy file in force. */
import Type, { type Static } from 'typebox';
import { Policies, PolicyChange } from '../schemas/decisions.ts';
import { answers, type Routes } from './route-options.ts';

const PutQuery = Type.Object({ dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only tell what would change' })) });

export const policyRoutes: Routes = (app, service) => {
  app.get('/v1/policies', { schema: { summary: 'The policy file in force', tags: ['policies'], response: answers(Policies) } }, () =>
    service.policies(),
  );
  app.put<{ Querystring: Static<typeof PutQuery>; Body: string }>(
    '/v1/policies',
    {
      schema: {
        summary: 'Take a policy file (YAML or JSON text) into force',
        tags: ['policies'],
        consumes: ['application/yaml', 'text/plain'],
        querystring: PutQuery,
        body: Type.String(),
        response: answers(PolicyChange),
      },
    },
    async (request) => {
      const dryRun = request.query.dryRun ?? false;
      const { version, changes } = await service.applyPolicies(request.body, `http ${request.ip}`, dryRun);
      return { version, changes, dryRun };
    },
  );
};
