/** Schemas of the words that all resources share. */
import Type from 'typebox';
import { MODES, RESOURCES, VM_STATES } from '../../../shared/resources.ts';

export const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
export const ResourceName = Type.Enum(RESOURCES);
export const ModeName = Type.Enum(MODES);
export const VmStateName = Type.Enum(VM_STATES);
export const UtcMs = Type.Number({ description: 'UTC milliseconds' });

const Amount = Type.Number({ minimum: 0 });

export const Setting = Type.Union(
  [
    Type.Object({ resource: Type.Literal('cpu'), weight: Amount, capCores: Nullable(Amount) }),
    Type.Object({ resource: Type.Literal('memory'), memoryMiB: Amount }),
    Type.Object({
      resource: Type.Literal('network'),
      inboundBytesPerSecond: Nullable(Amount),
      outboundBytesPerSecond: Nullable(Amount),
    }),
    Type.Object({ resource: Type.Literal('disk'), bytesPerSecond: Nullable(Amount), iops: Nullable(Amount) }),
  ],
  { description: 'What the hypervisor enforces; null = no limit' },
);

/** A setting, or how many vCPUs are online. */
export const SettingOrVcpus = Type.Union([
  Setting,
  Type.Object({ resource: Type.Literal('vcpus'), online: Type.Integer({ minimum: 1, description: 'vCPUs online in the guest' }) }),
]);

export const Forecast = Type.Object({
  model: Type.String(),
  stepMs: Type.Number(),
  fromMs: Type.Number({ description: 'Start of the step that horizon 1 covers, UTC ms' }),
  quantiles: Type.Array(Type.Number()),
  horizons: Type.Array(Type.Number({ description: 'Steps ahead' })),
  values: Type.Array(Type.Number(), { description: '[horizons × quantiles], row-major: quantiles of the maximum demand in that step' }),
  confidence: Type.Number({ description: '0..1' }),
  explanation: Type.String(),
});

/** A page of a longer list. `cursor` continues it; null = that was all. */
export const Page = <T extends Type.TSchema>(items: T) => Type.Object({ items: Type.Array(items), cursor: Nullable(Type.String()) });

export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.String({ maxLength: 256, description: 'as the page before answered it' })),
});
