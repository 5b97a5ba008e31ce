/** Groups of VMs, as the API tells them. */
import Type from 'typebox';
import { GROUP_MODES, GROUP_RESOURCES } from '../../core/plan/group-policy.ts';
import { SPAWN_PHASES } from '../../core/spawn/spawn-record.ts';
import { Nullable, UtcMs } from './words.ts';

const Member = Type.Object({
  vm: Type.String(),
  name: Type.String(),
  host: Type.String(),
  template: Type.String({ description: 'name@version' }),
  phase: Type.Enum(SPAWN_PHASES),
  sinceMs: UtcMs,
  reason: Type.String(),
  failed: Type.Boolean({ description: 'It never came to serve, or was lost' }),
  handed: Type.Boolean({ description: 'Made by others and handed over: stopped and started, never removed' }),
  spare: Type.Boolean({ description: 'Made for the warm pool' }),
  suspended: Type.Boolean({ description: 'Kept suspended by the warm pool: it is brought back instead of booted' }),
});

export const GroupSchema = Type.Object(
  {
    name: Type.String(),
    template: Type.String(),
    mode: Type.Enum(GROUP_MODES),
    min: Type.Integer(),
    max: Type.Integer(),
    bounds: Nullable(Type.Object({ least: Type.Integer(), most: Type.Integer(), by: Type.String() })),
    members: Type.Array(Member, { description: "Of Headroom's making, or handed over to it" }),
    serving: Type.Integer(),
    desired: Nullable(Type.Integer({ description: 'Size it should have by the time a VM ordered now serves; null = not decided yet' })),
    reason: Type.String(),
    notDone: Nullable(Type.String({ description: 'Why less is done than should be' })),
    decidedAtMs: Nullable(UtcMs),
    demand: Type.Array(
      Type.Object({
        resource: Type.Enum(GROUP_RESOURCES),
        stepMs: Type.Number(),
        now: Nullable(Type.Number({ description: 'Of all members together, newest step: cores, MiB, bytes/s' })),
        quantiles: Type.Array(Type.Number()),
        horizons: Type.Array(Type.Integer({ description: 'Steps ahead, to 48 hours' })),
        values: Type.Array(Type.Number(), { description: '[horizons × quantiles], row-major' }),
      }),
    ),
  },
  { $id: 'Group' },
);
