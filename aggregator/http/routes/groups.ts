/** /v1/groups: how many members each group should have and has, bounds set by others, members drained or taken back. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { vmId } from '../../../shared/ids.ts';
import { PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { GroupSchema } from '../schemas/groups.ts';
import { answers, type Routes } from './route-options.ts';

const Params = Type.Object({ name: Type.String({ pattern: PLAIN_NAME_PATTERN }) });
const MemberParams = Type.Object({
  name: Type.String({ pattern: PLAIN_NAME_PATTERN }),
  vm: Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' }),
});
const Bounds = Type.Object({ min: Type.Integer({ minimum: 1 }), max: Type.Integer({ minimum: 1 }) }, { additionalProperties: false });
const tags = ['groups'];
const operator = { role: 'operator' } as const;

export const groupRoutes: Routes = (app, service) => {
  app.get(
    '/v1/groups',
    {
      schema: {
        summary: 'Groups of VMs: the size each should have, its members, what they will want together',
        tags,
        response: answers(Type.Object({ items: Type.Array(GroupSchema) })),
      },
    },
    () => ({ items: service.spawning.groups() }),
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/groups/:name',
    { schema: { summary: 'One of them', tags, params: Params, response: answers(GroupSchema) } },
    (request) => {
      const found = service.spawning.groups().find(({ name }) => name === request.params.name);
      if (found === undefined)
        throw new HeadroomError('NOT_FOUND', `the policy has no group "${request.params.name}"; GET /v1/groups lists them`);
      return found;
    },
  );
  app.put<{ Params: Static<typeof Params>; Body: Static<typeof Bounds> }>(
    '/v1/groups/:name/bounds',
    {
      config: operator,
      schema: {
        summary: "Bounds on its size within the policy's, for others that scale it",
        tags,
        params: Params,
        body: Bounds,
        response: answers(GroupSchema),
      },
    },
    (request) => service.spawning.setGroupBounds(request.params.name, request.body, `http ${request.ip}`),
  );
  app.delete<{ Params: Static<typeof Params> }>(
    '/v1/groups/:name/bounds',
    { config: operator, schema: { summary: "The policy's bounds again", tags, params: Params, response: answers(GroupSchema) } },
    (request) => service.spawning.setGroupBounds(request.params.name, null, `http ${request.ip}`),
  );
  memberRoutes(app, service);
};

const memberRoutes: Routes = (app, service) => {
  app.put<{ Params: Static<typeof MemberParams> }>(
    '/v1/groups/:name/members/:vm',
    {
      config: operator,
      schema: {
        summary: 'Hands a VM made by others over to its group: from then on it may be drained, stopped and started, and is never removed',
        tags,
        params: MemberParams,
        response: answers(GroupSchema),
      },
    },
    (request) => service.spawning.handOver(request.params.name, vmId(request.params.vm), `http ${request.ip}`),
  );
  app.delete<{ Params: Static<typeof MemberParams> }>(
    '/v1/groups/:name/members/:vm',
    {
      config: operator,
      schema: {
        summary: 'Gives such a VM back, as it is now; 409 for one that Headroom made',
        tags,
        params: MemberParams,
        response: answers(GroupSchema),
      },
    },
    (request) => service.spawning.giveBack(request.params.name, vmId(request.params.vm), `http ${request.ip}`),
  );
  app.post<{ Params: Static<typeof MemberParams> }>(
    '/v1/groups/:name/members/:vm/drained',
    {
      config: operator,
      schema: {
        summary: 'Whoever drains a member says that nothing uses it any more: it need not wait for its deadline',
        tags,
        params: MemberParams,
        response: answers(GroupSchema),
      },
    },
    (request) => service.spawning.memberDrained(request.params.name, vmId(request.params.vm)),
  );
  app.post<{ Params: Static<typeof MemberParams> }>(
    '/v1/groups/:name/members/:vm/undo',
    {
      config: operator,
      schema: {
        summary: 'Takes back a member that drains or is stopped; 409 when it is too late',
        tags,
        params: MemberParams,
        response: answers(GroupSchema),
      },
    },
    (request) => service.spawning.undoMember(request.params.name, vmId(request.params.vm), `http ${request.ip}`),
  );
};
