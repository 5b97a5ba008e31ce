/** /v1/templates: what VMs of groups are made from (a version is the ETag), new versions by PUT, and whether hosts could make them. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { hostId } from '../../../shared/ids.ts';
import { PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { TemplateChange, TemplateCheck, TemplateSchema, TemplateText, TemplateVersion } from '../schemas/templates.ts';
import { etagOf, versionOf } from './etag.ts';
import { answers, type Routes } from './route-options.ts';

const Params = Type.Object({ name: Type.String({ pattern: PLAIN_NAME_PATTERN }) });
const VersionParams = Type.Object({ name: Type.String({ pattern: PLAIN_NAME_PATTERN }), version: Type.Integer({ minimum: 1 }) });
const PutQuery = Type.Object({ dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only tell whether it is sound' })) });
const PutHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ maxLength: 64, description: 'the ETag of the version that was looked at, "0" for none; 412 when another is current' }),
  ),
});
const CheckQuery = Type.Object({ host: Type.Optional(Type.String({ maxLength: 128, description: 'this host only' })) });
const tags = ['templates'];

const missing = (name: string): HeadroomError =>
  new HeadroomError('NOT_FOUND', `no template is called "${name}", or it has no such version; GET /v1/templates lists them`);

export const templateRoutes: Routes = (app, service) => {
  app.get(
    '/v1/templates',
    {
      schema: {
        summary: 'What VMs of groups are made from, with how long they take to be ready',
        tags,
        response: answers(Type.Object({ items: Type.Array(TemplateSchema) })),
      },
    },
    () => ({ items: service.spawning.templates() }),
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/templates/:name',
    { schema: { summary: 'One of them, as it was written', tags, params: Params, response: answers(TemplateText) } },
    async (request, reply) => {
      const found = await service.spawning.template(request.params.name, null);
      if (found === null) throw missing(request.params.name);
      reply.header('etag', etagOf(found.version));
      return found;
    },
  );
  app.put<{
    Params: Static<typeof Params>;
    Querystring: Static<typeof PutQuery>;
    Headers: Static<typeof PutHeaders>;
    Body: string;
  }>(
    '/v1/templates/:name',
    {
      schema: {
        summary: 'A new version of a template (YAML or JSON text); VMs that are there stay what they were made from',
        tags,
        consumes: ['application/yaml', 'text/plain'],
        params: Params,
        querystring: PutQuery,
        headers: PutHeaders,
        body: Type.String(),
        response: answers(TemplateChange),
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const dryRun = request.query.dryRun ?? false;
      const ifVersion = versionOf(request.headers['if-match']);
      const applied = await service.spawning.applyTemplate(name, request.body, `http ${request.ip}`, { dryRun, ifVersion });
      reply.header('etag', etagOf(applied.version));
      return { ...applied, dryRun };
    },
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/templates/:name/versions',
    {
      schema: {
        summary: 'Every version of a template, newest first',
        tags,
        params: Params,
        response: answers(Type.Object({ items: Type.Array(TemplateVersion) })),
      },
    },
    async (request) => ({ items: await service.spawning.templateVersions(request.params.name) }),
  );
  app.get<{ Params: Static<typeof VersionParams> }>(
    '/v1/templates/:name/versions/:version',
    { schema: { summary: 'One of them, with its text', tags, params: VersionParams, response: answers(TemplateText) } },
    async (request) => {
      const { name, version } = request.params;
      const found = await service.spawning.template(name, version);
      if (found === null) throw missing(name);
      return found;
    },
  );
  app.post<{ Params: Static<typeof Params>; Querystring: Static<typeof CheckQuery> }>(
    '/v1/templates/:name/check',
    {
      config: { role: 'operator' },
      schema: {
        summary: 'Asks hosts whether they could make a VM of it now: image, checksum, networks, room; nothing is made',
        tags,
        params: Params,
        querystring: CheckQuery,
        response: answers(Type.Object({ items: Type.Array(TemplateCheck) })),
      },
    },
    async (request) => {
      const { host } = request.query;
      const only = host === undefined ? null : hostId(host);
      return { items: await service.spawning.checkTemplate(request.params.name, only) };
    },
  );
};
