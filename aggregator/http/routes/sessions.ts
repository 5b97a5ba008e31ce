/**
 * /v1/session: who one is (GET), a console's session for a token (POST), its end (DELETE). /v1/session/provider: the way to the identity
 * provider and back. Sessions are cookies of this site only.
 */
import Type, { type Static } from 'typebox';
import type { Access } from '../../identity/access.ts';
import { CALLBACK_PATH, UNDER_WAY_SECONDS } from '../../identity/oidc-log-in.ts';
import { isFleetWide, ROLES } from '../../identity/roles.ts';
import { sessionCookie, sessionIn, underWayCookie, underWayIn } from '../access-guard.ts';
import { PROBLEM } from '../problem.ts';
import type { IdentityRoutes } from './agent-keys.ts';
import { answers } from './route-options.ts';

const Who = Type.Object({
  name: Type.String(),
  role: Type.Enum(ROLES),
  tenant: Type.Union([Type.String(), Type.Null()]),
  labels: Type.Record(Type.String(), Type.String()),
  fleetWide: Type.Boolean({ description: 'Sees everything; else only VMs of the tenant and labels' }),
  open: Type.Boolean({ description: 'Nobody needs to show who they are here' }),
});
const Body = Type.Object({ token: Type.String({ minLength: 1, maxLength: 8192 }) }, { additionalProperties: false });
const Ways = Type.Object({ provider: Type.Boolean({ description: 'GET /v1/session/provider leads to an identity provider' }) });
const redirects = {
  303: { type: 'null', description: 'See the address in `location`' },
  '4xx': { description: 'Problem', content: { 'application/problem+json': { schema: PROBLEM } } },
  '5xx': { description: 'Problem', content: { 'application/problem+json': { schema: PROBLEM } } },
};
const Ended = Type.Object({ ended: Type.Boolean() });

/** Browsers on their way to and from the identity provider. */
const providerRoutes: IdentityRoutes = (app, access: Access) => {
  const config = { role: 'everybody' } as const;
  app.get(
    '/v1/session/ways',
    { config, schema: { summary: 'How one can log in to the console', tags: ['access'], response: answers(Ways) } },
    () => ({ provider: access.options.logIn !== null && !access.open }),
  );
  app.get(
    '/v1/session/provider',
    { config, schema: { summary: 'Sends a browser to the identity provider', tags: ['access'], response: redirects } },
    async (request, reply) => {
      const { url, kept } = await access.beginLogIn(request.ip);
      return reply
        .header('set-cookie', underWayCookie(request, kept, UNDER_WAY_SECONDS))
        .header('cache-control', 'no-store')
        .redirect(url, 303);
    },
  );
  app.get(
    CALLBACK_PATH,
    { config, schema: { summary: 'Where the identity provider sends a browser back to', tags: ['access'], response: redirects } },
    async (request, reply) => {
      // Whatever becomes of it, the answer is used up.
      reply.header('set-cookie', underWayCookie(request, '', 0)).header('cache-control', 'no-store');
      const query = request.url.split('?')[1] ?? '';
      const { cookie, expiresAtMs } = await access.endLogIn(query, underWayIn(request), request.ip);
      const seconds = Math.floor((expiresAtMs - access.options.clock.wallMs()) / 1000);
      return reply.header('set-cookie', sessionCookie(request, cookie, seconds)).redirect('/', 303);
    },
  );
};

export const sessionRoutes: IdentityRoutes = (app, access: Access) => {
  providerRoutes(app, access);
  app.get('/v1/session', { schema: { summary: 'Who the asker is', tags: ['access'], response: answers(Who) } }, (request) => {
    const { principal } = request;
    return { ...principal, fleetWide: isFleetWide(principal), open: access.open };
  });
  app.post<{ Body: Static<typeof Body> }>(
    '/v1/session',
    {
      config: { role: 'everybody', secret: true },
      schema: { summary: 'Log in to the console with a token', tags: ['access'], body: Body, response: answers(Who) },
    },
    async (request, reply) => {
      const { cookie, principal, expiresAtMs } = await access.logIn(request.body.token, request.ip);
      const seconds = Math.floor((expiresAtMs - access.options.clock.wallMs()) / 1000);
      reply.header('set-cookie', sessionCookie(request, cookie, seconds)).header('cache-control', 'no-store');
      return { ...principal, fleetWide: isFleetWide(principal), open: access.open };
    },
  );
  app.delete(
    '/v1/session',
    { config: { role: 'everybody' }, schema: { summary: 'Log out', tags: ['access'], response: answers(Ended) } },
    (request, reply) => {
      const session = sessionIn(request);
      if (session !== null) access.logOut(session);
      reply.header('set-cookie', sessionCookie(request, '', 0));
      return { ended: session !== null };
    },
  );
};
