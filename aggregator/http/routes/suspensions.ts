/** /v1/suspensions, /v1/vms/{id}/suspend and its like: VMs that are suspended, and orders to suspend them and bring them back. */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import type { VmId } from '../../../shared/ids.ts';
import { vmId } from '../../../shared/ids.ts';
import { HOLD_MS_MAX, PREFETCH_PRIORITY_MAX } from '../../../shared/protocol/suspend-frames.ts';
import { SnapshotStore, SuspendOrder, Suspension } from '../schemas/suspensions.ts';
import type { AggregatorService } from '../service.ts';
import type { SuspendOrderView } from '../suspend-service.ts';
import { answers, DryRunQuery, findVm, isDryRun, knownHost, type Routes } from './route-options.ts';

const ANY = 'On this host; `any`: one with room now and at the forecast peak, to which least must move; the answer says why (`placement`)';
const VmParams = Type.Object({ id: Type.String({ maxLength: 256, description: 'UUID, or the name where it is unique' }) });
const OrderQuery = Type.Object({ id: Type.Optional(Type.String({ maxLength: 128, description: 'This one only' })) });
const Resume = Type.Object({
  ...DryRunQuery.properties,
  to: Type.Optional(Type.String({ maxLength: 128, description: ANY })),
});
const Prefetch = Type.Object(
  {
    holdSeconds: Type.Number({ minimum: 1, maximum: HOLD_MS_MAX / 1000, default: 600, description: 'It waits, paused, no longer' }),
    bytesPerSecondMax: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'Fetched no faster; absent = as fast as it goes' })),
    deadlineSeconds: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: HOLD_MS_MAX / 1000,
        description: 'Not ready by then it is given up; absent = whenever it is',
      }),
    ),
    priority: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: PREFETCH_PRIORITY_MAX,
        description: 'Of several the highest goes first, of these the one due first; absent = that of the VM in the policy',
      }),
    ),
    to: Type.Optional(Type.String({ maxLength: 128, description: ANY })),
  },
  { additionalProperties: false },
);
const Collect = Type.Object({ host: Type.Optional(Type.String({ maxLength: 128 })) }, { additionalProperties: false });
type Dry = Static<typeof DryRunQuery>;
const operator = { role: 'operator' } as const;
const tags = ['suspensions'];
const { 200: asked, ...problems } = answers(SuspendOrder, 'Asked of the host');
const accepted = { ...problems, 202: asked };

/** A suspended VM need not be among those its host reports: it may be known by its snapshot alone. */
function suspendedVm(service: AggregatorService, idOrName: string): VmId {
  const own = service.suspending.suspensions().filter(({ vm, name }) => vm === idOrName || name === idOrName);
  return own.length === 1 ? vmId(own[0]!.vm) : findVm(service, idOrName).id;
}

export const suspensionRoutes: Routes = (app, service) => {
  listRoutes(app, service);
  orderRoutes(app, service);
};

const listRoutes: Routes = (app, service) => {
  app.get(
    '/v1/suspensions',
    {
      schema: {
        summary: 'VMs that are suspended or live on a snapshot',
        tags,
        response: answers(Type.Object({ items: Type.Array(Suspension) })),
      },
    },
    () => ({ items: service.suspending.suspensions() }),
  );
  app.get(
    '/v1/suspensions/stores',
    {
      schema: {
        summary: 'Where hosts keep snapshots: what each place holds, may hold, and how quick it was',
        tags,
        response: answers(Type.Object({ items: Type.Array(SnapshotStore) })),
      },
    },
    () => ({ items: service.suspending.stores() }),
  );
  app.get<{ Querystring: Static<typeof OrderQuery> }>(
    '/v1/suspensions/orders',
    {
      schema: {
        summary: 'Orders to suspend VMs, bring them back or make them ready, with how far each is',
        tags,
        querystring: OrderQuery,
        response: answers(Type.Object({ items: Type.Array(SuspendOrder) })),
      },
    },
    (request) => {
      const { id } = request.query;
      if (id === undefined) return { items: service.suspending.orders() };
      const found = service.suspending.order(id);
      if (found === null)
        throw new HeadroomError('NOT_FOUND', `no order "${id}" is known; the last 500 that ended are kept, not over a restart`);
      return { items: [found] };
    },
  );
};

const orderRoutes: Routes = (app, service) => {
  const onVm = (path: string, summary: string, give: (vm: VmId, by: string, dryRun: boolean) => SuspendOrderView): void => {
    app.post<{ Params: Static<typeof VmParams>; Querystring: Dry }>(
      path,
      { config: operator, schema: { summary, tags, params: VmParams, querystring: DryRunQuery, response: accepted } },
      (request, reply) => reply.code(202).send(give(suspendedVm(service, request.params.id), `http ${request.ip}`, isDryRun(request))),
    );
  };
  onVm('/v1/vms/:id/suspend', "Suspend it: memory and devices to its host's snapshot store", (vm, by, dryRun) =>
    service.suspending.suspend(vm, by, dryRun),
  );
  app.post<{ Params: Static<typeof VmParams>; Querystring: Static<typeof Resume> }>(
    '/v1/vms/:id/resume',
    {
      config: operator,
      schema: { summary: 'Bring it back as it was', tags, params: VmParams, querystring: Resume, response: accepted },
    },
    (request, reply) => {
      const vm = suspendedVm(service, request.params.id);
      const { to = null } = request.query;
      return reply.code(202).send(service.suspending.resume(vm, `http ${request.ip}`, to, isDryRun(request)));
    },
  );
  onVm('/v1/vms/:id/snapshot/verify', 'Read every byte of its snapshot', (vm, by, dryRun) => service.suspending.verify(vm, by, dryRun));
  app.put<{ Params: Static<typeof VmParams>; Querystring: Dry; Body: Static<typeof Prefetch> }>(
    '/v1/vms/:id/prefetch',
    {
      config: operator,
      schema: {
        summary: 'Fetch what it will touch first, and have it wait, paused',
        tags,
        params: VmParams,
        querystring: DryRunQuery,
        body: Prefetch,
        response: accepted,
      },
    },
    (request, reply) => {
      const { holdSeconds, bytesPerSecondMax = null, deadlineSeconds, priority = null, to = null } = request.body;
      const vm = suspendedVm(service, request.params.id);
      const deadlineMs = deadlineSeconds === undefined ? null : deadlineSeconds * 1000;
      const terms = { holdMs: holdSeconds * 1000, bytesPerSecondMax, deadlineMs, priority, to };
      const order = service.suspending.prefetch(vm, terms, `http ${request.ip}`, isDryRun(request));
      return reply.code(202).send(order);
    },
  );
  app.delete<{ Params: Static<typeof VmParams>; Querystring: Dry }>(
    '/v1/vms/:id/prefetch',
    {
      config: operator,
      schema: { summary: 'It need not wait any more', tags, params: VmParams, querystring: DryRunQuery, response: accepted },
    },
    (request, reply) => {
      const vm = suspendedVm(service, request.params.id);
      return reply.code(202).send(service.suspending.release(vm, `http ${request.ip}`, isDryRun(request)));
    },
  );
  app.post<{ Querystring: Dry; Body: Static<typeof Collect> }>(
    '/v1/suspensions/collect',
    {
      config: operator,
      schema: {
        summary: 'What no VM needs goes from the snapshot stores of one host, or of all',
        tags,
        querystring: DryRunQuery,
        body: Collect,
        response: answers(Type.Object({ items: Type.Array(SuspendOrder) })),
      },
    },
    (request) => {
      const { host } = request.body;
      const only = host === undefined ? null : knownHost(service, host);
      return { items: service.suspending.collect(only, `http ${request.ip}`, isDryRun(request)) };
    },
  );
};
