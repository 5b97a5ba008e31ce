/**
 * An Ed25519 key in OpenSSH's own words (PROTOCOL.key, RFC 4253 §5, sshd(8) AUTHORIZED_KEYS): the private key's file without a
 * passphrase, and the line that lets it in until a moment. Raw key bytes in, text out. Pure.
 */
const TYPE = 'ssh-ed25519';
const MAGIC = 'openssh-key-v1\0';
/** The cipher "none" pads to this. */
const BLOCK_BYTES = 8;
/** As ssh-keygen breaks its lines. */
const LINE_LETTERS = 70;

/** A string of the SSH wire: its length, then its bytes. */
function sshString(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function publicBlob(point: Uint8Array): Buffer {
  return Buffer.concat([sshString(TYPE), sshString(point)]);
}

/** `point`, `seed`: 32 bytes each (RFC 8032). `check`: 4 random bytes, by which a wrong passphrase would be noticed. */
export function openSshPrivateKey(point: Uint8Array, seed: Uint8Array, check: Uint8Array, comment: string): string {
  const secret = Buffer.concat([...[check, check, publicBlob(point)], sshString(Buffer.concat([seed, point])), sshString(comment)]);
  const missing = (BLOCK_BYTES - (secret.length % BLOCK_BYTES)) % BLOCK_BYTES;
  const padded = Buffer.concat([secret, Uint8Array.from({ length: missing }, (_, i) => i + 1)]);
  const one = Buffer.from([0, 0, 0, 1]);
  const file = Buffer.concat([
    ...[Buffer.from(MAGIC), sshString('none'), sshString('none'), sshString(''), one],
    ...[sshString(publicBlob(point)), sshString(padded)],
  ]);
  const lines = file.toString('base64').match(new RegExp(`.{1,${LINE_LETTERS}}`, 'g')) ?? [];
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n');
}

/** Ends by itself, in the guest's own time zone: releases of OpenSSH before 9.1 know no other. Only a shell: nothing is forwarded. */
export function authorizedKeysLine(point: Uint8Array, expiresAtMs: number, comment: string): string {
  const at = new Date(expiresAtMs);
  const digits = [at.getFullYear(), at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()];
  const time = digits.map((value) => String(value).padStart(2, '0')).join('');
  return `restrict,pty,expiry-time="${time}" ${TYPE} ${publicBlob(point).toString('base64')} ${comment}\n`;
}
