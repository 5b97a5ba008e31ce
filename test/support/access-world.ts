/** The HTTP application over a made fleet with real access control: tokens, roles, sessions, an identity provider, a ledger. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { OidcConfig } from '../../aggregator/access-config.ts';
import { createHttpApp } from '../../aggregator/http/app.ts';
import { Access, type AccessOptions } from '../../aggregator/identity/access.ts';
import { AgentRegistry } from '../../aggregator/identity/agent-registry.ts';
import { ApiTokens, type TokenWish } from '../../aggregator/identity/api-tokens.ts';
import { openOidc } from '../../aggregator/identity/oidc.ts';
import { SecurityLog } from '../../aggregator/identity/security-log.ts';
import { createLogger } from '../../shared/log.ts';
import { fakeService } from './fake-service.ts';
import { movableClock } from './identity-world.ts';

export async function accessWorld(
  over: Partial<Pick<AccessOptions, 'people' | 'requestsPerSecond' | 'oidc' | 'logIn' | 'tenantLabel'>> = {},
) {
  const service = await fakeService();
  const clock = movableClock();
  const { ledger } = service;
  const security = new SecurityLog(
    ledger,
    clock,
    createLogger(() => undefined, clock, 'error'),
  );
  const evicted: string[] = [];
  const agents = await AgentRegistry.load({
    ...{ ledger, clock, security, always: true, keyMsMax: 1e12 },
    evict: (agent) => evicted.push(agent),
  });
  const tokens = await ApiTokens.load(ledger, clock, security);
  const access = new Access({
    ...{ clock, people: 'tokens', tenantLabel: 'team', requestsPerSecond: 1000, tokens, oidc: null, logIn: null, agents, security },
    ...over,
  });
  const app = await createHttpApp(service, { access });
  const token = async (wish: Partial<TokenWish> & { name: string }): Promise<string> =>
    (await tokens.make({ role: 'viewer', tenant: null, labels: {}, validMs: null, ...wish }, 'test')).token;
  const ask = (
    method: 'GET' | 'PUT' | 'POST' | 'DELETE',
    url: string,
    { bearer, payload, headers }: { bearer?: string; payload?: object | string; headers?: Record<string, string> } = {},
  ) =>
    app.inject({
      ...{ method, url },
      headers: { host: 'localhost', ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }), ...headers },
      ...(payload === undefined ? {} : { payload }),
    });
  const audit = async () => {
    const entries = await ledger.entries({ limit: 1000, kind: 'security' });
    return entries.flatMap(({ body }) => (body.kind === 'security' ? [body] : []));
  };
  return { service, clock, ledger, security, agents, tokens, access, app, token, ask, audit, evicted };
}

/** An identity provider's keys, as a file, and tokens signed with them. */
export async function identityProvider(directory: string, write: (file: string, text: string) => void, over: Partial<OidcConfig> = {}) {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const keysFile = `${directory}/keys.json`;
  write(keysFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }] }));
  const config: OidcConfig = {
    issuer: 'https://id.example',
    audience: 'headroom',
    keysFile,
    rolesClaim: 'groups',
    tenantClaim: 'org',
    roles: { sre: 'operator', platform: 'administrator', everyone: 'viewer' },
    fleetWide: ['platform'],
    ...over,
  };
  const sign = (claims: Record<string, unknown>, { issuer = config.issuer, audience = config.audience, expires = '5m' } = {}) =>
    new SignJWT({ sub: 'u1', email: 'alice@example.com', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k1' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime(expires)
      .sign(privateKey);
  return { oidc: openOidc(config), sign };
}
