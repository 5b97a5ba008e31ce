/** GET /v1/vms, /v1/vms/{id}, its series and its explanation. */
import Type, { type Static } from 'typebox';
import { RESOURCES } from '../../../shared/resources.ts';
import { explain } from '../explain.ts';
import { explainRoom } from '../explain-room.ts';
import { Explanation, Vm, VmSeries } from '../schemas/fleet.ts';
import { Page, PageQuery, ResourceName, UtcMs } from '../schemas/words.ts';
import { vmSeries } from '../series.ts';
import type { VmView } from '../service.ts';
import { answers, findVm, finiteOrNull, pageOf, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 256, description: 'UUID, or the name where it is unique' }) });
const SeriesQuery = Type.Object({
  resource: Type.Optional(ResourceName),
  fromMs: Type.Optional(UtcMs),
  toMs: Type.Optional(UtcMs),
  resolution: Type.Optional(Type.Enum(['raw', '5m', '1h'] as const)),
  points: Type.Optional(
    Type.Integer({ minimum: 10, maximum: 5000, default: 600, description: 'At most so many rows: more are thinned out' }),
  ),
});

function shown(vm: VmView): VmView {
  const resources = { ...vm.resources };
  for (const name of RESOURCES) resources[name] = { ...resources[name], ageMs: finiteOrNull(resources[name].ageMs) as number };
  return { ...vm, resources };
}

export const vmRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/vms',
    { schema: { summary: 'All VMs', tags: ['fleet'], querystring: PageQuery, response: answers(Page(Vm)) } },
    (request) => pageOf(service.vms().map(shown), ({ id }) => id, request.query),
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/vms/:id',
    { schema: { summary: 'One VM', tags: ['fleet'], params: Params, response: answers(Vm) } },
    (request) => shown(findVm(service, request.params.id)),
  );
  app.get<{ Params: Static<typeof Params> }>(
    '/v1/vms/:id/explain',
    { schema: { summary: 'Why a VM has what it has', tags: ['fleet'], params: Params, response: answers(Explanation) } },
    (request) => {
      const vm = findVm(service, request.params.id);
      return { vm: vm.id, name: vm.name, text: [...explain(vm), ...explainRoom(vm.id, service.loans(), service.shortages())] };
    },
  );
  app.get<{ Params: Static<typeof Params>; Querystring: Static<typeof SeriesQuery> }>(
    '/v1/vms/:id/series',
    {
      schema: {
        summary: 'Usage, demand, allocation and forecast over time',
        tags: ['fleet'],
        params: Params,
        querystring: SeriesQuery,
        response: answers(VmSeries),
      },
    },
    (request) => vmSeries(service, findVm(service, request.params.id), request.query),
  );
};
