/**
 * Sizes that come of how a tenant's bytes are sealed. On their own: who only reads what a snapshot is made of loads no machine code, which
 * the agent as one file does not have beside it.
 */
export const KEY_BYTES = 32;
export const DIGEST_BYTES = 32;
export const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
export const SEAL_BYTES = NONCE_BYTES + TAG_BYTES;
