/** Templates, as the API tells them. */
import Type from 'typebox';
import { NetworkProbe } from '../../../shared/ready-probe.ts';
import { READY_PROBES } from '../../core/spawn/template-schema.ts';
import { Nullable, UtcMs } from './words.ts';

const VERSION = {
  name: Type.String(),
  version: Type.Integer(),
  atMs: UtcMs,
  by: Type.String(),
  digest: Type.String({ description: "SHA-256 of the canonical text, as in the ledger's chain" }),
};

export const TemplateVersion = Type.Object(VERSION, { $id: 'TemplateVersion' });
export const TemplateText = Type.Object({ ...VERSION, source: Type.String() }, { $id: 'TemplateText' });

export const TemplateSchema = Type.Object(
  {
    ...VERSION,
    description: Type.String(),
    software: Type.Array(Type.String()),
    image: Type.String(),
    pool: Type.String(),
    vcpus: Type.Integer(),
    memoryMiB: Type.Integer(),
    probe: Type.Enum(READY_PROBES),
    asked: Nullable(NetworkProbe),
    readyWithinMs: Type.Number(),
    warmPool: Type.Integer(),
    boots: Type.Array(
      Type.Object({
        host: Type.String(),
        boots: Type.Integer({ description: 'Remembered, at most 40' }),
        p95Ms: Type.Number({ description: 'From the order to ready' }),
        lastMs: Type.Number(),
      }),
    ),
  },
  { $id: 'Template' },
);

export const TemplateChange = Type.Object(
  { name: Type.String(), version: Type.Integer(), changed: Type.Boolean(), dryRun: Type.Boolean() },
  { $id: 'TemplateChange' },
);

export const TemplateCheck = Type.Object(
  { host: Type.String(), ok: Type.Boolean(), reason: Type.String({ description: 'What the host lacks; empty: nothing' }) },
  { $id: 'TemplateCheck' },
);
