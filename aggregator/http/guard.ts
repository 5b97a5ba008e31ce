/**
 * Who may speak to this API before there are identities: names it answers to (against DNS rebinding), pages it lets write
 * (same origin only), and the headers that keep browsers within bounds. Input: a request; output: refusal or headers.
 */
import type { FastifyInstance } from 'fastify';
import { HeadroomError } from '../../shared/errors.ts';

const LOOPBACK_NAMES = new Set(['localhost', '127.0.0.1', '[::1]']);
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
};

/** Host header without the port. */
function nameOf(host: string): string {
  return host.replace(/:\d+$/, '').toLowerCase();
}

/** `hostNames`: further names this API is reached by, e.g. behind a proxy. */
export function addGuard(app: FastifyInstance, hostNames: readonly string[]): void {
  const names = new Set([...LOOPBACK_NAMES, ...hostNames.map((name) => name.toLowerCase())]);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
    const host = request.headers.host ?? '';
    if (!names.has(nameOf(host))) {
      throw new HeadroomError('PERMISSION', `this API does not answer to the name "${host}"; add it to the configured host names`);
    }
    const origin = request.headers.origin;
    if (SAFE_METHODS.has(request.method) || origin === undefined) return;
    if (!sameOrigin(origin, host)) throw new HeadroomError('PERMISSION', `pages of ${origin} may not change anything here`);
  });
}

function sameOrigin(origin: string, host: string): boolean {
  try {
    return new URL(origin).host === host.toLowerCase();
  } catch {
    return false;
  }
}
