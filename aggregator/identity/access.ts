/**
 * Who asks, and how often they may. Input: what a request shows (a token, a session), the address it comes from; output: a
 * principal, or a refusal. Sessions of the console live in memory: a restart ends them.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import type { AgentRegistry } from './agent-registry.ts';
import type { ApiTokens } from './api-tokens.ts';
import type { Oidc } from './oidc.ts';
import type { OidcLogIn } from './oidc-log-in.ts';
import type { Principal } from './roles.ts';
import { idIn, makeSecret, matches } from './secrets.ts';
import type { SecurityLog } from './security-log.ts';

export interface AccessOptions {
  clock: Clock;
  /** `open`: everybody is taken for the administrator of this machine. */
  people: 'open' | 'tokens';
  tenantLabel: string;
  requestsPerSecond: number;
  tokens: ApiTokens;
  oidc: Oidc | null;
  /** Sends browsers to the identity provider; null = people bring tokens. */
  logIn: OidcLogIn | null;
  agents: AgentRegistry;
  security: SecurityLog;
}

interface Session {
  hash: string;
  principal: Principal;
  /** Still good, asked at each use: a token may have been revoked. */
  token: string;
  expiresAtMs: number;
}

/** Whoever can reach an aggregator that is open: it listens on this machine alone. */
export const LOCAL: Principal = { name: 'local', role: 'administrator', tenant: null, labels: {} };

const PREFIX = 'hrs';
const SESSION_MS = 12 * 3_600_000;
const SESSIONS_MAX = 10_000;
/** A person who mistypes; not a list of guesses. */
const FAILURES = { ratePerSecond: 0.1, burst: 10 };
/** Addresses and names remembered, the longest idle forgotten first. */
const BUCKETS_MAX = 10_000;
/** Seconds of requests that may come at once. */
const BURST_SECONDS = 4;

export class Access {
  readonly options: AccessOptions;
  readonly #sessions = new Map<string, Session>();
  readonly #requests = new Map<string, TokenBucket>();
  readonly #failures = new Map<string, TokenBucket>();
  readonly #ended = new Set<() => void>();

  constructor(options: AccessOptions) {
    this.options = options;
  }

  /** Takes what other aggregators have changed. Rejects when the ledger does not answer. */
  async refresh(): Promise<void> {
    await Promise.all([this.options.agents.refresh(), this.options.tokens.refresh()]);
  }

  get open(): boolean {
    return this.options.people === 'open';
  }

  /** Throws UNAUTHENTICATED, RATE_LIMITED, UNAVAILABLE. */
  async principalOf(shown: { bearer: string | null; session: string | null }, address: string): Promise<Principal> {
    if (this.open) return LOCAL;
    const principal = await this.#known(shown, address);
    if (principal === null) {
      if (shown.bearer === null && shown.session === null)
        throw new HeadroomError(
          'UNAUTHENTICATED',
          'show who you are: an API token as "authorization: Bearer …", or a session of the console',
        );
      return this.#failed(address, shown.bearer === null ? 'a session that is none' : 'a token that is none');
    }
    this.#limit(principal.name);
    return principal;
  }

  /** A session for whoever shows that token. Throws as `principalOf`. */
  async logIn(token: string, address: string): Promise<{ cookie: string; principal: Principal; expiresAtMs: number }> {
    if (this.open) throw new HeadroomError('CONFLICT', 'nobody needs to log in here');
    const found = await this.#ofToken(token, address);
    if (found === null) return this.#failed(address, 'a token that is none');
    const { wallMs } = this.options.clock;
    const expiresAtMs = Math.min(found.expiresAtMs, wallMs() + SESSION_MS);
    for (const [id, session] of this.#sessions) if (session.expiresAtMs <= wallMs()) this.#sessions.delete(id);
    if (this.#sessions.size >= SESSIONS_MAX) this.#sessions.delete(this.#sessions.keys().next().value!);
    const { id, token: cookie, hash } = makeSecret(PREFIX);
    this.#sessions.set(id, { hash, principal: found.principal, token, expiresAtMs });
    await this.options.security.note({ event: 'log-in', subject: found.principal.name, by: address, code: null, reason: 'console' });
    return { cookie, principal: found.principal, expiresAtMs };
  }

  /** Where to send a browser that wants in by the identity provider. Throws NOT_FOUND, RATE_LIMITED, UNAVAILABLE. */
  beginLogIn(address: string): Promise<{ url: string; kept: string }> {
    this.#mayTry(address);
    return this.#provider().begin();
  }

  /** A session for whoever the provider says is back. Throws as `logIn`. */
  async endLogIn(query: string, kept: string | null, address: string): ReturnType<Access['logIn']> {
    this.#mayTry(address);
    try {
      return await this.logIn(await this.#provider().end(query, kept), address);
    } catch (error) {
      if (!isHeadroomError(error, 'UNAUTHENTICATED')) throw error;
      return this.#failed(address, error.message);
    }
  }

  #provider(): OidcLogIn {
    const { logIn } = this.options;
    if (logIn === null || this.open) throw new HeadroomError('NOT_FOUND', 'nobody logs in by an identity provider here');
    return logIn;
  }

  logOut(cookie: string): void {
    const id = idIn(PREFIX, cookie);
    if (id !== null && this.#session(cookie) !== null) this.#sessions.delete(id);
    this.endStreams();
  }

  /** Streams go on for hours: when somebody's right ends all of them are cut, and who may comes back at once. */
  onEnd(end: () => void): void {
    this.#ended.add(end);
  }

  endStreams(): void {
    for (const end of this.#ended) end();
  }

  async #known({ bearer, session }: { bearer: string | null; session: string | null }, address: string): Promise<Principal | null> {
    if (bearer !== null) return (await this.#ofToken(bearer, address))?.principal ?? null;
    const kept = session === null ? null : this.#session(session);
    if (kept === null) return null;
    return (await this.#ofToken(kept.token, address)) === null ? null : kept.principal;
  }

  #session(cookie: string): Session | null {
    const id = idIn(PREFIX, cookie);
    const session = id === null ? undefined : this.#sessions.get(id);
    if (session === undefined || !matches(cookie, session.hash)) return null;
    return session.expiresAtMs > this.options.clock.wallMs() ? session : null;
  }

  async #ofToken(token: string, address: string): Promise<{ principal: Principal; expiresAtMs: number } | null> {
    const principal = this.options.tokens.principalOf(token);
    if (principal !== null) return { principal, expiresAtMs: Number.POSITIVE_INFINITY };
    // Signatures cost more to check than to make up.
    this.#mayTry(address);
    return (await this.options.oidc?.principalOf(token)) ?? null;
  }

  #mayTry(address: string): void {
    if (this.#bucket(this.#failures, address, FAILURES).available(this.#nowMs()) < 1)
      throw new HeadroomError('RATE_LIMITED', `too many tokens that are none from ${address}; wait a minute`);
  }

  #failed(address: string, what: string): never {
    this.#bucket(this.#failures, address, FAILURES).take(1, this.#nowMs());
    this.options.security.refuse({ event: 'request-refused', subject: address, by: address, code: 'UNAUTHENTICATED', reason: what });
    throw new HeadroomError('UNAUTHENTICATED', `${what}: unknown, revoked or expired`);
  }

  #limit(name: string): void {
    const { requestsPerSecond } = this.options;
    const options = { ratePerSecond: requestsPerSecond, burst: BURST_SECONDS * requestsPerSecond };
    const bucket = this.#bucket(this.#requests, name, options);
    if (bucket.available(this.#nowMs()) < 1)
      throw new HeadroomError('RATE_LIMITED', `${name} may ask ${requestsPerSecond} times a second; wait a second`);
    bucket.take(1, this.#nowMs());
  }

  #bucket(buckets: Map<string, TokenBucket>, name: string, options: { ratePerSecond: number; burst: number }): TokenBucket {
    const bucket = buckets.get(name) ?? new TokenBucket(options, this.#nowMs());
    buckets.delete(name);
    buckets.set(name, bucket);
    if (buckets.size > BUCKETS_MAX) buckets.delete(buckets.keys().next().value!);
    return bucket;
  }

  #nowMs(): number {
    return this.options.clock.monotonicMs();
  }
}
