/**
 * Asks of every request who it is from and whether they may. Input: requests; output: 401, 403 or 429, or a request that goes on
 * as its principal. What is not said to be for everybody needs a role: reading a viewer's, changing an administrator's unless
 * the route says `operator`. Every change, and every refusal, is written to the ledger.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { type Access, LOCAL } from '../identity/access.ts';
import { hasRole, type Principal, type Role } from '../identity/roles.ts';
import { runAs } from './principal.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Least role that may use the route; `everybody`: without showing who they are. */
    role?: Role | 'everybody';
  }
  interface FastifyRequest {
    principal: Principal;
  }
}

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Over TLS the name itself makes browsers hold to Secure, this host and the whole path. */
const COOKIE = { https: '__Host-headroom', http: 'headroom' } as const;

export const sessionIn = (request: FastifyRequest): string | null => cookieIn(request, COOKIE[request.protocol]);

/** What a browser keeps while it is at the identity provider. */
export const underWayIn = (request: FastifyRequest): string | null => cookieIn(request, `${COOKIE[request.protocol]}-log-in`);

function cookieIn(request: FastifyRequest, name: string): string | null {
  const wanted = `${name}=`;
  const cookies = (request.headers.cookie ?? '').split(';').map((cookie) => cookie.trim());
  return cookies.find((cookie) => cookie.startsWith(wanted))?.slice(wanted.length) ?? null;
}

/** `value` empty: the browser forgets it. */
export function sessionCookie(request: FastifyRequest, value: string, maxAgeSeconds: number): string {
  const secure = request.protocol === 'https' ? '; Secure' : '';
  return `${COOKIE[request.protocol]}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure}`;
}

/** Lax, unlike a session: it must come along when the provider's page sends the browser back, and is of no other use. */
export function underWayCookie(request: FastifyRequest, value: string, maxAgeSeconds: number): string {
  const secure = request.protocol === 'https' ? '; Secure' : '';
  return `${COOKIE[request.protocol]}-log-in=${value}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAgeSeconds}${secure}`;
}

export function addAccessGuard(app: FastifyInstance, access: Access): void {
  app.decorateRequest('principal', null as never);
  app.addHook('onRequest', async (request, reply) => {
    request.principal = LOCAL;
    const { config, url } = request.routeOptions;
    // Without a route there is nothing to guard: it ends as 404.
    if (url === undefined || config.role === 'everybody') return;
    try {
      request.principal = await identify(access, request);
      authorize(request, config.role ?? (SAFE_METHODS.has(request.method) ? 'viewer' : 'administrator'));
    } catch (error) {
      refused(access, request, reply, error);
      throw error;
    }
  });
  // After the body was read, whose events would lose whom they are for.
  app.addHook('preHandler', (request, _reply, done) => runAs(request.principal, done));
  app.addHook('onResponse', async (request, reply) => {
    if (SAFE_METHODS.has(request.method) || reply.statusCode >= 400) return;
    const subject = `${request.method} ${request.routeOptions.url}`;
    const reason = `status ${reply.statusCode}`;
    await access.options.security.note({ event: 'request', subject, by: byOf(request), code: null, reason }).catch(() => undefined);
  });
}

export function byOf(request: FastifyRequest): string {
  return `${request.principal.name} (http ${request.ip})`;
}

async function identify(access: Access, request: FastifyRequest): Promise<Principal> {
  const bearer = /^Bearer ([\x21-\x7e]{1,8192})$/i.exec(request.headers.authorization ?? '')?.[1] ?? null;
  const session = bearer === null ? sessionIn(request) : null;
  // A browser sends cookies by itself: a change must come from a page of ours.
  if (session !== null && !SAFE_METHODS.has(request.method) && request.headers.origin === undefined)
    throw new HeadroomError('PERMISSION', 'changes by a session come from the console: there is no origin');
  return access.principalOf({ bearer, session }, request.ip);
}

function authorize({ principal }: FastifyRequest, role: Role): void {
  if (!hasRole(principal, role)) throw new HeadroomError('PERMISSION', `${principal.name} is ${principal.role}; that needs ${role}`);
}

function refused(access: Access, request: FastifyRequest, reply: FastifyReply, error: unknown): void {
  if (!isHeadroomError(error)) return;
  if (error.code === 'UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer realm="headroom"');
  if (error.code === 'RATE_LIMITED') reply.header('retry-after', '10');
  // Wrong tokens are told where they are found out.
  if (error.code === 'UNAUTHENTICATED') return;
  const reason = `${request.method} ${request.url}: ${error.message}`;
  access.options.security.refuse({
    event: 'request-refused',
    subject: request.principal.name,
    by: byOf(request),
    code: error.code,
    reason,
  });
}
