/**
 * A small real OpenID provider on loopback: discovery, an authorisation page that lets everybody in at once, a token endpoint that
 * holds clients to PKCE, one use a code and the address it was asked for, and keys. Input: the client it knows; output: its
 * address, what it saw, and ways to misbehave.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

interface Asked {
  redirectUri: string;
  challenge: string;
  nonce: string;
}

export interface IdentityProviderOptions {
  clientId: string;
  clientSecret: string | null;
  claims: Record<string, unknown>;
}

export async function startIdentityProvider({ clientId, clientSecret, claims }: IdentityProviderOptions) {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] };
  const codes = new Map<string, Asked>();
  /** What it says instead of the truth, where a test wants it to. */
  const lies: { nonce?: string; audience?: string; issuer?: string; key?: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'] } = {};
  const refusals: string[] = [];
  let issuer = '';

  async function idToken(nonce: string): Promise<string> {
    return new SignJWT({ sub: 'u1', nonce: lies.nonce ?? nonce, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(lies.issuer ?? issuer)
      .setAudience(lies.audience ?? clientId)
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(lies.key ?? privateKey);
  }

  function authorise(query: URLSearchParams, response: ServerResponse): void {
    const code = createHash('sha256').update(String(Math.random())).digest('base64url');
    const [redirectUri, challenge, nonce] = ['redirect_uri', 'code_challenge', 'nonce'].map((name) => query.get(name) ?? '');
    codes.set(code, { redirectUri: redirectUri!, challenge: challenge!, nonce: nonce! });
    const back = new URL(redirectUri!);
    back.searchParams.set('code', code);
    back.searchParams.set('state', query.get('state') ?? '');
    response.writeHead(302, { location: back.href }).end();
  }

  async function token(request: IncomingMessage): Promise<object> {
    let body = '';
    for await (const chunk of request) body += chunk;
    const form = new URLSearchParams(body);
    const asked = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    const refuse = (error: string, why: string): object => {
      refusals.push(why);
      return { error };
    };
    const expected = clientSecret === null ? undefined : `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`;
    if (request.headers.authorization !== expected) return refuse('invalid_client', 'client');
    if (asked === undefined) return refuse('invalid_grant', 'code');
    if (asked.redirectUri !== form.get('redirect_uri')) return refuse('invalid_grant', 'redirect');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (challenge !== asked.challenge) return refuse('invalid_grant', 'verifier');
    return { access_token: 'a', token_type: 'Bearer', expires_in: 300, id_token: await idToken(asked.nonce) };
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, issuer);
    if (url.pathname === '/authorize') return authorise(url.searchParams, response);
    const documents: Record<string, object> = {
      '/keys': keys,
      '/.well-known/openid-configuration': {
        ...{ issuer, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token`, jwks_uri: `${issuer}/keys` },
        ...{ response_types_supported: ['code'], subject_types_supported: ['public'] },
        ...{ id_token_signing_alg_values_supported: ['ES256'], code_challenge_methods_supported: ['S256'] },
      },
    };
    const document = url.pathname === '/token' ? await token(request) : documents[url.pathname];
    const status = document === undefined ? 404 : 'error' in document ? 400 : 200;
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(document ?? {}));
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    keys,
    lies,
    refusals,
    /** As a browser at the provider's page: where it is sent back to. */
    async visit(url: string): Promise<URL> {
      const response = await fetch(url, { redirect: 'manual' });
      return new URL(response.headers.get('location')!);
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
