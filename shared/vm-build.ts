/**
 * What a VM is made from, as the aggregator tells a host: plain data that crosses the wire. Schemas are the single source of
 * types. Images and disks are volumes of the host's storage pools, by name; nothing here is a path chosen from afar, but the
 * kernel of a direct boot, which must lie where the host's own configuration allows.
 */

import type { Static } from 'typebox';
import * as Type from 'typebox';

const closed = { additionalProperties: false } as const;
/** Names of pools, volumes, networks and bridges: no separators, no leading dot, so that none leaves its place. */
export const PLAIN_NAME_PATTERN = '^[a-zA-Z0-9_][a-zA-Z0-9._+-]{0,127}$';
const plainName = Type.String({ pattern: PLAIN_NAME_PATTERN });
/** Seeds are small; the frame that carries them is limited too. */
const SEED_CHARACTERS_MAX = 65_536;
const seedText = Type.String({ maxLength: SEED_CHARACTERS_MAX });

export const DOMAIN_TYPES = ['auto', 'kvm', 'qemu'] as const;
export const IMAGE_FORMATS = ['qcow2', 'raw'] as const;

export const VmBuild = Type.Object(
  {
    /** Of the domain; unique on the host. */
    name: plainName,
    /** auto: KVM where the host has it, else emulation. */
    domainType: Type.Enum(DOMAIN_TYPES),
    vcpus: Type.Integer({ minimum: 1, maximum: 1024 }),
    memoryMiB: Type.Integer({ minimum: 16, maximum: 67_108_864 }),
    disk: Type.Object(
      {
        pool: plainName,
        /** The volume that the VM's own disk lies over. */
        image: plainName,
        format: Type.Enum(IMAGE_FORMATS),
        /** Checked before each use; null = not checked. */
        sha256: Type.Union([Type.String({ pattern: '^[0-9a-f]{64}$' }), Type.Null()]),
        /** Size as the guest sees it; null = the image's. */
        sizeMiB: Type.Union([Type.Integer({ minimum: 1, maximum: 1_073_741_824 }), Type.Null()]),
      },
      closed,
    ),
    /** Direct boot; null = from the disk. */
    boot: Type.Union([
      Type.Object(
        {
          kernel: Type.String({ maxLength: 1024 }),
          initrd: Type.String({ maxLength: 1024 }),
          commandLine: Type.String({ maxLength: 4096 }),
        },
        closed,
      ),
      Type.Null(),
    ]),
    seed: Type.Union([
      Type.Object({ kind: Type.Literal('cloud-init'), userData: seedText, networkConfig: Type.Union([seedText, Type.Null()]) }, closed),
      Type.Object({ kind: Type.Literal('ignition'), config: seedText }, closed),
      Type.Null(),
    ]),
    networks: Type.Array(
      Type.Object({ kind: Type.Enum(['network', 'bridge', 'user'] as const), source: Type.Union([plainName, Type.Null()]) }, closed),
      { maxItems: 8 },
    ),
    /** Administrator's labels, as policies match them. */
    labels: Type.Record(Type.String({ pattern: '^[a-zA-Z0-9_][a-zA-Z0-9._/-]{0,63}$' }), Type.String({ maxLength: 256 })),
  },
  closed,
);
export type VmBuild = Static<typeof VmBuild>;
