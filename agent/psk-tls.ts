/**
 * The wire between two hosts: TLS with a key both know, since what travels is guests' memory. Input: keys, an address; output: an
 * encrypted server or connection whose other side has proved that it has the key. ECDHE: who learns the key later cannot read what was
 * sent before.
 */
import { readFileSync, statSync } from 'node:fs';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { errorText, HeadroomError } from '../shared/errors.ts';

/** The one suite of OpenSSL that has a shared key, forward secrecy and authenticated encryption; TLS 1.3 has no such choice to make. */
const TLS = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-PSK-CHACHA20-POLY1305' } as const;
const KEY_HEX_MIN = 64;
const OTHERS_MAY_READ = 0o077;
const HANDSHAKE_MS = 5000;
/** Who has not proved itself yet costs a socket each. */
const CONNECTIONS_MAX = 16;

export interface Address {
  host: string;
  port: number;
}

/** `HOST:PORT` or `[IPv6]:PORT`. Throws USAGE. */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) throw new HeadroomError('USAGE', `"${text}" is no address; write HOST:PORT`);
  return { host, port: Number(port) };
}

export const addressText = ({ host, port }: Address): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

/** Throws CONFIG_INVALID when the key is short or others may read it. */
export function readKey(path: string): Buffer {
  let text: string;
  let mode: number;
  try {
    text = readFileSync(path, 'utf8').trim();
    ({ mode } = statSync(path));
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the key cannot be read: ${errorText(error)}`, { cause: error });
  }
  if ((mode & OTHERS_MAY_READ) !== 0) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `${path}: others than its owner may read it (mode ${(mode & 0o777).toString(8)}); chmod 600 it`,
    );
  }
  if (!/^(?:[0-9a-f]{2})+$/i.test(text) || text.length < KEY_HEX_MIN) {
    throw new HeadroomError(
      'CONFIG_INVALID',
      `${path} must hold at least ${KEY_HEX_MIN} hexadecimal digits, as \`openssl rand -hex 32\` makes`,
    );
  }
  return Buffer.from(text, 'hex');
}

/** `onPeer`: a connection that has the key of the name it gave itself; null = there is no such name. */
export function serveTls(keyOf: (name: string) => Buffer | null, onPeer: (socket: TLSSocket, name: string) => void): Server {
  const names = new WeakMap<TLSSocket, string>();
  const server = createServer({
    ...TLS,
    handshakeTimeout: HANDSHAKE_MS,
    pskCallback(socket, name) {
      const key = keyOf(name);
      if (key !== null) names.set(socket, name);
      return key;
    },
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.on('secureConnection', (socket) => {
    const name = names.get(socket);
    if (name === undefined) socket.destroy();
    else onPeer(socket, name);
  });
  // One that fails to prove itself is gone by itself.
  server.on('tlsClientError', () => undefined);
  return server;
}

/** Rejects with UNAVAILABLE when nobody answers there in time, or not with this key. */
export function connectTls({ host, port }: Address, key: Buffer, name: string, timeoutMs: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      ...TLS,
      host,
      port,
      pskCallback: () => ({ psk: key, identity: name }),
      // A shared key has no name on it: that the other side has it is the proof.
      checkServerIdentity: () => undefined,
    });
    const fail = (reason: string): void => {
      socket.destroy();
      reject(new HeadroomError('UNAVAILABLE', `nobody who has the key at ${host}:${port}: ${reason}`));
    };
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    socket.once('secureConnect', () => {
      clearTimeout(timer);
      socket.setNoDelay(true);
      resolve(socket);
    });
    socket.once('error', (error) => {
      clearTimeout(timer);
      fail(errorText(error));
    });
  });
}
