/** GET /v1/vms/{id}/notifications: what the VM's owner was told, as a list or as server-sent events. */
import Type, { type Static } from 'typebox';
import { type Streams, streamTo } from '../event-stream.ts';
import { Notification } from '../schemas/fleet.ts';
import { answers, findVm, type Routes } from './route-options.ts';

const Params = Type.Object({ id: Type.String({ maxLength: 256, description: 'UUID, or the name where it is unique' }) });
const Query = Type.Object({
  format: Type.Optional(Type.Enum(['sse', 'json'] as const, { description: 'else by the Accept header: text/event-stream is a stream' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
});

/** Notifications remembered of a VM for a client that comes back. */
const REPLAY_MAX = 1000;

const EITHER = {
  description: 'The latest, oldest first; or a stream of those to come',
  content: {
    'application/json': { schema: Type.Object({ items: Type.Array(Notification) }) },
    'text/event-stream': { schema: Type.String({ description: 'id, event (its kind) and data (the notification as JSON)' }) },
  },
};

export function notificationRoutes(streams: Streams): Routes {
  return (app, service) => {
    app.get<{ Params: Static<typeof Params>; Querystring: Static<typeof Query> }>(
      '/v1/vms/:id/notifications',
      {
        exposeHeadRoute: false,
        schema: {
          summary: "What the VM's owner was told",
          tags: ['fleet'],
          params: Params,
          querystring: Query,
          response: { ...answers(Type.Any()), 200: EITHER },
        },
      },
      (request, reply) => {
        const { id: vm } = findVm(service, request.params.id);
        const { format, limit } = request.query;
        const stream = format === 'sse' || (format === undefined && /\btext\/event-stream\b/.test(request.headers.accept ?? ''));
        if (!stream) return { items: service.notifications.recent(vm, limit ?? 100) };
        const feed = {
          remembered: () => service.notifications.recent(vm, REPLAY_MAX),
          subscribe: (listener: Parameters<typeof service.notifications.subscribe>[1]) => service.notifications.subscribe(vm, listener),
        };
        return streamTo(streams, feed, request, reply);
      },
    );
  };
}
