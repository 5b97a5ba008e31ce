/**
 * Server-sent events: what was missed, what happens, and a sign of life. Input: a request, a feed; output: a stream. A client
 * that does not read is cut off: its buffer is bounded, and it can come back with the last id it saw.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { HeadroomError } from '../../shared/errors.ts';

export interface Streams {
  streams: Set<ServerResponse>;
  heartbeatMs: number;
}

export interface Streamed {
  id: number;
  kind: string;
}

export interface Feed<T extends Streamed> {
  /** Those still remembered, in any order. */
  remembered: () => readonly T[];
  subscribe: (listener: (item: T) => void) => () => void;
}

/** Streams open at once: each costs a socket and a listener. */
const STREAMS_MAX = 200;
/** Unread bytes after which a client is cut off: some thousand events. */
const CLIENT_BYTES_MAX = 1024 * 1024;

export function streamTo<T extends Streamed>(
  { streams, heartbeatMs }: Streams,
  feed: Feed<T>,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
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
  const send = (item: T): void => {
    raw.write(`id: ${item.id}\nevent: ${item.kind}\ndata: ${JSON.stringify(item)}\n\n`);
    if (raw.writableLength > CLIENT_BYTES_MAX) raw.destroy();
  };
  for (const item of missed(feed, request.headers['last-event-id'])) send(item);
  const unsubscribe = feed.subscribe(send);
  const heartbeat = setInterval(() => raw.write(': still here\n\n'), heartbeatMs);
  raw.on('close', () => {
    unsubscribe();
    clearInterval(heartbeat);
    streams.delete(raw);
  });
  return reply;
}

function missed<T extends Streamed>(feed: Feed<T>, lastId: string | string[] | undefined): readonly T[] {
  const since = Number(lastId);
  if (lastId === undefined || !Number.isSafeInteger(since)) return [];
  const remembered = feed.remembered().toSorted((a, b) => a.id - b.id);
  // Ids may begin anew when the aggregator restarts: whoever saw a higher one has seen none of these.
  return since > (remembered.at(-1)?.id ?? 0) ? remembered : remembered.filter(({ id }) => id > since);
}
