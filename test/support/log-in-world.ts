/**
 * The HTTP application with a real identity provider that people come by. Input: a folder for its files, the address of the console,
 * the client's secret (null: a client without one); output: the provider and the world of `accessWorld`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { OidcConfig } from '../../aggregator/access-config.ts';
import { openOidc } from '../../aggregator/identity/oidc.ts';
import { OidcLogIn } from '../../aggregator/identity/oidc-log-in.ts';
import { accessWorld } from './access-world.ts';
import { startIdentityProvider } from './identity-provider.ts';

export const CLIENT_SECRET = 'onlyTheTwoKnow';

export async function logInWorld(directory: string, consoleUrl: string, clientSecret: string | null = CLIENT_SECRET) {
  const claims = { email: 'alice@example.com', groups: ['sre'] };
  const provider = await startIdentityProvider({ clientId: 'headroom', clientSecret, claims });
  const keysFile = join(directory, 'keys.json');
  writeFileSync(keysFile, JSON.stringify(provider.keys));
  const clientSecretFile = join(directory, 'secret');
  writeFileSync(clientSecretFile, `${CLIENT_SECRET}\n`);
  const logIn = { consoleUrl, ...(clientSecret === null ? {} : { clientSecretFile }) };
  const config: OidcConfig = {
    ...{ issuer: provider.issuer, audience: 'headroom', keysFile, rolesClaim: 'groups', roles: { sre: 'operator' } },
    logIn,
  };
  return { provider, ...(await accessWorld({ oidc: openOidc(config), logIn: new OidcLogIn(config, logIn) })) };
}
