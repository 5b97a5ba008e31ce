/** GET /v1/ledger and /v1/audit/verify. */
import Type, { type Static } from 'typebox';
import type { LedgerBody } from '../../store/ledger-store.ts';
import { LedgerEntry, Verification } from '../schemas/decisions.ts';
import { Nullable } from '../schemas/words.ts';
import { answers, knownVm, type Routes } from './route-options.ts';

const Query = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  cursor: Type.Optional(Type.Integer({ minimum: 0, description: 'as the page before answered it' })),
  vm: Type.Optional(Type.String({ maxLength: 256 })),
  kind: Type.Optional(
    Type.Enum(['start', 'plan', 'outcome', 'verdict', 'event', 'loan', 'policy', 'template', 'spawn', 'operator', 'security'] as const),
  ),
  newestFirst: Type.Optional(Type.Boolean({ default: true })),
});

export const auditRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/ledger',
    {
      schema: {
        summary: 'Entries of the hash-chained ledger',
        tags: ['audit'],
        querystring: Query,
        response: answers(
          Type.Object({
            items: Type.Array(LedgerEntry),
            cursor: Nullable(Type.Integer({ description: 'continues the list; null = that was all' })),
          }),
        ),
      },
    },
    async (request) => {
      const { limit = 100, cursor, vm, kind, newestFirst = true } = request.query;
      const items = await service.ledgerEntries({
        limit,
        newestFirst,
        ...(cursor === undefined ? {} : { fromIndex: cursor }),
        ...(vm === undefined ? {} : { vm: knownVm(service, vm) }),
        ...(kind === undefined ? {} : { kind: kind as LedgerBody['kind'] }),
      });
      const last = items.at(-1);
      const next = last === undefined || items.length < limit ? -1 : last.index + (newestFirst ? -1 : 1);
      return { items, cursor: next < 0 ? null : next };
    },
  );
  app.get(
    '/v1/audit/verify',
    { schema: { summary: 'Prove the chain of the ledger', tags: ['audit'], response: answers(Verification) } },
    () => service.ledger.verify(),
  );
};
