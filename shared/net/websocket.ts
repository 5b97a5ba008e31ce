/**
 * Transports over WebSocket (`ws`): one binary message a frame, no compression (its state costs 300 KiB a connection and
 * telemetry is binary already), size capped by the library before the message is put together. Client: a URL in, a
 * Connect out. Server: an address in, Transports out. Browsers are refused: whatever sends an Origin is not an agent.
 */
import { lstat, unlink } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { errorText, HeadroomError } from '../errors.ts';
import { ChannelBase, connectionError, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './channel-base.ts';
import { isLoopback, isLoopbackName } from './local-address.ts';
import type { Connect, Transport } from './transport.ts';

/** The path agents connect to: leaves room for other services on the same address. */
export const AGENT_PATH = '/v1/agents';
const CONNECT_TIMEOUT_MS = 10_000;
const CLOSE_CODE_NORMAL = 1000;
const CLOSE_CODE_UNSUPPORTED = 1003;
const CLOSE_CODE_TOO_LARGE = 1009;
const CLOSE_REASON_BYTES_MAX = 123;
/** Connections one server takes: a fleet of ten thousand hosts and half as many again coming back; a descriptor leak would not fit. */
const CONNECTIONS_MAX = 15_000;

class WebSocketTransport extends ChannelBase implements Transport {
  readonly peer: string;
  readonly local: boolean;
  readonly lossy = false;
  readonly binding: string;
  readonly #socket: WebSocket;
  #above = false;

  constructor(socket: WebSocket, peer: string, stream: Socket | undefined) {
    super();
    this.peer = peer;
    this.local = isLoopback(stream?.remoteAddress);
    this.binding = bindingOf(stream);
    this.#socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary));
    socket.on('error', (error) => this.ended(receiveError(peer, error)));
    socket.on('close', (code, reason) => this.ended(closeError(peer, code, reason.toString())));
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  send(message: Uint8Array): boolean {
    if (this.closed || this.#socket.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(message, { binary: true }, () => this.#sent());
    if (this.bufferedBytes > HIGH_WATER_BYTES) this.#above = true;
    return !this.#above;
  }

  override pause(): void {
    super.pause();
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.pause();
  }

  override resume(): void {
    super.resume();
    if (!this.paused && this.#socket.readyState === WebSocket.OPEN) this.#socket.resume();
  }

  close(reason: string): void {
    if (this.closed) return;
    // A paused socket would never see the peer's answer to the close.
    if (this.#socket.isPaused) this.#socket.resume();
    this.#socket.close(CLOSE_CODE_NORMAL, shortReason(reason));
    this.ended();
  }

  #sent(): void {
    if (!this.#above || this.bufferedBytes > LOW_WATER_BYTES) return;
    this.#above = false;
    this.drained();
  }

  #message(data: Buffer, isBinary: boolean): void {
    if (this.closed) return;
    if (!isBinary) {
      this.#socket.close(CLOSE_CODE_UNSUPPORTED, 'binary messages only');
      this.ended(new HeadroomError('FRAME_MALFORMED', `${this.peer} sent a text message; frames are binary`));
    } else if (!this.received(data)) {
      this.#socket.terminate();
      this.ended(new HeadroomError('FRAME_TOO_LARGE', `${this.peer} sent more messages than were read`));
    }
  }
}

function shortReason(reason: string): string {
  const bytes = Buffer.from(reason);
  // Cutting inside a character leaves a replacement character, which is longer: keep a margin.
  return bytes.length <= CLOSE_REASON_BYTES_MAX ? reason : bytes.subarray(0, CLOSE_REASON_BYTES_MAX - 4).toString();
}

function receiveError(peer: string, error: Error & { code?: string }): HeadroomError {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') {
    return new HeadroomError('FRAME_TOO_LARGE', `${peer} sent a message above the frame limit`, { cause: error });
  }
  if (error.code?.startsWith('WS_ERR_')) return new HeadroomError('FRAME_MALFORMED', `${peer}: ${error.message}`, { cause: error });
  return connectionError(peer, error);
}

function closeError(peer: string, code: number, reason: string): HeadroomError | undefined {
  if (code === CLOSE_CODE_NORMAL) return undefined;
  if (code === CLOSE_CODE_TOO_LARGE) return new HeadroomError('FRAME_TOO_LARGE', `${peer} refused a message above its frame limit`);
  return new HeadroomError('CONNECTION_CLOSED', `${peer} closed the connection (code ${code}${reason ? `, ${reason}` : ''})`);
}

/** RFC 9266: the same bytes at both ends of a TLS connection, others at any other's. */
function bindingOf(stream: Socket | undefined): string {
  if (!(stream instanceof TLSSocket)) return '';
  return stream.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64url');
}

/**
 * Masks keep scripts in browsers from forging bytes that a proxy would take for HTTP (RFC 6455, section 10.3). An agent
 * runs no stranger's script, and both ends save a pass over every byte (a twelfth of the wire's CPU).
 */
function zeroMask(mask: Buffer): void {
  mask.fill(0);
}

/**
 * `url`: wss://HOST:PORT/v1/agents, or within this machine ws://127.0.0.1:PORT/v1/agents or ws+unix:///PATH:/v1/agents. `ca`:
 * certificates (PEM) trusted instead of the system's. Throws CONFIG_INVALID for an address beyond this machine without TLS; the
 * promise rejects with CONNECTION_CLOSED or TIMEOUT.
 */
export function webSocketConnect(url: string, maxBytes: number, ca?: string, timeoutMs = CONNECT_TIMEOUT_MS): Connect {
  const { protocol, hostname } = new URL(url);
  if (protocol === 'ws:' && !isLoopbackName(hostname)) {
    throw new HeadroomError('CONFIG_INVALID', `${url} leaves this machine without TLS; use wss:// there`);
  }
  return () =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(url, {
        perMessageDeflate: false,
        maxPayload: maxBytes,
        handshakeTimeout: timeoutMs,
        generateMask: zeroMask,
        minVersion: 'TLSv1.3',
        ...(ca === undefined ? {} : { ca }),
      });
      const failed = (error: Error): void => {
        const timedOut = error.message.includes('handshake has timed out');
        reject(timedOut ? new HeadroomError('TIMEOUT', `${url}: ${error.message}`, { cause: error }) : connectionError(url, error));
      };
      socket.once('error', failed);
      socket.once('open', () => {
        socket.off('error', failed);
        resolve(new WebSocketTransport(socket, `ws ${url}`, (socket as unknown as { _socket?: Socket })._socket));
      });
    });
}

export interface WebSocketListen {
  /** A Unix socket's path; else host and port. */
  path?: string;
  host?: string;
  /** 0 picks a free one. */
  port?: number;
  /** Certificate and key, PEM. */
  tls?: { cert: string; key: string };
  maxBytes: number;
}

export interface TransportServer {
  /** Where it listens: `ws://127.0.0.1:PORT/v1/agents` or `ws+unix:PATH:/v1/agents`. */
  readonly url: string;
  readonly connections: number;
  /** Stops listening and cuts what is still open. */
  close(): Promise<void>;
}

/** Takes connections of agents off an HTTP server that also serves other things. */
export interface WebSocketUpgrades {
  /** For the server's `upgrade` event. */
  upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void;
  readonly connections: number;
  /** Cuts what is still open. */
  close(): void;
}

/** `place` names the address in logs where a peer has none (a Unix socket). */
export function webSocketUpgrades(maxBytes: number, onTransport: (transport: Transport) => void, place = 'local'): WebSocketUpgrades {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: maxBytes });
  return {
    upgrade(request, socket, head) {
      const refusal = refuseUpgrade(request, server.clients.size);
      if (refusal) {
        socket.end(`HTTP/1.1 ${refusal}\r\nconnection: close\r\n\r\n`);
        return;
      }
      server.handleUpgrade(request, socket, head, (client) => {
        const address = socket.remoteAddress;
        const peer = address ? `ws ${address}:${socket.remotePort}` : `ws ${place}`;
        onTransport(new WebSocketTransport(client, peer, socket));
      });
    },
    get connections() {
      return server.clients.size;
    },
    close() {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}

/** Rejects with UNAVAILABLE when the address cannot be listened on. */
export async function serveWebSocket(listen: WebSocketListen, onTransport: (transport: Transport) => void): Promise<TransportServer> {
  const answer: RequestListener = (_request, response) => {
    response.writeHead(426, { 'content-type': 'text/plain' }).end('Headroom agents connect here by WebSocket.\n');
  };
  const http = listen.tls ? createTlsServer({ ...listen.tls, minVersion: 'TLSv1.3' }, answer) : createServer(answer);
  const upgrades = webSocketUpgrades(listen.maxBytes, onTransport, listen.path);
  http.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => upgrades.upgrade(request, socket, head));
  await startListening(http, listen);
  const bound = http.address();
  const url = typeof bound === 'string' ? `ws+unix:${bound}:${AGENT_PATH}` : urlOf(bound as AddressInfo, listen.tls ? 'wss' : 'ws');
  return {
    url,
    get connections() {
      return upgrades.connections;
    },
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
        upgrades.close();
      }),
  };
}

function refuseUpgrade(request: IncomingMessage, clients: number): string | null {
  // A browser always sends Origin on a WebSocket; a page must not reach an agent port on the reader's own machine.
  if (request.headers.origin !== undefined) return '403 Forbidden';
  if (request.url !== AGENT_PATH) return '404 Not Found';
  return clients >= CONNECTIONS_MAX ? '503 Service Unavailable' : null;
}

function urlOf(bound: AddressInfo, scheme: string): string {
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return `${scheme}://${host}:${bound.port}${AGENT_PATH}`;
}

async function startListening(http: Server, listen: WebSocketListen): Promise<void> {
  try {
    await tryListen(http, listen);
  } catch (error) {
    if (listen.path === undefined || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || !(await isLeftover(listen.path))) {
      throw cannotListen(listen, error);
    }
    // A socket file nobody answers on was left by a process that was killed.
    await unlink(listen.path);
    await tryListen(http, listen).catch((again) => Promise.reject(cannotListen(listen, again)));
  }
}

function tryListen(http: Server, listen: WebSocketListen): Promise<void> {
  return new Promise((resolve, reject) => {
    http.once('error', reject);
    http.once('listening', () => {
      http.off('error', reject);
      resolve();
    });
    if (listen.path !== undefined) http.listen(listen.path);
    else http.listen(listen.port ?? 0, listen.host ?? '127.0.0.1');
  });
}

/** A socket on which nobody answers; never a file of another kind. */
async function isLeftover(path: string): Promise<boolean> {
  const isSocket = await lstat(path).then(
    (stat) => stat.isSocket(),
    () => false,
  );
  if (!isSocket) return false;
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('error', () => resolve(true));
    probe.once('connect', () => {
      probe.destroy();
      resolve(false);
    });
  });
}

function cannotListen(listen: WebSocketListen, error: unknown): HeadroomError {
  const place = listen.path ?? `${listen.host ?? '127.0.0.1'}:${listen.port ?? 0}`;
  return new HeadroomError('UNAVAILABLE', `cannot listen on ${place}: ${errorText(error)}; is another aggregator running?`, {
    cause: error,
  });
}
