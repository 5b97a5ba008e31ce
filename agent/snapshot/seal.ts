/**
 * A tenant's key at work: digests that mean nothing without it, and bytes compressed and encrypted with it. Pure but for the
 * nonces. Digests are BLAKE3 keyed with a key derived from the tenant's, so that equal memory of two tenants has unequal names
 * and nobody can ask the store whether a tenant holds a known page; encryption is AES-256-GCM, bound to the digest, so that one
 * record cannot stand in for another. Whoever destroys the key has destroyed what was sealed with it.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { Blake3Hasher } from '@napi-rs/blake-hash';
import { NONCE_BYTES, SEAL_BYTES } from './sealed-sizes.ts';

const CIPHER = 'aes-256-gcm';
/** The fastest level: a suspend waits for it, and guest memory gains little from more (ratio 1.70 at this one). */
const ZSTD_LEVEL = { [constants.ZSTD_c_compressionLevel]: 1 };
/** What comes out at once: a whole chunk, where the default of 16 KiB takes twice the CPU time for five pieces (measured). */
const OUTPUT_BYTES = 128 * 1024;
const PLAIN = 0;
const COMPRESSED = 1;

export interface Seal {
  digest(...parts: Uint8Array[]): Buffer;
  /** Nonce, tag, then the encrypted bytes; `name` is what the answer can be opened by. */
  seal(name: Uint8Array, bytes: Buffer): Buffer;
  /** Null: not what was sealed under this name with this key. `bytesMax` guards against a bomb. */
  open(name: Uint8Array, sealed: Buffer, bytesMax: number): Buffer | null;
}

export function createSeal(tenantKey: Buffer): Seal {
  const digestKey = Blake3Hasher.deriveKey('headroom snapshot digests 1', tenantKey);
  // Made once: from bytes each cipher would make it anew.
  const cipherKey = createSecretKey(Blake3Hasher.deriveKey('headroom snapshot records 1', tenantKey));
  return {
    digest(...parts) {
      const hasher = Blake3Hasher.newKeyed(digestKey);
      for (const part of parts) hasher.update(part);
      return hasher.digestBuffer();
    },
    seal(name, bytes) {
      const compressed = zstdCompressSync(bytes, { params: ZSTD_LEVEL, chunkSize: OUTPUT_BYTES });
      const smaller = compressed.length < bytes.length;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, cipherKey, nonce).setAAD(name);
      const head = cipher.update(Buffer.of(smaller ? COMPRESSED : PLAIN));
      const body = cipher.update(smaller ? compressed : bytes);
      cipher.final();
      return Buffer.concat([nonce, cipher.getAuthTag(), head, body]);
    },
    open(name, sealed, bytesMax) {
      if (sealed.length <= SEAL_BYTES) return null;
      const decipher = createDecipheriv(CIPHER, cipherKey, sealed.subarray(0, NONCE_BYTES)).setAAD(name);
      decipher.setAuthTag(sealed.subarray(NONCE_BYTES, SEAL_BYTES));
      try {
        const plain = decipher.update(sealed.subarray(SEAL_BYTES));
        decipher.final();
        const bytes = plain.subarray(1);
        // One more than what comes out, so that it is done in one piece; what it is given beyond that is held as long as the answer is.
        const chunkSize = Math.min(OUTPUT_BYTES, bytesMax + 1);
        return plain[0] === COMPRESSED ? zstdDecompressSync(bytes, { maxOutputLength: bytesMax, chunkSize }) : bytes;
      } catch {
        return null;
      }
    },
  };
}
