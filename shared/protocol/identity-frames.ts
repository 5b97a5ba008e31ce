/**
 * Frames by which an agent proves who it is, between hello and welcome: the aggregator asks, the agent signs what only this
 * connection has. Schemas are the single source of types; the bytes signed are in shared/identity.ts.
 */
import * as Type from 'typebox';

/** Base64url of 32 bytes: an Ed25519 public key, a nonce. */
const bytes32 = Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' });
/** Base64url of 64 bytes: an Ed25519 signature. */
const signature = Type.String({ pattern: '^[A-Za-z0-9_-]{86}$' });

/** Aggregator → agent: prove that you hold the key you are known by. */
export const ChallengeFrame = Type.Object({
  type: Type.Literal('challenge'),
  nonce: bytes32,
  /** Bring a new key along: the old one is too old, or an operator asked for it. */
  rotate: Type.Boolean(),
});

/** Agent → aggregator. */
export const ProofFrame = Type.Object({
  type: Type.Literal('proof'),
  publicKey: bytes32,
  signature,
  /** Enrols the key; only from agents that were never welcomed with it. */
  token: Type.Union([Type.String({ maxLength: 128 }), Type.Null()]),
  /** Takes the key's place once it is accepted. */
  next: Type.Union([Type.Object({ publicKey: bytes32, signature }), Type.Null()]),
});
