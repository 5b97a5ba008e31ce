/**
 * One API for the hosts of all aggregators. Input: requests, the others' addresses; output: lists of hosts and VMs with those of the
 * others, and what is about a host or VM that is not here answered by whoever has it, reads and changes alike. An aggregator that does not
 * answer is left out, and named in a header: a part is better than nothing while one is down.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isHeadroomError } from '../../shared/errors.ts';
import { type AskPeer, PASSED_HEADER, type Passed, type PeerAnswer } from './peer-client.ts';
import { findVm } from './routes/route-options.ts';
import type { AggregatorService } from './service.ts';

export interface Peers {
  /** Origins of the others that live. */
  origins: () => readonly string[];
  ask: AskPeer;
}

/** Those that did not answer, or would not: the list is without theirs. */
export const MISSING_HEADER = 'x-headroom-missing';
const LISTS = new Set(['/v1/hosts', '/v1/vms']);
const PAGE_DEFAULT = 100;

interface Page {
  items: { id: string }[];
  cursor: string | null;
}

export function addPeers(app: FastifyInstance, service: AggregatorService, { origins, ask }: Peers): void {
  const others = (request: FastifyRequest): readonly string[] => (request.headers[PASSED_HEADER] === undefined ? origins() : []);

  app.addHook('preSerialization', async (request, reply, payload) => {
    if (request.method !== 'GET' || reply.statusCode !== 200 || !LISTS.has(request.routeOptions.url ?? '')) return payload;
    const asked = others(request);
    if (asked.length === 0) return payload;
    const answers = await Promise.allSettled(asked.map((origin) => ask(origin, passedOf(request))));
    const pages = [payload as Page];
    const missing: string[] = [];
    for (const [i, answer] of answers.entries()) {
      if (answer.status === 'fulfilled' && answer.value.status === 200) pages.push(JSON.parse(answer.value.body.toString()) as Page);
      else missing.push(asked[i]!);
    }
    if (missing.length > 0) reply.header(MISSING_HEADER, missing.join(', '));
    return merged(pages, (request.query as { limit?: number }).limit ?? PAGE_DEFAULT);
  });

  app.addHook('preHandler', async (request, reply) => {
    if (isHere(service, request)) return;
    for (const origin of others(request)) {
      const answer = await ask(origin, passedOf(request)).catch(() => null);
      if (answer !== null && answer.status !== 404) return answerWith(reply, answer);
    }
  });
}

/** What is about no single host or VM is everybody's own. */
function isHere(service: AggregatorService, { routeOptions, params }: FastifyRequest): boolean {
  const { id } = (params ?? {}) as { id?: string };
  const { url = '' } = routeOptions;
  if (id === undefined) return true;
  if (url.startsWith('/v1/hosts/')) return service.hosts().some((host) => host.id === id);
  if (!url.startsWith('/v1/vms/')) return true;
  try {
    findVm(service, id);
    return true;
  } catch (error) {
    // Several of that name: said here, at once.
    return !isHeadroomError(error, 'NOT_FOUND');
  }
}

function passedOf({ method, url, headers, body }: FastifyRequest): Passed {
  const text = body === undefined || body === null ? null : typeof body === 'string' ? body : JSON.stringify(body);
  return { method, path: url, headers, body: text };
}

function answerWith(reply: FastifyReply, { status, headers, body }: PeerAnswer): FastifyReply {
  return reply.code(status).headers(headers).send(body);
}

/** Each page has its first `limit` in order: so has the whole. A host on its way may be in two: it is shown once. */
function merged(pages: readonly Page[], limit: number): Page {
  const byId = new Map(pages.flatMap(({ items }) => items).map((item) => [item.id, item]));
  const items = [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const shown = items.slice(0, limit);
  const more = items.length > limit || pages.some(({ cursor }) => cursor !== null);
  return { items: shown, cursor: more ? (shown.at(-1)?.id ?? null) : null };
}
