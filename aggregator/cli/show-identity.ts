/**
 * How the command line shows who it is, and whom it trusts: a token, certificates from a file. Input: a profile; output: a `fetch` that
 * brings the token along. A token never leaves this machine without TLS.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { HeadroomError } from '../../shared/errors.ts';
import { isLoopbackName } from '../../shared/net/local-address.ts';
import type { CliIo } from './command.ts';
import type { Profile } from './profiles.ts';

/** Throws USAGE for what is no token; `from` says where it was found. */
export function tokenIn(text: string, from: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new HeadroomError('USAGE', `${from} holds no token: one line is needed`);
  return token;
}

/** Rejects with NOT_FOUND or USAGE when a file cannot be read. */
export async function fetchAs(io: CliIo, { caFile, tokenFile, token: kept }: Profile): Promise<typeof fetch> {
  if (caFile !== undefined) setDefaultCACertificates([...getCACertificates('default'), await io.read(caFile)]);
  if (tokenFile === undefined && kept === undefined) return io.fetch;
  const token = tokenFile === undefined ? tokenIn(kept!, io.settings.path) : tokenIn(await io.read(tokenFile), tokenFile);
  return ((address: string, init: RequestInit = {}) => {
    const { protocol, hostname, origin } = new URL(address);
    if (protocol !== 'https:' && !isLoopbackName(hostname))
      throw new HeadroomError('USAGE', `a token would leave this machine unprotected to ${origin}; use https://`);
    return io.fetch(address, { ...init, headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` } });
  }) as typeof fetch;
}
