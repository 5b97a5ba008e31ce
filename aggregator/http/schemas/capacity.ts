/** What hosts can be sold, as the API tells it. */
import Type from 'typebox';
import { SOLD_RESOURCES } from '../../core/capacity/host-demand.ts';

const Quantiles = Type.Object({ q50: Type.Number(), q90: Type.Number(), q99: Type.Number() });
const OrNull = <T extends Parameters<typeof Type.Union>[0][number]>(type: T) => Type.Union([type, Type.Null()]);

const ResourceCapacity = Type.Object({
  unit: Type.Enum(['cores', 'MiB']),
  capacity: Type.Number(),
  reserve: Type.Number({ description: 'Kept free by policy' }),
  sold: Type.Number({ description: 'Sizes of the VMs that run there, summed' }),
  demand: OrNull(Type.Number({ description: 'Of its VMs together, in the newest step' })),
  usual: Type.Number({ description: 'What its VMs usually want together' }),
  nextHour: OrNull(Quantiles),
  nextDay: OrNull(Quantiles),
  sellable: Type.Number({
    description: 'Capacity less reserve less the highest 0.99 quantile of joint demand over the day to come; 0 while too little is known',
  }),
  allocationRatio: OrNull(Type.Number({ description: 'Sold per unit of capacity less reserve at which joint demand would just fit' })),
  confidence: Type.Number(),
});

export const Capacity = Type.Object(
  {
    host: Type.String(),
    vms: Type.Integer(),
    moreVms: OrNull(Type.Integer({ description: 'More VMs like those there that fit' })),
    tightest: Type.Enum(SOLD_RESOURCES),
    advice: Type.String(),
    resources: Type.Object({ cpu: ResourceCapacity, memory: ResourceCapacity }),
  },
  { $id: 'Capacity' },
);

const Class = Type.Object({ total: Type.Integer(), reserved: Type.Integer(), allocation_ratio: Type.Number() });

export const OpenStackInventory = Type.Object(
  { host: Type.String(), inventories: Type.Object({ VCPU: Type.Optional(Class), MEMORY_MB: Type.Optional(Class) }) },
  { $id: 'OpenStackInventory' },
);

export const ProxmoxNode = Type.Object(
  {
    type: Type.Literal('node'),
    id: Type.String(),
    node: Type.String(),
    maxcpu: Type.Number(),
    cpu: OrNull(Type.Number({ description: 'Share of maxcpu that its guests will want in the day to come, 0.99 quantile' })),
    maxmem: Type.Number(),
    mem: OrNull(Type.Number({ description: 'Bytes, likewise' })),
    sellablecpu: Type.Number(),
    sellablemem: Type.Number(),
    comment: Type.String(),
  },
  { $id: 'ProxmoxNode' },
);
