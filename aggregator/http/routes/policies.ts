/** /v1/policies: the policy file in force (its version is the ETag), a new one by PUT, and every version there was. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { Policies, PolicyChange, PolicyVersion } from '../schemas/decisions.ts';
import { Nullable } from '../schemas/words.ts';
import { etagOf, versionOf } from './etag.ts';
import { answers, type Routes } from './route-options.ts';

const PutQuery = Type.Object({ dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only tell what would change' })) });
const PutHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 64, description: 'the ETag of the policy that was looked at; 412 when another is in force by now' }),
  ),
});
const ListQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.Integer({ minimum: 1, description: 'as the page before answered it' })),
});
const VersionParams = Type.Object({ version: Type.Integer({ minimum: 1 }) });

export const policyRoutes: Routes = (app, service) => {
  app.get(
    '/v1/policies',
    { schema: { summary: 'The policy file in force', tags: ['policies'], response: answers(Policies) } },
    (_request, reply) => {
      const policies = service.policies();
      reply.header('etag', etagOf(policies.version));
      return policies;
    },
  );
  app.put<{ Querystring: Static<typeof PutQuery>; Headers: Static<typeof PutHeaders>; Body: string }>(
    '/v1/policies',
    {
      schema: {
        summary: 'Take a policy file (YAML or JSON text) into force',
        tags: ['policies'],
        consumes: ['application/yaml', 'text/plain'],
        querystring: PutQuery,
        headers: PutHeaders,
        body: Type.String(),
        response: answers(PolicyChange),
      },
    },
    async (request, reply) => {
      const dryRun = request.query.dryRun ?? false;
      const ifVersion = versionOf(request.headers['if-match']);
      const applied = await service.applyPolicies(request.body, `http ${request.ip}`, { dryRun, ifVersion });
      reply.header('etag', etagOf(applied.version));
      return { ...applied, dryRun };
    },
  );
  app.get<{ Querystring: Static<typeof ListQuery> }>(
    '/v1/policies/versions',
    {
      schema: {
        summary: 'Every policy that was in force, newest first',
        tags: ['policies'],
        querystring: ListQuery,
        response: answers(Type.Object({ items: Type.Array(PolicyVersion), cursor: Nullable(Type.Integer()) })),
      },
    },
    async ({ query: { limit = 100, cursor } }) => {
      // One more than asked for tells whether there is more.
      const found = await service.policyVersions(limit + 1, cursor ?? null);
      const items = found.slice(0, limit);
      return { items, cursor: found.length > limit ? (items.at(-1)?.version ?? null) : null };
    },
  );
  app.get<{ Params: Static<typeof VersionParams> }>(
    '/v1/policies/versions/:version',
    { schema: { summary: 'One of them, with its text', tags: ['policies'], params: VersionParams, response: answers(PolicyVersion) } },
    async (request) => {
      const { version } = request.params;
      const found = await service.policyVersion(version);
      if (found === null)
        throw new HeadroomError('NOT_FOUND', `there was no policy version ${version}; GET /v1/policies/versions lists them`);
      return found;
    },
  );
};
