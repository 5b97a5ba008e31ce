/**
 * /v1/recommendations: what the policy only recommends, and leave to do it (the next plan does, at once and within every safety rule).
 * /v1/vms/{id}/rollback: what the last shrink took is given back.
 */
import Type, { type Static } from 'typebox';
import { ApproveBody, Recommendation, TakeBackBody, TakenBackSchema } from '../schemas/recommendations.ts';
import { Page, PageQuery } from '../schemas/words.ts';
import { answers, DryRunQuery, isDryRun, knownVm, pageOf, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 256 }) });
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
  app.post<{ Params: Static<typeof Params>; Querystring: Static<typeof DryRunQuery>; Body: Static<typeof ApproveBody> }>(
    '/v1/recommendations/:id/approve',
    {
      config: operator,
      schema: {
        summary: 'Have it done, as far as it was seen; 409 when the other way round is recommended by now',
        tags,
        params: Params,
        querystring: DryRunQuery,
        body: ApproveBody,
        response: answers(Recommendation),
      },
    },
    (request) => service.approve(request.params.id, request.body.to ?? null, `http ${request.ip}`, isDryRun(request)),
  );
  app.post<{ Params: Static<typeof Params>; Querystring: Static<typeof DryRunQuery>; Body: Static<typeof TakeBackBody> }>(
    '/v1/vms/:id/rollback',
    {
      config: operator,
      schema: {
        summary: 'Give back what the last shrink took; 409 when the last change was none',
        tags,
        params: Params,
        querystring: DryRunQuery,
        body: TakeBackBody,
        response: answers(TakenBackSchema),
      },
    },
    (request) => service.takeBack(knownVm(service, request.params.id), request.body.resource, `http ${request.ip}`, isDryRun(request)),
  );
};
