/** GET /v1/map: for each virtual resource the physical one, on which host, and how fresh; `?vm=` for one VM. */
import Type, { type Static } from 'typebox';
import { type MapRow, mapRows } from '../resource-map.ts';
import { Nullable, Page, PageQuery, ResourceName } from '../schemas/words.ts';
import { answers, findVm, pageOf, type Routes } from './route-options.ts';

const Query = Type.Object({
  ...PageQuery.properties,
  vm: Type.Optional(Type.String({ maxLength: 256, description: 'UUID, or the name where it is unique' })),
});

export const MapRowSchema = Type.Object(
  {
    vm: Type.String(),
    vmName: Type.String(),
    host: Type.String(),
    resource: ResourceName,
    virtual: Type.String({ description: 'As the guest has it' }),
    physical: Type.String({ description: 'What of the host stands behind it; empty = not told' }),
    unit: Type.String(),
    granted: Nullable(Type.String({ description: 'In force, as read back' })),
    used: Nullable(Type.Number({ description: 'All devices of the resource together' })),
    ageMs: Nullable(Type.Number({ description: 'Age of the newest sample; null = there was none' })),
  },
  { $id: 'MapRow' },
);

const rowId = ({ vm, resource, virtual }: MapRow): string => `${vm}/${resource}/${virtual}`;

export const mapRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/map',
    {
      schema: {
        summary: 'What stands behind each virtual resource, on which host, and how fresh that is',
        tags: ['fleet'],
        querystring: Query,
        response: answers(Page(MapRowSchema)),
      },
    },
    ({ query }) => pageOf(mapRows(query.vm === undefined ? service.vms() : [findVm(service, query.vm)]), rowId, query),
  );
};
