/**
 * GET /v1/events: what happens, as server-sent events (replay by Last-Event-ID), or the latest as JSON. A client that does
 * not read is cut off: its buffer is bounded, and it can come back with the last id it saw.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { HeadroomError } from '../../../shared/errors.ts';
import { Event } from '../schemas/decisions.ts';
import type { AggregatorService, FleetEvent } from '../service.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  format: Type.Optional(Type.Enum(['sse', 'json'] as const)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
});

/** Streams open at once: each costs a socket and a listener. */
const STREAMS_MAX = 200;
/** Unread bytes after which a client is cut off: some thousand events. */
const CLIENT_BYTES_MAX = 1024 * 1024;
/** Events remembered for a client that comes back. */
const REPLAY_MAX = 1000;

const EITHER = {
  description: 'A stream, or with format=json a list, oldest first',
  content: {
    'application/json': { schema: Type.Object({ items: Type.Array(Event) }) },
    'text/event-stream': { schema: Type.String({ description: 'id, event (its kind) and data (the event as JSON)' }) },
  },
};

export function eventRoutes(streams: Set<ServerResponse>, heartbeatMs: number): Routes {
  return (app, service) => {
    app.get<{ Querystring: Static<typeof Query> }>(
      '/v1/events',
      {
        // A stream has no end that a HEAD could wait for.
        exposeHeadRoute: false,
        schema: {
          summary: 'What happens: server-sent events, or the latest with format=json',
          tags: ['events'],
          querystring: Query,
          response: { ...answers(Type.Any()), 200: EITHER },
        },
      },
      (request, reply) => {
        if (request.query.format === 'json') return { items: service.events.recent(request.query.limit ?? 100) };
        return stream(service, { streams, heartbeatMs }, request, reply);
      },
    );
  };
}

interface Streams {
  streams: Set<ServerResponse>;
  heartbeatMs: number;
}

function stream(service: AggregatorService, { streams, heartbeatMs }: Streams, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (streams.size >= STREAMS_MAX) throw new HeadroomError('UNAVAILABLE', `${STREAMS_MAX} event streams are open already; try again later`);
  reply.hijack();
  const { raw } = reply;
  const headers = Object.fromEntries(Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
  raw.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  streams.add(raw);
  raw.write('retry: 2000\n\n');
  const send = (event: FleetEvent): void => {
    raw.write(`id: ${event.id}\nevent: ${event.kind}\ndata: ${JSON.stringify(event)}\n\n`);
    if (raw.writableLength > CLIENT_BYTES_MAX) raw.destroy();
  };
  for (const event of missed(service, request.headers['last-event-id'])) send(event);
  const unsubscribe = service.events.subscribe(send);
  const heartbeat = setInterval(() => raw.write(': still here\n\n'), heartbeatMs);
  raw.on('close', () => {
    unsubscribe();
    clearInterval(heartbeat);
    streams.delete(raw);
  });
  return reply;
}

function missed(service: AggregatorService, lastId: string | string[] | undefined): FleetEvent[] {
  const since = Number(lastId);
  if (lastId === undefined || !Number.isSafeInteger(since)) return [];
  const remembered = service.events.recent(REPLAY_MAX).toSorted((a, b) => a.id - b.id);
  // Ids begin anew when the aggregator restarts: whoever saw a higher one has seen none of these.
  return since > (remembered.at(-1)?.id ?? 0) ? remembered : remembered.filter(({ id }) => id > since);
}
