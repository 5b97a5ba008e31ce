/**
 * How an agent proves that it holds its key (Ed25519, RFC 8032): it signs who it says it is, the other end's nonce and what
 * only this connection has (RFC 9266, tls-exporter), so that a signature is worth nothing on any other connection. Input:
 * hello, challenge, binding, keys; output: a proof, or which of its keys hold. No clock, no files.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';
import type { FrameOf } from './protocol/frames.ts';

/** Keeps these signatures apart from any other use of a key. */
const DOMAIN = 'headroom agent proof 1';
/** What stands before the 32 bytes of an Ed25519 public key in its DER form (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

export interface AgentKey {
  privateKey: KeyObject;
  /** Base64url of 32 bytes. */
  publicKey: string;
}

export function newAgentKey(): AgentKey {
  return agentKey(generateKeyPairSync('ed25519').privateKey);
}

/** Throws when the text is no private key in PEM. */
export function readAgentKey(pem: string): AgentKey {
  return agentKey(createPrivateKey(pem));
}

function agentKey(privateKey: KeyObject): AgentKey {
  return { privateKey, publicKey: String(privateKey.export({ format: 'jwk' }).x) };
}

/** What people and logs call a key: half of the SHA-256 of its public part, in hexadecimal. */
export function keyIdOf(publicKey: string): string {
  return createHash('sha256').update(Buffer.from(publicKey, 'base64url')).digest('hex').slice(0, 32);
}

/** One connection's moment of proof. */
export interface Occasion {
  hello: FrameOf<'hello'>;
  nonce: string;
  /** What both ends of a TLS connection know and nobody else, base64url; empty within one machine, where there is no TLS. */
  binding: string;
}

function signedBytes({ hello, nonce, binding }: Occasion, publicKey: string, next: string | null): Buffer {
  const { role, host, vm, bootId } = hello;
  return Buffer.from(`${DOMAIN}\n${canonicalJson({ role, host, vm, bootId, nonce, binding, publicKey, next })}`);
}

/** `next`: the key that takes its place; it signs as well, so that nobody can hand over a key that is not theirs. */
export function makeProof(occasion: Occasion, key: AgentKey, next: AgentKey | null, token: string | null): FrameOf<'proof'> {
  const bytes = signedBytes(occasion, key.publicKey, next?.publicKey ?? null);
  const signed = ({ privateKey }: AgentKey): string => sign(null, bytes, privateKey).toString('base64url');
  return {
    type: 'proof',
    publicKey: key.publicKey,
    signature: signed(key),
    token,
    next: next === null ? null : { publicKey: next.publicKey, signature: signed(next) },
  };
}

/** True when each key that the proof names has signed this very occasion. */
export function proofHolds(occasion: Occasion, { publicKey, signature, next }: FrameOf<'proof'>): boolean {
  const bytes = signedBytes(occasion, publicKey, next?.publicKey ?? null);
  return signatureHolds(bytes, publicKey, signature) && (next === null || signatureHolds(bytes, next.publicKey, next.signature));
}

function signatureHolds(bytes: Buffer, publicKey: string, signature: string): boolean {
  try {
    const der = Buffer.concat([SPKI_PREFIX, Buffer.from(publicKey, 'base64url')]);
    return verify(null, bytes, createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(signature, 'base64url'));
  } catch {
    // Bytes that are no point on the curve: nobody's key.
    return false;
  }
}
