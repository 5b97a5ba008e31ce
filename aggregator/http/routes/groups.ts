/** /v1/groups: how many members each group should have and has, bounds set by others, members drained or taken back. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { type VmId, vmId } from '../../../shared/ids.ts';
import { PLAIN_NAME_PATTERN } from '../../../shared/vm-build.ts';
import { GroupSchema } from '../schemas/groups.ts';
import type { GroupView } from '../spawn-service.ts';
import { contentTag, IfMatch, mustMatch } from './etag.ts';
import { answers, DryRunQuery, isDryRun, type Routes } from './route-options.ts';

const Params = Type.Object({ name: Type.String({ pattern: PLAIN_NAME_PATTERN }) });
const MemberParams = Type.Object({
  name: Type.String({ pattern: PLAIN_NAME_PATTERN }),
  vm: Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' }),
});
const Bounds = Type.Object({ min: Type.Integer({ minimum: 1 }), max: Type.Integer({ minimum: 1 }) }, { additionalProperties: false });
type Dry = Static<typeof DryRunQuery>;
const tags = ['groups'];
const operator = { role: 'operator' } as const;

/** What others may edit of a group. */
const tagOf = ({ bounds }: GroupView): string => contentTag(bounds);

export const groupRoutes: Routes = (app, service) => {
  const groupOf = (name: string): GroupView => {
    const found = service.spawning.groups().find((each) => each.name === name);
    if (found === undefined) throw new HeadroomError('NOT_FOUND', `the policy has no group "${name}"; GET /v1/groups lists them`);
    return found;
  };
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
    { schema: { summary: 'One of them; the ETag is that of its bounds', tags, params: Params, response: answers(GroupSchema) } },
    (request, reply) => {
      const found = groupOf(request.params.name);
      reply.header('etag', tagOf(found));
      return found;
    },
  );
  for (const [method, summary] of [
    ['PUT', "Bounds on its size within the policy's, for others that scale it"],
    ['DELETE', "The policy's bounds again"],
  ] as const) {
    app.route<{ Params: Static<typeof Params>; Querystring: Dry; Headers: Static<typeof IfMatch>; Body: Static<typeof Bounds> }>({
      method,
      url: '/v1/groups/:name/bounds',
      config: operator,
      schema: {
        summary,
        tags,
        params: Params,
        querystring: DryRunQuery,
        headers: IfMatch,
        ...(method === 'PUT' ? { body: Bounds } : {}),
        response: answers(GroupSchema),
      },
      handler: async (request, reply) => {
        const { name } = request.params;
        const ifMatch = request.headers['if-match'];
        if (ifMatch !== undefined) mustMatch(ifMatch, tagOf(groupOf(name)), `the tag of the bounds of group ${name}`);
        const bounds = method === 'PUT' ? request.body : null;
        const set = await service.spawning.setGroupBounds(name, bounds, `http ${request.ip}`, isDryRun(request));
        reply.header('etag', tagOf(set));
        return set;
      },
    });
  }
  memberRoutes(app, service);
};

const memberRoutes: Routes = (app, { spawning }) => {
  const onMember = (
    method: 'PUT' | 'DELETE' | 'POST',
    act: '' | '/drained' | '/undo',
    summary: string,
    done: (group: string, vm: VmId, by: string, dryRun: boolean) => Promise<GroupView> | GroupView,
  ): void => {
    app.route<{ Params: Static<typeof MemberParams>; Querystring: Dry }>({
      method,
      url: `/v1/groups/:name/members/:vm${act}`,
      config: operator,
      schema: { summary, tags, params: MemberParams, querystring: DryRunQuery, response: answers(GroupSchema) },
      handler: async (request) => {
        const { params, ip } = request;
        return done(params.name, vmId(params.vm), `http ${ip}`, isDryRun(request));
      },
    });
  };
  onMember(
    'PUT',
    '',
    'Hands a VM made by others over to its group: from then on it may be drained, stopped and started, and is never removed',
    (group, vm, by, dryRun) => spawning.handOver(group, vm, by, dryRun),
  );
  onMember('DELETE', '', 'Gives such a VM back, as it is now; 409 for one that Headroom made', (group, vm, by, dryRun) =>
    spawning.giveBack(group, vm, by, dryRun),
  );
  onMember(
    'POST',
    '/drained',
    'Whoever drains a member says that nothing uses it any more: it need not wait for its deadline',
    (group, vm, _by, dryRun) => spawning.memberDrained(group, vm, dryRun),
  );
  onMember('POST', '/undo', 'Takes back a member that drains or is stopped; 409 when it is too late', (group, vm, by, dryRun) =>
    spawning.undoMember(group, vm, by, dryRun),
  );
};
