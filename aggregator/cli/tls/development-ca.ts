/**
 * A certificate authority for trying Headroom out and for fleets that have none: P-256 keys, a CA that may sign servers only,
 * and server certificates for given names and addresses. Input: names, how long they hold; output: PEM texts. The library is
 * loaded by this command alone.
 */
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { HeadroomError } from '../../../shared/errors.ts';

export interface PemPair {
  cert: string;
  /** PKCS #8. */
  key: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Clocks of hosts differ by minutes before they are set. */
const BEFORE_MS = 10 * 60_000;
/** A DNS name: labels of letters, digits and hyphens; a wildcard may stand first. */
const DNS_NAME = /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return `${PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function validity(nowMs: number, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(nowMs - BEFORE_MS), notAfter: new Date(nowMs + days * DAY_MS) };
}

export async function makeAuthority(nowMs: number, days: number): Promise<PemPair> {
  const keys = await newKeys();
  const cert = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=Headroom development CA',
    ...validity(nowMs, days),
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey, false),
    ],
  });
  return { cert: `${cert.toString('pem')}\n`, key: await pemOf(keys.privateKey) };
}

/** `names`: DNS names and IP addresses the server is reached by. Throws USAGE. */
export async function makeServerCertificate(authority: PemPair, names: readonly string[], nowMs: number, days: number): Promise<PemPair> {
  if (names.length === 0) throw new HeadroomError('USAGE', 'a server certificate needs at least one name or address');
  for (const name of names) {
    if (isIP(name) === 0 && !DNS_NAME.test(name)) throw new HeadroomError('USAGE', `"${name}" is neither a DNS name nor an IP address`);
  }
  const issuer = new X509Certificate(authority.cert);
  const der = PemConverter.decodeFirst(authority.key);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
  const keys = await newKeys();
  const cert = await X509CertificateGenerator.create({
    subject: `CN=${names[0]}`,
    issuer: issuer.subject,
    ...validity(nowMs, days),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value }))),
      await AuthorityKeyIdentifierExtension.create(issuer, false),
    ],
  });
  return { cert: `${cert.toString('pem')}\n`, key: await pemOf(keys.privateKey) };
}
