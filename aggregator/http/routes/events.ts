/** GET /v1/events: what happens, as server-sent events (replay by Last-Event-ID), or the latest as JSON. */
import Type, { type Static } from 'typebox';
import { type Streams, streamTo } from '../event-stream.ts';
import { Event } from '../schemas/decisions.ts';
import type { FleetEvent } from '../service.ts';
import { answers, type Routes } from './route-options.ts';

const Query = Type.Object({
  format: Type.Optional(Type.Enum(['sse', 'json'] as const)),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
});

/** Events remembered for a client that comes back. */
const REPLAY_MAX = 1000;

const EITHER = {
  description: 'A stream, or with format=json a list, oldest first',
  content: {
    'application/json': { schema: Type.Object({ items: Type.Array(Event) }) },
    'text/event-stream': { schema: Type.String({ description: 'id, event (its kind) and data (the event as JSON)' }) },
  },
};

export function eventRoutes(streams: Streams): Routes {
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
        const feed = {
          remembered: () => service.events.recent(REPLAY_MAX),
          subscribe: (listener: (event: FleetEvent) => void) => service.events.subscribe(listener),
        };
        return streamTo(streams, feed, request, reply);
      },
    );
  };
}
