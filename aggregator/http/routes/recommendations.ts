/**
 * /v1/recommendations: what the policy only recommends, and leave to do it (the next plan does, at once and within every safety rule).
 * /v1/vms/{id}/rollback: what the last shrink took is given back.
 */
import Type, { type Static } from 'typebox';
import { ApproveBody, Recommendation, TakeBackBody, TakenBackSchema } from '../schemas/recommendations.ts';
import { Page, PageQuery } from '../schemas/words.ts';
import { answers, knownVm, pageOf, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 256 }) });
const DryRun = Type.Object({ dryRun: Type.Optional(Type.Boolean({ default: false, description: 'only tell what would be done' })) });
const tags = ['decisions'];
const operator = { role: 'operator' } as const;

export const recommendationRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/recommendations',
    {
      schema: {
        summary: 'Changes that wait for somebody to approve',
        tags,
        querystring: PageQuery,
        response: answers(Page(Recommendation)),
      },
    },
    ({ query }) => pageOf(service.recommendations(), ({ id }) => id, query),
  );
  app.post<{ Params: Static<typeof Params>; Querystring: Static<typeof DryRun>; Body: Static<typeof ApproveBody> }>(
    '/v1/recommendations/:id/approve',
    {
      config: operator,
      schema: {
        summary: 'Have it done, as far as it was seen; 409 when the other way round is recommended by now',
        tags,
        params: Params,
        querystring: DryRun,
        body: ApproveBody,
        response: answers(Recommendation),
      },
    },
    ({ params, query, body, ip }) => service.approve(params.id, body.to ?? null, `http ${ip}`, query.dryRun ?? false),
  );
  app.post<{ Params: Static<typeof Params>; Querystring: Static<typeof DryRun>; Body: Static<typeof TakeBackBody> }>(
    '/v1/vms/:id/rollback',
    {
      config: operator,
      schema: {
        summary: 'Give back what the last shrink took; 409 when the last change was none',
        tags,
        params: Params,
        querystring: DryRun,
        body: TakeBackBody,
        response: answers(TakenBackSchema),
      },
    },
    ({ params, query, body, ip }) => service.takeBack(knownVm(service, params.id), body.resource, `http ${ip}`, query.dryRun ?? false),
  );
};
