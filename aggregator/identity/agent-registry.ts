/**
 * Which key each agent is known by. Enrolment takes a single-use token that expires and is bound to one host or VM; after that
 * every connection proves possession of the key. Input: hellos, proofs, operators' wishes; output: who may come in, and who
 * must leave at once. Kept in the ledger store: keys in the clear (they are public), tokens as hashes.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import { keyIdOf, type Occasion, proofHolds } from '../../shared/identity.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { AgentIdentities } from '../ingest/agent-identities.ts';
import { agentOf, type PeerKey } from '../ingest/peer-state.ts';
import type { LedgerStore } from '../store/ledger-store.ts';
import { SharedText } from '../store/shared-text.ts';
import { idIn, makeSecret, matches } from './secrets.ts';
import type { SecurityLog } from './security-log.ts';

export interface EnrolledKey {
  keyId: string;
  publicKey: string;
  agent: PeerKey;
  sinceMs: number;
  /** An operator wants another one at the next connection. */
  rotate: boolean;
  revokedAtMs: number | null;
}

export interface EnrolmentToken {
  id: string;
  hash: string;
  agent: PeerKey;
  by: string;
  expiresAtMs: number;
  usedAtMs: number | null;
}

export interface AgentRegistryOptions {
  ledger: LedgerStore;
  clock: Clock;
  security: SecurityLog;
  /** Must agents on this machine prove who they are, too? Those who are enrolled, or have a token waiting, always must. */
  always: boolean;
  /** A key older than this is replaced at its next connection. */
  keyMsMax: number;
  /** The agent's connections end now. */
  evict: (agent: PeerKey, error: HeadroomError) => void;
}

const BLOB = 'agent-identities';
const PREFIX = 'hre';
export const TOKEN_MS_DEFAULT = 3_600_000;
export const TOKEN_MS_MAX = 30 * 86_400_000;
/** Tokens and revoked keys kept for the list; the ledger keeps all. */
const OLD_KEPT = 1000;
const TOKENS_OPEN_MAX = 10_000;

export class AgentRegistry implements AgentIdentities {
  readonly #options: AgentRegistryOptions;
  /** By public key, revoked ones too: a revoked key never comes back. */
  readonly #keys = new Map<string, EnrolledKey>();
  readonly #tokens = new Map<string, EnrolmentToken>();
  /** Agents with a key in force. */
  readonly #enrolled = new Map<PeerKey, EnrolledKey>();

  readonly #kept: SharedText;
  /** One look for all who come with keys that are not known here. */
  #looking: Promise<void> | null = null;

  private constructor(options: AgentRegistryOptions) {
    this.#options = options;
    this.#kept = new SharedText(options.ledger, BLOB);
  }

  static async load(options: AgentRegistryOptions): Promise<AgentRegistry> {
    const registry = new AgentRegistry(options);
    registry.#take(await registry.#kept.load());
    return registry;
  }

  /** Takes what another aggregator has enrolled or revoked; whose key is no longer in force must leave. Rejects when the ledger does not answer. */
  async refresh(): Promise<void> {
    const text = await this.#kept.changed();
    if (text === null) return;
    const before = [...this.#enrolled.values()];
    for (const each of [this.#keys, this.#tokens, this.#enrolled]) each.clear();
    this.#take(text);
    for (const key of before) if (this.#enrolled.get(key.agent)?.keyId !== key.keyId) this.#options.evict(key.agent, revoked(key));
  }

  #take(text: string | null): void {
    if (text === null) return;
    const { keys, tokens } = JSON.parse(text) as { keys: EnrolledKey[]; tokens: EnrolmentToken[] };
    for (const key of keys) this.#put(key);
    for (const token of tokens) this.#tokens.set(token.id, token);
  }

  required(hello: FrameOf<'hello'>, local: boolean): boolean {
    const agent = agentOf(hello);
    return !local || this.#options.always || this.#enrolled.has(agent) || this.#isExpected(agent);
  }

  wantsRotation(hello: FrameOf<'hello'>): boolean {
    const key = this.#enrolled.get(agentOf(hello));
    return key !== undefined && this.#isDue(key);
  }

  async prove(occasion: Occasion, proof: FrameOf<'proof'>): Promise<string> {
    const agent = agentOf(occasion.hello);
    if (!proofHolds(occasion, proof)) throw refused(`the proof of ${agent} does not hold for this connection`);
    const known = this.#keys.get(proof.publicKey);
    if (known?.agent !== undefined && known.agent !== agent) throw refused(`that key is ${known.agent}'s, not ${agent}'s`);
    const keyId = await this.#accept(agent, known, proof);
    // While it was written down it may have been revoked.
    if (this.#enrolled.get(agent)?.keyId !== keyId) throw refused(`key ${keyId} of ${agent} is revoked`);
    return keyId;
  }

  async #accept(agent: PeerKey, known: EnrolledKey | undefined, { publicKey, token, next }: FrameOf<'proof'>): Promise<string> {
    const successor = next === null ? undefined : this.#keys.get(next.publicKey);
    // The welcome that said so was lost: the agent brings both keys again.
    if (successor?.agent === agent && successor.revokedAtMs === null && known !== undefined) return successor.keyId;
    if (known === undefined) return this.#enrolOrFind(agent, publicKey, token);
    if (known.revokedAtMs !== null) throw refused(`key ${known.keyId} of ${agent} is revoked; enrol it anew with a token`);
    if (next === null || !this.#isDue(known)) return known.keyId;
    if (successor !== undefined) throw refused(`the next key of ${agent} was used before`);
    return this.#rotate(known, next.publicKey);
  }

  #isDue(key: EnrolledKey): boolean {
    return key.rotate || this.#nowMs() - key.sinceMs > this.#options.keyMsMax;
  }

  /** Another aggregator may have made the token, or have enrolled the key, a moment ago. */
  async #enrolOrFind(agent: PeerKey, publicKey: string, token: string | null): Promise<string> {
    this.#looking ??= this.refresh()
      .catch(() => undefined)
      .finally(() => {
        this.#looking = null;
      });
    await this.#looking;
    const found = this.#keys.get(publicKey);
    return found?.agent === agent && found.revokedAtMs === null ? found.keyId : this.#enrol(agent, publicKey, token);
  }

  async #enrol(agent: PeerKey, publicKey: string, token: string | null): Promise<string> {
    if (token === null) throw refused(`${agent} is not enrolled; make a token for it: headroom agent token`);
    const id = idIn(PREFIX, token);
    const known = id === null ? undefined : this.#tokens.get(id);
    if (known === undefined || !matches(token, known.hash)) throw refused(`the enrolment token of ${agent} is not one of ours`);
    if (known.agent !== agent) throw refused(`the enrolment token is for ${known.agent}, not for ${agent}`);
    if (known.usedAtMs !== null) throw refused(`the enrolment token ${id} of ${agent} was used before`);
    const nowMs = this.#nowMs();
    if (nowMs >= known.expiresAtMs) throw refused(`the enrolment token ${id} of ${agent} has expired`);
    // At once, so that a second one who waits for the disk too finds it used.
    known.usedAtMs = nowMs;
    const before = this.#enrolled.get(agent);
    const keyId = keyIdOf(publicKey);
    if (before !== undefined) {
      before.revokedAtMs = nowMs;
      this.#options.evict(agent, revoked(before));
    }
    this.#put({ keyId, publicKey, agent, sinceMs: nowMs, rotate: false, revokedAtMs: null });
    const reason = `key ${keyId} by token ${id}${before === undefined ? '' : `, in the place of ${before.keyId}`}`;
    await this.#save({ event: 'agent-enrolled', subject: agent, by: known.by, reason });
    return keyId;
  }

  async #rotate(old: EnrolledKey, publicKey: string): Promise<string> {
    const nowMs = this.#nowMs();
    const keyId = keyIdOf(publicKey);
    old.revokedAtMs = nowMs;
    this.#put({ keyId, publicKey, agent: old.agent, sinceMs: nowMs, rotate: false, revokedAtMs: null });
    await this.#save({
      event: 'agent-key-rotated',
      subject: old.agent,
      by: old.agent,
      reason: `key ${keyId} in the place of ${old.keyId}`,
    });
    return keyId;
  }

  /** Answers the token, which is not kept. Throws USAGE. */
  async issueToken(agent: PeerKey, validMs: number, by: string): Promise<{ token: string; id: string; expiresAtMs: number }> {
    const expiresAtMs = this.tryToken(validMs);
    const { id, token, hash } = makeSecret(PREFIX);
    this.#tokens.set(id, { id, hash, agent, by, expiresAtMs, usedAtMs: null });
    await this.#save({
      event: 'enrolment-token-made',
      subject: agent,
      by,
      reason: `token ${id}, until ${new Date(expiresAtMs).toISOString()}`,
    });
    return { token, id, expiresAtMs };
  }

  /** Until when a token would be valid that is made now. Throws what making it would. */
  tryToken(validMs: number): number {
    if (!(validMs >= 1000 && validMs <= TOKEN_MS_MAX))
      throw new HeadroomError('USAGE', `a token is valid from 1 s to ${TOKEN_MS_MAX} ms, not ${validMs}`);
    const nowMs = this.#nowMs();
    const open = [...this.#tokens.values()].filter(({ usedAtMs, expiresAtMs }) => usedAtMs === null && expiresAtMs > nowMs);
    if (open.length >= TOKENS_OPEN_MAX) throw new HeadroomError('CONFLICT', `${TOKENS_OPEN_MAX} tokens wait to be used already`);
    return nowMs + validMs;
  }

  /** In force first; without hashes. */
  list(): { keys: EnrolledKey[]; tokens: Omit<EnrolmentToken, 'hash'>[] } {
    const keys = [...this.#keys.values()].sort((a, b) => Number(a.revokedAtMs !== null) - Number(b.revokedAtMs !== null));
    return { keys, tokens: [...this.#tokens.values()].map(({ hash: _, ...told }) => told) };
  }

  /** Ends its connections at once. Throws NOT_FOUND. `dryRun` here and below: nothing but that. */
  async revoke(agent: PeerKey, by: string, reason: string, dryRun = false): Promise<EnrolledKey> {
    const key = this.#inForce(agent);
    if (dryRun) return key;
    key.revokedAtMs = this.#nowMs();
    this.#enrolled.delete(agent);
    this.#options.evict(agent, revoked(key));
    await this.#save({ event: 'agent-key-revoked', subject: agent, by, reason: `key ${key.keyId}: ${reason}` });
    return key;
  }

  /** The agent connects anew and brings a new key along. Throws NOT_FOUND. */
  async rotate(agent: PeerKey, by: string, dryRun = false): Promise<EnrolledKey> {
    const key = this.#inForce(agent);
    if (dryRun) return key;
    key.rotate = true;
    await this.#save({ event: 'agent-key-to-rotate', subject: agent, by, reason: `key ${key.keyId}` });
    this.#options.evict(agent, new HeadroomError('CONFLICT', 'an operator asks for a new key: connect again'));
    return key;
  }

  /** A token waits for it: whoever comes under its name should bring that. */
  #isExpected(agent: PeerKey): boolean {
    const nowMs = this.#nowMs();
    for (const token of this.#tokens.values())
      if (token.agent === agent && token.usedAtMs === null && token.expiresAtMs > nowMs) return true;
    return false;
  }

  #inForce(agent: PeerKey): EnrolledKey {
    const key = this.#enrolled.get(agent);
    if (key === undefined) throw new HeadroomError('NOT_FOUND', `${agent} has no key in force; headroom agent keys lists those that have`);
    return key;
  }

  #put(key: EnrolledKey): void {
    this.#keys.set(key.publicKey, key);
    if (key.revokedAtMs === null) this.#enrolled.set(key.agent, key);
  }

  #nowMs(): number {
    return Math.round(this.#options.clock.wallMs());
  }

  async #save(told: { event: string; subject: string; by: string; reason: string }): Promise<void> {
    const nowMs = this.#nowMs();
    const spent = [...this.#tokens.values()].filter(({ usedAtMs, expiresAtMs }) => usedAtMs !== null || expiresAtMs <= nowMs);
    for (const { id } of spent.slice(0, Math.max(0, spent.length - OLD_KEPT))) this.#tokens.delete(id);
    const text = JSON.stringify({ keys: [...this.#keys.values()], tokens: [...this.#tokens.values()] });
    await Promise.all([this.#kept.save(text), this.#options.security.note({ ...told, code: null })]);
  }
}

function refused(why: string): HeadroomError {
  return new HeadroomError('HANDSHAKE_REFUSED', why);
}

function revoked({ keyId, agent }: EnrolledKey): HeadroomError {
  return new HeadroomError('PERMISSION', `key ${keyId} of ${agent} was revoked`);
}
