/**
 * How the command line shows who it is, and whom it trusts: a token from a file, certificates from a file. Input: options and
 * environment; output: a `fetch` that brings the token along. A token never leaves this machine without TLS.
 */
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { HeadroomError } from '../../shared/errors.ts';
import { isLoopbackName } from '../../shared/net/local-address.ts';
import type { CliIo } from './command.ts';

type Values = Readonly<Record<string, string | boolean | undefined>>;

function fileOf(io: CliIo, values: Values, option: string, variable: string): string | null {
  const file = values[option] ?? io.env[variable];
  return typeof file === 'string' && file !== '' ? file : null;
}

/** Rejects with NOT_FOUND or USAGE when a file cannot be read. */
export async function fetchAs(io: CliIo, values: Values): Promise<typeof fetch> {
  const caFile = fileOf(io, values, 'ca-file', 'HEADROOM_CA_FILE');
  if (caFile !== null) setDefaultCACertificates([...getCACertificates('default'), await io.read(caFile)]);
  const tokenFile = fileOf(io, values, 'token-file', 'HEADROOM_TOKEN_FILE');
  if (tokenFile === null) return io.fetch;
  const token = (await io.read(tokenFile)).trim();
  if (!/^[\x21-\x7e]+$/.test(token)) throw new HeadroomError('USAGE', `${tokenFile} holds no token: one line is needed`);
  return ((address: string, init: RequestInit = {}) => {
    const { protocol, hostname, origin } = new URL(address);
    if (protocol !== 'https:' && !isLoopbackName(hostname))
      throw new HeadroomError('USAGE', `a token would leave this machine unprotected to ${origin}; use https://`);
    return io.fetch(address, { ...init, headers: { ...(init.headers as Record<string, string>), authorization: `Bearer ${token}` } });
  }) as typeof fetch;
}
