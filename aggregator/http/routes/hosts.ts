/** GET /v1/hosts, /v1/hosts/{id}. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { Host } from '../schemas/fleet.ts';
import { Page, PageQuery } from '../schemas/words.ts';
import type { HostView } from '../service.ts';
import { answers, finiteOrNull, pageOf, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 128 }) });

const shown = (host: HostView) => ({ ...host, ageMs: finiteOrNull(host.ageMs) });

export const hostRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/hosts',
    { schema: { summary: 'All hosts', tags: ['fleet'], querystring: PageQuery, response: answers(Page(Host)) } },
    (request) => pageOf(service.hosts().map(shown), ({ id }) => id, request.query),
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/hosts/:id',
    { schema: { summary: 'One host', tags: ['fleet'], params: Params, response: answers(Host) } },
    (request) => {
      const host = service.hosts().find(({ id }) => id === request.params.id);
      if (!host) throw new HeadroomError('NOT_FOUND', `no host "${request.params.id}" is known; GET /v1/hosts lists them`);
      return shown(host);
    },
  );
};
