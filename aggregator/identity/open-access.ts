/**
 * Puts together who may reach the aggregator: agents' keys, people's tokens, the identity provider, certificates. Input: the
 * configuration, the ledger store; output: those parts. Where nobody could log in yet, the first administrator's token is
 * written to a file of its own beside the data, for root alone.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { Logger } from '../../shared/log.ts';
import type { AccessConfig } from '../access-config.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import { Access } from './access.ts';
import { AgentRegistry, type AgentRegistryOptions } from './agent-registry.ts';
import { ApiTokens } from './api-tokens.ts';
import { openOidc } from './oidc.ts';
import { OidcLogIn } from './oidc-log-in.ts';
import { SecurityLog } from './security-log.ts';

export const FIRST_TOKEN_FILE = 'administrator-token';

export interface OpenAccessOptions {
  config: AccessConfig;
  dataDir: string;
  ledger: LedgerStore;
  clock: Clock;
  log: Logger;
  evict: AgentRegistryOptions['evict'];
}

/** Rejects with CONFIG_INVALID or ENVIRONMENT. */
export async function openAccess({ config, dataDir, ledger, clock, log, evict }: OpenAccessOptions): Promise<Access> {
  const security = new SecurityLog(ledger, clock, log);
  const agents = await AgentRegistry.load({
    ...{ ledger, clock, security, evict },
    always: config.agents === 'always',
    keyMsMax: config.agentKeyMs,
  });
  const tokens = await ApiTokens.load(ledger, clock, security);
  const oidc = config.oidc === null ? null : openOidc(config.oidc);
  const { people, tenantLabel, requestsPerSecond } = config;
  const logIn = config.oidc?.logIn === undefined ? null : new OidcLogIn(config.oidc, config.oidc.logIn);
  if (people === 'tokens' && tokens.size === 0 && oidc === null) await makeFirstToken(tokens, dataDir, log);
  return new Access({ clock, people, tenantLabel, requestsPerSecond, tokens, oidc, logIn, agents, security });
}

async function makeFirstToken(tokens: ApiTokens, dataDir: string, log: Logger): Promise<void> {
  const file = join(dataDir, FIRST_TOKEN_FILE);
  if (existsSync(file))
    throw new HeadroomError('ENVIRONMENT', `${file} is there, but no token is known any more; take it away to have one made`);
  const wish = { name: 'first-administrator', role: 'administrator', tenant: null, labels: {}, validMs: null } as const;
  const { token } = await tokens.make(wish, 'the first start');
  try {
    writeFileSync(file, `${token}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `${file} cannot be written: ${errorText(error)}`, { cause: error });
  }
  log.info("the first administrator's token is in a file; make others with it and revoke it", { file });
}

/** Certificate and key as text. Throws CONFIG_INVALID. */
export function readTls({ tls }: AccessConfig): { cert: string; key: string } | undefined {
  if (tls === null) return undefined;
  try {
    return { cert: readFileSync(tls.certFile, 'utf8'), key: readFileSync(tls.keyFile, 'utf8') };
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the certificate or its key cannot be read: ${errorText(error)}`, { cause: error });
  }
}
