/** Schema of incidents. */
import Type from 'typebox';
import { Nullable, UtcMs } from './words.ts';

export const Incident = Type.Object(
  {
    id: Type.String(),
    vm: Type.String(),
    vmName: Type.String(),
    host: Type.String(),
    kind: Type.String({ description: 'spike, level shift, leak, saturation, silence, noisy neighbour, runaway process, stuck, unusual' }),
    severity: Type.Enum(['info', 'warning', 'page'] as const),
    startMs: UtcMs,
    peakMs: UtcMs,
    endMs: Nullable(UtcMs),
    likelihood: Type.Number({ description: '0 to 1, at the peak' }),
    contributors: Type.Array(Type.Object({ name: Type.String(), share: Type.Number() }), { description: 'The strongest first' }),
    cause: Type.String({ description: 'Likely cause, for people' }),
    explainedBy: Nullable(Type.String({ description: 'Why nobody is alerted: our own resize, a storm over the fleet' })),
  },
  { $id: 'Incident' },
);
