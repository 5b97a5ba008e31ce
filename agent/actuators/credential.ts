/**
 * Ways in that a guest's administrator may allow for one account: an SSH key that ends by itself, beside what the account has
 * (the least harm), or a new password. Input: the account and its method; output: a CredentialMaker. Root is never given one:
 * name an account of its own, which may use sudo.
 */
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompactEncrypt, importJWK } from 'jose';
import { HeadroomError } from '../../shared/errors.ts';
import type { PublicKey } from '../../shared/protocol/frames.ts';
import { authorizedKeysLine, openSshPrivateKey } from '../core/ssh-key.ts';
import type { CredentialMaker, CredentialMethod, NewSecret } from '../loops/credential-desk.ts';
import { type ProgramRun, runProgram } from './run-program.ts';

export interface CredentialOptions {
  account: string;
  method: CredentialMethod;
  /** A key ends after this long. */
  keyMs: number;
  wallMs: () => number;
  /** Where /etc/passwd is: `/` in a guest. */
  root: string;
  run?: (run: ProgramRun) => Promise<void>;
}

interface Account {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** Letters and digits that no font makes look alike; 24 of them are some 140 bits. */
const PASSWORD_LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';
const PASSWORD_LENGTH = 24;
/** Hashing a password takes a second on a slow machine; a guest that swaps takes a hundred times as long. */
const PROGRAM_MS_MAX = 300_000;
/** The mark of lines of ours: those of before go when a new one comes. */
const KEY_MARK = 'headroom-temporary';
/** Run as the account itself: what it may not write, we do not write in its place. Other lines stay as they are. */
const ADD_KEY = `umask 077
mkdir -p "$1/.ssh" && cd "$1/.ssh" || exit 1
{ if [ -e authorized_keys ]; then grep -v '${KEY_MARK}$' authorized_keys || [ $? -eq 1 ] || exit 1; fi; cat; } > authorized_keys.headroom &&
mv authorized_keys.headroom authorized_keys`;

/** The algorithm of key agreement or transport, per kind of key (RFC 7518 §4, RFC 8037 §3.2). */
const ALGORITHMS = { OKP: 'ECDH-ES', RSA: 'RSA-OAEP-256' } as const;

/** JWE, compact: AES-256-GCM under a key that only the owner of the public key can find. */
export async function sealTo(secret: string, publicKey: PublicKey): Promise<string> {
  const alg = ALGORITHMS[publicKey.kty];
  const key = await importJWK({ ...publicKey, alg }, alg);
  return new CompactEncrypt(new TextEncoder().encode(secret)).setProtectedHeader({ alg, enc: 'A256GCM' }).encrypt(key);
}

export function createCredentialMaker(options: CredentialOptions): CredentialMaker {
  const { account: name, method, run = runProgram } = options;
  return {
    account: name,
    method,
    seal: sealTo,
    newSecret: async () => (method === 'password' ? password(accountOf(options), run) : sshKey(accountOf(options), options, run)),
  };
}

/** Throws ENVIRONMENT where there is no such account, or none that may be given a login. */
function accountOf({ account, root }: CredentialOptions): Account {
  const path = join(root, 'etc/passwd');
  const line = readFileSync(path, 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${account}:`));
  const [, , uid, gid, , home] = line?.split(':') ?? [];
  if (uid === undefined || gid === undefined || home === undefined)
    throw new HeadroomError('ENVIRONMENT', `${path} has no account "${account}": make it, or name another with --credential-account`);
  if (Number(uid) === 0)
    throw new HeadroomError('ENVIRONMENT', `account "${account}" is root: name an account of its own with --credential-account`);
  return { name: account, uid: Number(uid), gid: Number(gid), home };
}

function password({ name }: Account, run: (run: ProgramRun) => Promise<void>): NewSecret {
  const text = Array.from({ length: PASSWORD_LENGTH }, () => PASSWORD_LETTERS[randomInt(PASSWORD_LETTERS.length)]).join('');
  return {
    text,
    expiresAtMs: null,
    install: () => run({ program: 'chpasswd', input: `${name}:${text}\n`, timeoutMs: PROGRAM_MS_MAX }),
  };
}

function sshKey(
  { name, uid, gid, home }: Account,
  { wallMs, keyMs, root }: CredentialOptions,
  run: (run: ProgramRun) => Promise<void>,
): NewSecret {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const expiresAtMs = wallMs() + keyMs;
  const line = authorizedKeysLine(point, expiresAtMs, `${name} ${KEY_MARK}`);
  return {
    text: openSshPrivateKey(point, seed, randomBytes(4), `${name} (${KEY_MARK})`),
    expiresAtMs,
    install: () =>
      run({ program: '/bin/sh', args: ['-c', ADD_KEY, 'sh', join(root, home)], input: line, as: { uid, gid }, timeoutMs: PROGRAM_MS_MAX }),
  };
}
