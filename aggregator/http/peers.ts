/**
 * One API for the hosts of all aggregators. Input: requests, the others' addresses; output: lists of hosts and VMs with those of the
 * others, and what is about a host or VM that is not here answered by whoever has it, reads and changes alike. An aggregator that does not
 * answer is left out, and named in a header: a part is better than nothing while one is down. Names of VMs are looked up at all: one
 * that two have is refused, and nothing is changed by a name while somebody who might have it too does not answer.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { type AskPeer, PASSED_HEADER, type Passed, type PeerAnswer } from './peer-client.ts';
import { type FleetRoutesOptions, fleetRoutes } from './routes/fleet.ts';
import { findVm } from './routes/route-options.ts';
import type { AggregatorService } from './service.ts';

export interface Peers {
  /** Origins of the others that live. */
  origins: () => readonly string[];
  ask: AskPeer;
  /** Of whoever holds the fleet, where that is another; null = it is us, or nobody is known to. */
  holder: () => string | null;
  /** For whoever holds it. */
  fleet?: FleetRoutesOptions;
}

/** Those that did not answer, or would not: the list is without theirs. */
export const MISSING_HEADER = 'x-headroom-missing';
const LISTS = new Set(['/v1/hosts', '/v1/vms']);
/** Groups and what they are made from are decided and kept by whoever holds the fleet. */
const FLEETS = /^\/v1\/(groups|templates)(\/|$)/;
const PAGE_DEFAULT = 100;

interface Page {
  items: { id: string }[];
  cursor: string | null;
}

export function addPeers(app: FastifyInstance, service: AggregatorService, { origins, ask, holder, fleet }: Peers): void {
  if (fleet !== undefined) fleetRoutes(app, fleet);
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
    const asked = others(request);
    if (asked.length === 0) return;
    const decider = FLEETS.test(request.routeOptions.url ?? '') ? holder() : null;
    if (decider !== null) {
      const answer = await ask(decider, passedOf(request)).catch((error: unknown) => {
        // What is on record is known here, too; what is to be done is that one's alone.
        if (request.method !== 'GET') throw error;
        return null;
      });
      if (answer !== null) return answerWith(reply, answer);
      reply.header(MISSING_HEADER, decider);
      return;
    }
    const name = vmNameOf(request);
    if (name !== null) return answerByName(service, { asked, ask }, { request, reply, name });
    if (isHere(service, request)) return;
    for (const origin of asked) {
      const answer = await ask(origin, passedOf(request)).catch(() => null);
      if (answer !== null && answer.status !== 404) return answerWith(reply, answer);
    }
  });
}

const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** Null: it is about no VM, or names it by its UUID, which no two have. */
function vmNameOf({ routeOptions, params }: FastifyRequest): string | null {
  const { id } = (params ?? {}) as { id?: string };
  return id !== undefined && (routeOptions.url ?? '').startsWith('/v1/vms/') && !UUID.test(id) ? id : null;
}

interface NamedRequest {
  request: FastifyRequest;
  reply: FastifyReply;
  name: string;
}

/** Undefined: it is here, or nowhere, and answered as if there were nobody else. Throws CONFLICT, UNAVAILABLE. */
async function answerByName(
  service: AggregatorService,
  { asked, ask }: { asked: readonly string[]; ask: AskPeer },
  { request, reply, name }: NamedRequest,
): Promise<FastifyReply | undefined> {
  const found = new Map(service.vms().flatMap((vm) => (vm.name === name ? [[vm.id as string, { host: vm.host as string, at: '' }]] : [])));
  const look = { ...passedOf(request), method: 'GET', path: `/v1/vms/${encodeURIComponent(name)}`, body: null };
  const answers = await Promise.allSettled(asked.map((origin) => ask(origin, look)));
  const missing: string[] = [];
  for (const [i, answer] of answers.entries()) {
    const at = asked[i]!;
    if (answer.status === 'rejected' || ![200, 404, 409].includes(answer.value.status)) missing.push(at);
    // Several of that name there alone: said in its words.
    else if (answer.value.status === 409) return answerWith(reply, answer.value);
    else if (answer.value.status === 200) {
      const { id, host } = JSON.parse(answer.value.body.toString()) as { id: string; host: string };
      // One that is on its way from there to here is one.
      if (!found.has(id)) found.set(id, { host, at });
    }
  }
  if (found.size > 1) {
    const each = [...found].map(([id, { host }]) => `${id} on ${host}`).join(', ');
    throw new HeadroomError('CONFLICT', `several VMs are called "${name}": ${each}; use the UUID`);
  }
  if (missing.length > 0) {
    const changes = request.method !== 'GET' && request.method !== 'HEAD';
    if (changes)
      throw new HeadroomError('UNAVAILABLE', `${missing.join(', ')} may have a VM "${name}" too and does not answer; use the UUID`);
    reply.header(MISSING_HEADER, missing.join(', '));
  }
  const [only] = found.values();
  return only === undefined || only.at === '' ? undefined : answerWith(reply, await ask(only.at, passedOf(request)));
}

/** By its UUID; what is about no single host or VM is everybody's own. */
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
