/**
 * /v1/anomalies: what is or was wrong with VMs, newest first (they come as events of kind notification too), and a person's word
 * on it. /v1/known-events: what explains itself. /v1/vms/{id}/isolation: an end to being cut off.
 */
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { FeedbackBody, Incident, KnownEvent, KnownEventBody, Released } from '../schemas/anomalies.ts';
import { Page, PageQuery } from '../schemas/words.ts';
import { answers, DryRunQuery, isDryRun, knownVm, newestFirst, type Routes } from './route-options.ts';

const Query = Type.Object({
  open: Type.Optional(Type.Boolean({ description: 'Only what goes on' })),
  ...PageQuery.properties,
});
const tags = ['anomalies'];
/** A known event that never ends would hide everything. */
const EVENT_MS_MAX = 30 * 86_400_000;

export const anomalyRoutes: Routes = (app, service) => {
  app.get<{ Querystring: Static<typeof Query> }>(
    '/v1/anomalies',
    {
      schema: {
        summary: 'Incidents: what is or was wrong with VMs, newest first',
        tags,
        querystring: Query,
        response: answers(Page(Incident)),
      },
    },
    ({ query }) => {
      const wanted = service.incidents().filter(({ endMs }) => !query.open || endMs === null);
      return newestFirst(wanted, ({ id }) => id, query);
    },
  );
  app.post<{ Params: { id: string }; Querystring: Static<typeof DryRunQuery>; Body: Static<typeof FeedbackBody> }>(
    '/v1/anomalies/:id/feedback',
    {
      schema: {
        summary: "Say what an incident was: tunes that VM's detectors",
        tags,
        params: Type.Object({ id: Type.String({ maxLength: 128 }) }),
        querystring: DryRunQuery,
        body: FeedbackBody,
        response: answers(Incident),
      },
    },
    (request) => service.judgeIncident(request.params.id, request.body.feedback, `http ${request.ip}`, isDryRun(request)),
  );
  app.post<{ Body: Static<typeof KnownEventBody>; Querystring: Static<typeof DryRunQuery> }>(
    '/v1/known-events',
    {
      schema: {
        summary: 'Announce a deployment or a load test: it explains itself',
        tags,
        querystring: DryRunQuery,
        body: KnownEventBody,
        response: answers(KnownEvent),
      },
    },
    (request) => {
      const { body, ip } = request;
      const { vm, fromMs = service.nowMs(), toMs, why } = body;
      if (toMs <= fromMs || toMs - fromMs > EVENT_MS_MAX)
        throw new HeadroomError('USAGE', `an event from ${fromMs} to ${toMs} lasts no time, or more than 30 days`);
      const event = { vm: vm === undefined ? null : knownVm(service, vm), fromMs, toMs, why };
      if (!isDryRun(request)) service.addKnownEvent(event, `http ${ip}`);
      return event;
    },
  );
  app.delete<{ Params: { id: string }; Querystring: Static<typeof DryRunQuery> }>(
    '/v1/vms/:id/isolation',
    {
      schema: {
        summary: 'Give an isolated VM its network back before its time',
        tags,
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        querystring: DryRunQuery,
        response: answers(Released),
      },
    },
    (request) => service.releaseVm(knownVm(service, request.params.id), `http ${request.ip}`, isDryRun(request)),
  );
};
