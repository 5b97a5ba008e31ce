/** Demand of the fleet and of groups, as the API tells it. */
import Type from 'typebox';
import { GROUP_RESOURCES } from '../../core/plan/group-policy.ts';
import { Nullable } from './words.ts';

export const Demand = Type.Object(
  {
    group: Nullable(Type.String({ description: 'null = the fleet' })),
    resources: Type.Array(
      Type.Object({
        resource: Type.Enum(GROUP_RESOURCES),
        unit: Type.Enum(['cores', 'MiB', 'bytes/s']),
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
