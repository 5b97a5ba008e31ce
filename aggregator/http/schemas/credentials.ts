/** Schema of a login that was asked for. */
import Type from 'typebox';
import { CREDENTIAL_METHODS } from '../../../shared/protocol/frames.ts';
import { LOGIN_PHASES, WAITED_FOR } from '../../core/credential/delay.ts';
import { Nullable, UtcMs } from './words.ts';

const Cause = Type.Object({
  resource: Type.Enum(WAITED_FOR),
  share: Nullable(
    Type.Number({
      minimum: 0,
      maximum: 1,
      description: 'Of the time, how much something waited for it; null = short of it, unknown by how much',
    }),
  ),
  seenBy: Type.Enum(['guest', 'host'] as const),
});

export const Credential = Type.Object(
  {
    id: Type.String(),
    vm: Type.String(),
    by: Type.String(),
    askedAtMs: UtcMs,
    state: Type.Enum(['pending', 'delayed', 'ready', 'failed'] as const),
    reason: Type.String({ description: 'Why it failed, else empty' }),
    account: Nullable(Type.String({ description: 'In the guest; null = the guest has not said yet' })),
    method: Nullable(Type.Enum(CREDENTIAL_METHODS)),
    expiresAtMs: Nullable(UtcMs),
    sealed: Nullable(Type.String({ description: 'Only when ready, for ten minutes: a JWE in compact form, which the private key opens' })),
    totalMs: Type.Number(),
    phases: Type.Array(Type.Object({ name: Type.Enum(LOGIN_PHASES), ms: Type.Number() })),
    unaccountedMs: Type.Number({ description: 'Of the total, what is in no phase' }),
    delay: Nullable(Type.Object({ causes: Type.Array(Cause), message: Type.String() })),
  },
  { $id: 'Credential' },
);
