/** /v1/session: who one is (GET), a console's session for a token (POST), its end (DELETE). Sessions are cookies of this site only. */
import Type, { type Static } from 'typebox';
import type { Access } from '../../identity/access.ts';
import { isFleetWide, ROLES } from '../../identity/roles.ts';
import { sessionCookie, sessionIn } from '../access-guard.ts';
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
const Ended = Type.Object({ ended: Type.Boolean() });

export const sessionRoutes: IdentityRoutes = (app, access: Access) => {
  app.get('/v1/session', { schema: { summary: 'Who the asker is', tags: ['access'], response: answers(Who) } }, (request) => {
    const { principal } = request;
    return { ...principal, fleetWide: isFleetWide(principal), open: access.open };
  });
  app.post<{ Body: Static<typeof Body> }>(
    '/v1/session',
    {
      config: { role: 'everybody' },
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
