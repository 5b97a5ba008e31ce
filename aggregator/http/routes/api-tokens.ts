/** /v1/api-tokens: tokens of people and programs. Only administrators of the whole fleet; a token is shown once, when it is made. */
import Type, { type Static } from 'typebox';
import { ROLES } from '../../identity/roles.ts';
import { byOf } from '../access-guard.ts';
import { Nullable, UtcMs } from '../schemas/words.ts';
import { fleetAdministrator, type IdentityRoutes } from './agent-keys.ts';
import { answers, DryRunQuery, isDryRun } from './route-options.ts';

const label = Type.String({ minLength: 1, maxLength: 256 });
const Scope = {
  role: Type.Enum(ROLES),
  tenant: Type.Union([label, Type.Null()]),
  labels: Type.Record(Type.String({ maxLength: 64 }), label),
};
const Told = {
  id: Type.String(),
  name: Type.String(),
  ...Scope,
  by: Type.String(),
  madeAtMs: UtcMs,
  expiresAtMs: Type.Union([UtcMs, Type.Null()]),
};
const DAY_SECONDS = 86_400;
const Body = Type.Object(
  {
    name: Type.String({ pattern: '^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,99}$' }),
    role: Scope.role,
    tenant: Type.Optional(label),
    labels: Type.Optional(Scope.labels),
    validSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 3650 * DAY_SECONDS, description: 'default: 90 days' })),
  },
  { additionalProperties: false },
);
const VALID_SECONDS_DEFAULT = 90 * DAY_SECONDS;
const Params = Type.Object({ id: Type.String({ maxLength: 128, description: 'Id or name' }) });
const TAGS = ['access'];

export const apiTokenRoutes: IdentityRoutes = (app, access) => {
  const { tokens } = access.options;
  const config = { role: 'administrator' } as const;
  app.get(
    '/v1/api-tokens',
    { config, schema: { summary: 'API tokens', tags: TAGS, response: answers(Type.Object({ items: Type.Array(Type.Object(Told)) })) } },
    (request) => {
      fleetAdministrator(request);
      return { items: tokens.list() };
    },
  );
  app.post<{ Querystring: Static<typeof DryRunQuery>; Body: Static<typeof Body> }>(
    '/v1/api-tokens',
    {
      config: { ...config, secret: true },
      schema: {
        summary: 'Make one; the answer is the only time it is shown',
        tags: TAGS,
        querystring: DryRunQuery,
        body: Body,
        response: answers(Type.Object({ ...Told, token: Nullable(Type.String({ description: 'null in a dry run' })) })),
      },
    },
    async (request, reply) => {
      fleetAdministrator(request);
      const { name, role, tenant = null, labels = {}, validSeconds = VALID_SECONDS_DEFAULT } = request.body;
      reply.header('cache-control', 'no-store');
      const wish = { name, role, tenant, labels, validMs: validSeconds * 1000 };
      return isDryRun(request) ? { ...tokens.tryToMake(wish, byOf(request)), token: null } : tokens.make(wish, byOf(request));
    },
  );
  app.delete<{ Params: Static<typeof Params>; Querystring: Static<typeof DryRunQuery> }>(
    '/v1/api-tokens/:id',
    {
      config,
      schema: {
        summary: 'Revoke one, at once',
        tags: TAGS,
        params: Params,
        querystring: DryRunQuery,
        response: answers(Type.Object(Told)),
      },
    },
    async (request) => {
      fleetAdministrator(request);
      const dryRun = isDryRun(request);
      const revoked = await tokens.revoke(request.params.id, byOf(request), dryRun);
      if (!dryRun) access.endStreams();
      return revoked;
    },
  );
};
