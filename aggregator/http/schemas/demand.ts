/** Demand of the fleet and of groups, as the API tells it. */
import Type from 'typebox';
import { DEMAND_RESOURCES } from '../../core/spawn/demand-view.ts';
import { Nullable } from './words.ts';

export const Demand = Type.Object(
  {
    group: Nullable(Type.String({ description: 'null = the fleet' })),
    resources: Type.Array(
      Type.Object({
        resource: Type.Enum(DEMAND_RESOURCES, { description: 'gpu: only where guests tell of theirs, busy devices' }),
        unit: Type.Enum(['cores', 'MiB', 'bytes/s', 'devices']),
        now: Nullable(Type.Number({ description: 'Of all together, newest step' })),
        quantiles: Type.Array(Type.Number()),
        aheadMs: Type.Array(Type.Number({ description: 'Every five minutes (or a step, where that is longer) to 48 hours' })),
        values: Type.Array(Type.Number(), { description: '[aheadMs × quantiles], row-major; empty = nothing is known yet' }),
        available: Nullable(Type.Number({ description: 'What is there beyond what is wanted now; negative = short' })),
        soon: Nullable(Type.Number({ description: 'The same once what boots serves and what goes is gone' })),
      }),
    ),
  },
  { $id: 'Demand' },
);
