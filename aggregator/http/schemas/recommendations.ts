/** Schemas of what is recommended, of leave to do it, and of a change taken back. */
import Type from 'typebox';
import { RESOURCES } from '../../../shared/resources.ts';
import { Nullable, SettingOrVcpus, UtcMs } from './words.ts';

const ResourceOrVcpus = Type.Enum([...RESOURCES, 'vcpus'] as const, { description: 'vcpus: how many of them the guest has online' });

export const Recommendation = Type.Object(
  {
    id: Type.String({ description: 'UUID and resource of the VM' }),
    vm: Type.String(),
    vmName: Type.String(),
    host: Type.String(),
    resource: ResourceOrVcpus,
    direction: Type.Enum(['grow', 'shrink'] as const),
    from: SettingOrVcpus,
    to: SettingOrVcpus,
    reason: Type.String(),
    planId: Type.String(),
    atMs: UtcMs,
    approval: Nullable(
      Type.Object(
        { by: Type.String(), atMs: UtcMs, untilMs: UtcMs, to: SettingOrVcpus },
        { description: 'Leave that was given and not used yet: it covers no more than `to`, and lapses' },
      ),
    ),
  },
  { $id: 'Recommendation' },
);

export const ApproveBody = Type.Object(
  { to: Type.Optional(SettingOrVcpus) },
  { additionalProperties: false, description: 'As far as this, as it was seen; absent: as recommended now' },
);

export const TakenBackSchema = Type.Object(
  {
    vm: Type.String(),
    vmName: Type.String(),
    resource: ResourceOrVcpus,
    from: SettingOrVcpus,
    to: SettingOrVcpus,
    changedAtMs: UtcMs,
    dryRun: Type.Boolean(),
  },
  { $id: 'TakenBack' },
);

export const TakeBackBody = Type.Object({ resource: ResourceOrVcpus }, { additionalProperties: false });
