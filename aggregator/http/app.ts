/**
 * The HTTP application, apart from any server: routes, schemas, OpenAPI, console, event stream. Input: the service it
 * shows; output: a Fastify instance that tests drive with inject(). It decides nothing.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { HeadroomError } from '../../shared/errors.ts';
import type { Access } from '../identity/access.ts';
import { addAccessGuard } from './access-guard.ts';
import { loadAssets } from './assets.ts';
import { docsPage, type OpenApiDocument } from './docs-page.ts';
import { addGuard, SECURITY_HEADERS } from './guard.ts';
import { guidePages } from './guide-pages.ts';
import { addIdempotency } from './idempotency.ts';
import { type KeptAnswers, memoryAnswers } from './kept-answers.ts';
import { metricsText } from './metrics.ts';
import { addPeers, type Peers } from './peers.ts';
import { currentPrincipal } from './principal.ts';
import { ProblemSchema, problemOf } from './problem.ts';
import { agentKeyRoutes } from './routes/agent-keys.ts';
import { anomalyRoutes } from './routes/anomalies.ts';
import { apiTokenRoutes } from './routes/api-tokens.ts';
import { auditRoutes } from './routes/audit.ts';
import { capacityRoutes } from './routes/capacity.ts';
import { credentialRoutes } from './routes/credentials.ts';
import { demandRoutes } from './routes/demand.ts';
import { eventRoutes } from './routes/events.ts';
import { groupRoutes } from './routes/groups.ts';
import { healthRoutes } from './routes/health.ts';
import { hostRoutes } from './routes/hosts.ts';
import { killSwitchRoutes } from './routes/kill-switch.ts';
import { loanRoutes } from './routes/loans.ts';
import { mapRoutes } from './routes/map.ts';
import { notificationRoutes } from './routes/notifications.ts';
import { planRoutes } from './routes/plans.ts';
import { policyRoutes } from './routes/policies.ts';
import { recommendationRoutes } from './routes/recommendations.ts';
import { reportRoutes } from './routes/reports.ts';
import type { Routes } from './routes/route-options.ts';
import { sessionRoutes } from './routes/sessions.ts';
import { slaRoutes } from './routes/slas.ts';
import { statusRoutes } from './routes/status.ts';
import { suspensionRoutes } from './routes/suspensions.ts';
import { templateRoutes } from './routes/templates.ts';
import { vmRoutes } from './routes/vms.ts';
import { scopedService } from './scoped-service.ts';
import type { AggregatorService } from './service.ts';

export interface HttpAppOptions {
  /** Further host names this API is reached by; loopback names always work. */
  hostNames?: readonly string[];
  /** Who may ask for what; absent: whoever reaches it may do anything. */
  access?: Access;
  /** The other aggregators, whose hosts are shown and reached here, too; absent: there are none. */
  peers?: Peers;
  /** To requests with keys of their own; absent: in memory. */
  answers?: KeptAnswers;
  /** Certificate and key, PEM. */
  tls?: { cert: string; key: string };
  /** How often a silent event stream says that it is alive. */
  heartbeatMs?: number;
  /** Told of failures that are ours (status 5xx). */
  onError?: (error: unknown, method: string, path: string, requestId: string) => void;
}

/** A policy file of thousands of rules stays under this. */
const BODY_BYTES_MAX = 1024 * 1024;
/** Proxies close idle streams after a minute. */
const HEARTBEAT_MS = 15_000;

const SERVICE_ROUTES: readonly Routes[] = [
  hostRoutes,
  vmRoutes,
  planRoutes,
  recommendationRoutes,
  reportRoutes,
  policyRoutes,
  templateRoutes,
  groupRoutes,
  demandRoutes,
  slaRoutes,
  capacityRoutes,
  loanRoutes,
  mapRoutes,
  anomalyRoutes,
  auditRoutes,
  killSwitchRoutes,
  credentialRoutes,
  suspensionRoutes,
  statusRoutes,
  healthRoutes,
];

export async function createHttpApp(whole: AggregatorService, options: HttpAppOptions = {}): Promise<FastifyInstance> {
  const answerProblem = (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const problem = { ...problemOf(error), requestId: request.id };
    if (problem.status >= 500) options.onError?.(error, request.method, request.url, request.id);
    // The guard sets them too, but an address that cannot be read never gets that far.
    reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
    reply.code(problem.status).type('application/problem+json').send(JSON.stringify(problem));
  };
  const { access } = options;
  const service = access === undefined ? whole : scopedService(whole, currentPrincipal, access.options.tenantLabel);
  const app = fastify({
    ...(options.tls ? { https: { ...options.tls, minVersion: 'TLSv1.3' } } : {}),
    bodyLimit: BODY_BYTES_MAX,
    // Slow requests hold a socket: headers and body must be there in time.
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 256 },
    forceCloseConnections: true,
    genReqId: () => randomUUID(),
    frameworkErrors: answerProblem,
    ajv: { customOptions: { coerceTypes: 'array', removeAdditional: false, useDefaults: true } },
  });
  app.addSchema(ProblemSchema);
  const streams = new Set<ServerResponse>();
  const streaming = { streams, heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS };
  app.addContentTypeParser(['application/yaml', 'text/yaml', 'text/plain'], { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  );
  addGuard(app, options.hostNames ?? []);
  if (access !== undefined) addAccessGuard(app, access);
  app.setErrorHandler(answerProblem);
  app.setNotFoundHandler((request) => {
    throw new HeadroomError('NOT_FOUND', `there is no ${request.method} ${request.url.slice(0, 200)}; /docs lists what there is`);
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Headroom',
        version: service.version,
        description: 'Predictive resource allocation for fleets of KVM virtual machines.',
      },
    },
    refResolver: { buildLocalReference: (json, _baseUri, _fragment, i) => (typeof json.$id === 'string' ? json.$id : `def-${i}`) },
    transform: ({ schema, url, route }) => ({ schema: { ...schema, operationId: operationId(String(route.method), url) }, url }),
  });
  await app.register(async (scope) => {
    if (options.peers !== undefined) addPeers(scope, service, options.peers);
    // After the peers: what is answered elsewhere is remembered there.
    addIdempotency(scope, options.answers ?? memoryAnswers(() => service.nowMs()));
    for (const routes of [...SERVICE_ROUTES, notificationRoutes(streaming), eventRoutes(streaming)]) routes(scope, service);
    if (access !== undefined) for (const routes of [sessionRoutes, apiTokenRoutes, agentKeyRoutes]) routes(scope, access);
  });
  pages(app, service);
  const endStreams = (): void => {
    for (const stream of streams) stream.end();
  };
  access?.onEnd(endStreams);
  app.addHook('preClose', async () => endStreams());
  await app.ready();
  return app;
}

/** `GET /v1/vms/:id/series` → `getVmsIdSeries`: what clients made from the document call it. */
function operationId(method: string, url: string): string {
  const words = url.split(/[^a-zA-Z]+/).filter((word) => word !== '' && word !== 'v');
  return [method.toLowerCase(), ...words.map((word) => word[0]!.toUpperCase() + word.slice(1))].join('');
}

/** What is for people and scrapers rather than programs: not part of the OpenAPI document. */
function pages(app: FastifyInstance, service: AggregatorService): void {
  const hidden = { schema: { hide: true } };
  const forEverybody = { ...hidden, config: { role: 'everybody' } } as const;
  app.get('/metrics', hidden, async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metricsText(service)),
  );
  app.get('/openapi.json', forEverybody, () => app.swagger());
  app.get('/docs', forEverybody, (_request, reply) =>
    reply.type('text/html; charset=utf-8').send(docsPage(app.swagger() as unknown as OpenApiDocument)),
  );
  for (const [path, html] of guidePages())
    app.get(path, forEverybody, (_request, reply) => reply.type('text/html; charset=utf-8').send(html));
  for (const [path, { bytes, contentType, etag }] of loadAssets()) {
    app.get(path, forEverybody, (request, reply) => {
      reply.header('etag', etag).header('cache-control', 'no-cache');
      return request.headers['if-none-match'] === etag ? reply.code(304).send() : reply.type(contentType).send(bytes);
    });
  }
}
