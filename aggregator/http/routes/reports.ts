/** GET /v1/reports/savings: what was saved, beside what it cost. */
import Type, { type Static } from 'typebox';
import { savingsReport } from '../savings.ts';
import { ModeName, Nullable, UtcMs } from '../schemas/words.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  fromMs: Type.Optional(UtcMs),
  toMs: Type.Optional(UtcMs),
});

const Share = Nullable(Type.Number({ minimum: 0, maximum: 1, description: 'Of the time known, in which demand was above the grant' }));

const Savings = Type.Object({
  fromMs: UtcMs,
  toMs: UtcMs,
  savedCoreHours: Type.Number({ description: 'Size less grant, over the time in which the grant is known' }),
  savedMiBHours: Type.Number(),
  shortShare: Type.Object({ cpu: Share, memory: Share }),
  throttledSeconds: Nullable(
    Type.Number({ description: 'By caps, as cgroups tell; mean over the vCPUs of each VM, summed over VMs; null = no host tells' }),
  ),
  memoryStalledSeconds: Nullable(
    Type.Number({ description: 'All of a VM waiting for memory (PSI full), summed over VMs; null = no host tells' }),
  ),
  harmfulChanges: Type.Integer({ description: 'Changes judged harmful, of the plans remembered' }),
  items: Type.Array(
    Type.Object({
      vm: Type.String(),
      vmName: Type.String(),
      host: Type.String(),
      resource: Type.Enum(['cpu', 'memory'] as const),
      mode: ModeName,
      unit: Type.Enum(['cores', 'MiB'] as const),
      size: Type.Number(),
      granted: Nullable(Type.Number({ description: 'Mean, where known' })),
      savedUnitHours: Type.Number(),
      knownHours: Type.Number({ description: 'Grant and demand are both known' }),
      shortHours: Type.Number({ description: 'Of them, with demand above the grant' }),
      heldSeconds: Nullable(Type.Number({ description: 'Throttled (cpu), stalled (memory); null = the host does not tell' })),
    }),
  ),
});

export const reportRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/reports/savings',
    {
      schema: {
        summary: 'What was saved and what it cost, of the last day unless told otherwise; at most 31 days',
        tags: ['reports'],
        querystring: Query,
        response: answers(Savings),
      },
    },
    ({ query }) => savingsReport(service, query),
  );
};
