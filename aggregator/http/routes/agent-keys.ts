/** /v1/agent-keys and /v1/enrolment-tokens: which agents are known by which key, how new ones come in, how lost ones are shut out. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { hostId, vmId } from '../../../shared/ids.ts';
import type { Access } from '../../identity/access.ts';
import { TOKEN_MS_DEFAULT, TOKEN_MS_MAX } from '../../identity/agent-registry.ts';
import { isFleetWide } from '../../identity/roles.ts';
import { byOf } from '../access-guard.ts';
import { Nullable, UtcMs } from '../schemas/words.ts';
import { answers, DryRunQuery, isDryRun } from './route-options.ts';

export type IdentityRoutes = (app: FastifyInstance, access: Access) => void;

/** Keys and tokens are everybody's safety: an administrator of a tenant has no say in them. */
export function fleetAdministrator({ principal }: FastifyRequest): void {
  if (!isFleetWide(principal))
    throw new HeadroomError('PERMISSION', `${principal.name} administers its own scope; this needs an administrator of the whole fleet`);
}

const Key = Type.Object({
  keyId: Type.String(),
  publicKey: Type.String(),
  agent: Type.String({ description: 'host/NAME or guest/UUID' }),
  sinceMs: UtcMs,
  rotate: Type.Boolean({ description: 'It is replaced at the next connection' }),
  revokedAtMs: Nullable(UtcMs),
});
const Token = {
  id: Type.String(),
  agent: Type.String(),
  by: Type.String(),
  expiresAtMs: UtcMs,
  usedAtMs: Nullable(UtcMs),
};
const AGENT = { host: Type.Optional(Type.String({ maxLength: 128 })), vm: Type.Optional(Type.String({ maxLength: 36 })) };
const Agent = Type.Object({ ...AGENT }, { additionalProperties: false });
const Revocation = Type.Object({ ...AGENT, reason: Type.String({ minLength: 1, maxLength: 256 }) }, { additionalProperties: false });
const Wish = Type.Object(
  { ...AGENT, validSeconds: Type.Optional(Type.Integer({ minimum: 1, maximum: TOKEN_MS_MAX / 1000 })) },
  { additionalProperties: false },
);
type Dry = Static<typeof DryRunQuery>;
const TAGS = ['access'];

function named({ host, vm }: Static<typeof Agent>): `host/${string}` | `guest/${string}` {
  if ((host === undefined) === (vm === undefined)) throw new HeadroomError('USAGE', 'name a host or a VM, by its UUID');
  return host === undefined ? `guest/${vmId(vm!)}` : `host/${hostId(host)}`;
}

export const agentKeyRoutes: IdentityRoutes = (app, access) => {
  const { agents } = access.options;
  const config = { role: 'administrator' } as const;
  app.get(
    '/v1/agent-keys',
    { config, schema: { summary: 'Keys agents are known by', tags: TAGS, response: answers(Type.Object({ items: Type.Array(Key) })) } },
    (request) => {
      fleetAdministrator(request);
      return { items: agents.list().keys };
    },
  );
  app.delete<{ Querystring: Dry; Body: Static<typeof Revocation> }>(
    '/v1/agent-keys',
    {
      config,
      schema: {
        summary: 'Revoke a key; its connection ends at once',
        tags: TAGS,
        querystring: DryRunQuery,
        body: Revocation,
        response: answers(Key),
      },
    },
    async (request) => {
      fleetAdministrator(request);
      return agents.revoke(named(request.body), byOf(request), request.body.reason, isDryRun(request));
    },
  );
  app.post<{ Querystring: Dry; Body: Static<typeof Agent> }>(
    '/v1/agent-keys/rotate',
    {
      config,
      schema: {
        summary: 'Have an agent make itself a new key, now',
        tags: TAGS,
        querystring: DryRunQuery,
        body: Agent,
        response: answers(Key),
      },
    },
    async (request) => {
      fleetAdministrator(request);
      return agents.rotate(named(request.body), byOf(request), isDryRun(request));
    },
  );
  app.get(
    '/v1/enrolment-tokens',
    {
      config,
      schema: { summary: 'Enrolment tokens', tags: TAGS, response: answers(Type.Object({ items: Type.Array(Type.Object(Token)) })) },
    },
    (request) => {
      fleetAdministrator(request);
      return { items: agents.list().tokens };
    },
  );
  app.post<{ Querystring: Dry; Body: Static<typeof Wish> }>(
    '/v1/enrolment-tokens',
    {
      config: { ...config, secret: true },
      schema: {
        summary: 'A single-use token by which one agent enrols its key; the answer is the only time it is shown',
        tags: TAGS,
        querystring: DryRunQuery,
        body: Wish,
        response: answers(
          Type.Object({ id: Type.String(), token: Nullable(Type.String({ description: 'null in a dry run' })), expiresAtMs: UtcMs }),
        ),
      },
    },
    async (request, reply) => {
      fleetAdministrator(request);
      const { validSeconds, ...agent } = request.body;
      reply.header('cache-control', 'no-store');
      const validMs = validSeconds === undefined ? TOKEN_MS_DEFAULT : validSeconds * 1000;
      const wanted = named(agent);
      if (isDryRun(request)) return { id: 'none', token: null, expiresAtMs: agents.tryToken(validMs) };
      return agents.issueToken(wanted, validMs, byOf(request));
    },
  );
};
