/**
 * API tokens of people and programs: made once, kept as hashes in the ledger store, valid until they expire or are revoked.
 * Input: what an administrator asks for, tokens that are shown; output: who that is.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import { SharedText } from '../store/shared-text.ts';
import type { Principal, Role } from './roles.ts';
import { idIn, makeSecret, matches } from './secrets.ts';
import type { SecurityLog } from './security-log.ts';

export interface ApiToken {
  id: string;
  name: string;
  role: Role;
  tenant: string | null;
  labels: Record<string, string>;
  by: string;
  madeAtMs: number;
  expiresAtMs: number | null;
}

interface KeptToken extends ApiToken {
  hash: string;
}

export interface TokenWish {
  name: string;
  role: Role;
  tenant: string | null;
  labels: Record<string, string>;
  /** null = it does not expire by itself. */
  validMs: number | null;
}

const BLOB = 'api-tokens';
const PREFIX = 'hra';
const TOKENS_MAX = 10_000;

export class ApiTokens {
  readonly #kept: SharedText;
  readonly #clock: Clock;
  readonly #security: SecurityLog;
  #tokens = new Map<string, KeptToken>();

  private constructor(ledger: LedgerStore, clock: Clock, security: SecurityLog) {
    this.#kept = new SharedText(ledger, BLOB);
    this.#clock = clock;
    this.#security = security;
  }

  static async load(ledger: LedgerStore, clock: Clock, security: SecurityLog): Promise<ApiTokens> {
    const tokens = new ApiTokens(ledger, clock, security);
    tokens.#take(await tokens.#kept.load());
    return tokens;
  }

  /** Takes what another aggregator has made or revoked. Rejects when the ledger does not answer. */
  async refresh(): Promise<void> {
    this.#take(await this.#kept.changed());
  }

  #take(text: string | null): void {
    if (text !== null) this.#tokens = new Map((JSON.parse(text) as KeptToken[]).map((token) => [token.id, token]));
  }

  get size(): number {
    return this.#tokens.size;
  }

  list(): ApiToken[] {
    return [...this.#tokens.values()].map(({ hash: _, ...told }) => told);
  }

  /** Null: it is not one of ours, was revoked or has expired. */
  principalOf(token: string): Principal | null {
    const id = idIn(PREFIX, token);
    const known = id === null ? undefined : this.#tokens.get(id);
    if (known === undefined || !matches(token, known.hash)) return null;
    if (known.expiresAtMs !== null && this.#clock.wallMs() >= known.expiresAtMs) return null;
    const { name, role, tenant, labels } = known;
    return { name: `token ${name}`, role, tenant, labels };
  }

  /** Answers the token, which is not kept. Throws CONFLICT. */
  async make(wish: TokenWish, by: string): Promise<ApiToken & { token: string }> {
    const { id, token, hash } = makeSecret(PREFIX);
    const told = { ...this.tryToMake(wish, by), id };
    this.#tokens.set(id, { ...told, hash });
    const scope = `${wish.role}${wish.tenant === null ? '' : `, tenant ${wish.tenant}`}${labelsText(wish.labels)}`;
    await this.#save({ event: 'api-token-made', subject: `token ${wish.name}`, by, reason: `${id}: ${scope}` });
    return { ...told, token };
  }

  /** What would be made now. Throws what making it would. */
  tryToMake(wish: TokenWish, by: string): ApiToken {
    const nowMs = Math.round(this.#clock.wallMs());
    for (const [id, { expiresAtMs }] of this.#tokens) if (expiresAtMs !== null && expiresAtMs <= nowMs) this.#tokens.delete(id);
    if (this.#tokens.size >= TOKENS_MAX) throw new HeadroomError('CONFLICT', `there are ${TOKENS_MAX} tokens already; revoke some`);
    if (this.list().some(({ name }) => name === wish.name))
      throw new HeadroomError('CONFLICT', `there is a token called "${wish.name}"; revoke it, or choose another name`);
    const { validMs, ...given } = wish;
    return { id: 'none', ...given, by, madeAtMs: nowMs, expiresAtMs: validMs === null ? null : nowMs + validMs };
  }

  /** By id or name. Throws NOT_FOUND. */
  async revoke(idOrName: string, by: string, dryRun = false): Promise<ApiToken> {
    const found = [...this.#tokens.values()].find(({ id, name }) => id === idOrName || name === idOrName);
    if (found === undefined) throw new HeadroomError('NOT_FOUND', `there is no token "${idOrName.slice(0, 100)}"`);
    const { hash: _, ...told } = found;
    if (dryRun) return told;
    this.#tokens.delete(found.id);
    await this.#save({ event: 'api-token-revoked', subject: `token ${found.name}`, by, reason: found.id });
    return told;
  }

  async #save(told: { event: string; subject: string; by: string; reason: string }): Promise<void> {
    const text = JSON.stringify([...this.#tokens.values()]);
    await Promise.all([this.#kept.save(text), this.#security.note({ ...told, code: null })]);
  }
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([label, value]) => `, ${label}=${value}`)
    .join('');
}
