/**
 * Secrets that this aggregator hands out: enrolment tokens, API tokens, sessions. They are random, shown once, and kept as
 * SHA-256 only (256 bits of chance need no slow hash). A prefix says what one is for, so that scanners and people see it.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';

const SECRET_BYTES = 32;
/** Enough that no two of an aggregator's are alike; says nothing of the secret. */
const ID_BYTES = 6;

export interface MadeSecret {
  id: string;
  /** To be handed over, once. */
  token: string;
  /** To be kept. */
  hash: string;
}

export function makeSecret(prefix: string): MadeSecret {
  const id = randomBytes(ID_BYTES).toString('hex');
  const token = `${prefix}_${id}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { id, token, hash: hashOf(token) };
}

/** The id in a token of this prefix; null = it is none. */
export function idIn(prefix: string, token: string): string | null {
  return new RegExp(`^${prefix}_([0-9a-f]{${2 * ID_BYTES}})_[A-Za-z0-9_-]{43}$`).exec(token)?.[1] ?? null;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/** In a time that tells nothing of where they differ. */
export function matches(token: string, hash: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(token), 'hex'), Buffer.from(hash, 'hex'));
}
