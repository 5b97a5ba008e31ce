/** Schemas of incidents, of what people say of them, and of what they know beforehand. */
import Type from 'typebox';
import { VM_ACTIONS } from '../../../shared/protocol/vm-action-frames.ts';
import { FEEDBACKS } from '../../core/anomaly/feedback.ts';
import { INCIDENT_KINDS } from '../../core/anomaly/incident.ts';
import { Nullable, UtcMs } from './words.ts';

const Action = Type.Object({
  action: Type.Enum(VM_ACTIONS),
  outcome: Type.String({ description: 'applied, skipped, refused, failed' }),
  reason: Type.String(),
  atMs: UtcMs,
});

export const Incident = Type.Object(
  {
    id: Type.String(),
    vm: Type.String(),
    vmName: Type.String(),
    host: Type.String(),
    kind: Type.String({ description: INCIDENT_KINDS.join(', ') }),
    severity: Type.Enum(['info', 'warning', 'page'] as const),
    startMs: UtcMs,
    peakMs: UtcMs,
    endMs: Nullable(UtcMs),
    likelihood: Type.Number({ description: '0 to 1, at the peak' }),
    contributors: Type.Array(Type.Object({ name: Type.String(), share: Type.Number() }), { description: 'The strongest first' }),
    cause: Type.String({ description: 'Likely cause, for people' }),
    vouched: Type.Boolean({ description: "The host itself saw it; otherwise it rests on the guest's word, and nobody acts on it" }),
    explainedBy: Nullable(Type.String({ description: 'Why nobody is alerted: our own resize, a known event, a storm over the fleet' })),
    actions: Type.Array(Action, { description: 'What was done about it beside telling, or why not' }),
    feedback: Nullable(Type.Enum(FEEDBACKS)),
  },
  { $id: 'Incident' },
);

export const FeedbackBody = Type.Object(
  { feedback: Type.Enum(FEEDBACKS, { description: 'false alarm: it takes more from now on; expected: so again at this time of day' }) },
  { additionalProperties: false },
);

export const KnownEventBody = Type.Object(
  {
    vm: Type.Optional(Type.String({ minLength: 1, maxLength: 256, description: 'Name or UUID; absent: every VM' })),
    fromMs: Type.Optional(Type.Integer({ minimum: 0, description: 'Absent: now' })),
    toMs: Type.Integer({ minimum: 0, description: 'UTC ms' }),
    why: Type.String({ minLength: 1, maxLength: 256 }),
  },
  { additionalProperties: false },
);

export const KnownEvent = Type.Object({ vm: Nullable(Type.String()), fromMs: UtcMs, toMs: UtcMs, why: Type.String() });

export const Released = Type.Object({ outcome: Type.String(), reason: Type.String() });
