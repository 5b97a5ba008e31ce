/**
 * The ends at which applications of this machine hand over metrics: a StatsD socket (UDP, or a Unix socket with lines) and
 * HTTP requests to local endpoints. Input: addresses; output: text. Loopback only, small, and closed again on stop.
 */
import { createSocket } from 'node:dgram';
import { rmSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { HeadroomError } from '../../shared/errors.ts';

/** Bytes of one answer; Prometheus' own client libraries stay below a tenth. */
const ANSWER_BYTES_MAX = 1024 * 1024;
const ANSWER_MS_MAX = 5000;
/** Applications connected to the Unix socket at once, and bytes of a line that has not ended. */
const CONNECTIONS_MAX = 64;
const LINE_BYTES_MAX = 8192;
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|localhost|\[?::1\]?)$/;

export interface Listener {
  /** `host:port` as bound, or the path. */
  readonly address: string;
  close(): Promise<void>;
}

/** `where` is a path that begins with `/`, or `host:port` on loopback. Rejects with CONFIG_INVALID or the system's error. */
export function listenStatsd(where: string, take: (text: string) => void): Promise<Listener> {
  return where.startsWith('/') ? listenUnix(where, take) : listenUdp(where, take);
}

function listenUdp(where: string, take: (text: string) => void): Promise<Listener> {
  const match = /^(.+):(\d{1,5})$/.exec(where);
  if (!match || !LOOPBACK.test(match[1]!)) {
    throw new HeadroomError('CONFIG_INVALID', `statsd = "${where}": give HOST:PORT on loopback (127.0.0.1:8125), or a path`);
  }
  const host = match[1]!.replaceAll(/[[\]]/g, '');
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message) => take(message.toString('latin1')));
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(Number(match[2]), host, () => {
      socket.off('error', reject);
      socket.on('error', () => {});
      const { address, port } = socket.address();
      resolve({ address: `${address}:${port}`, close: () => new Promise((closed) => socket.close(() => closed())) });
    });
  });
}

function listenUnix(path: string, take: (text: string) => void): Promise<Listener> {
  // Left by a process that was killed: nobody listens there any more, or `listen` would say so on the other's behalf.
  rmSync(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    readLines(socket, take);
  });
  server.maxConnections = CONNECTIONS_MAX;
  const close = (): Promise<void> =>
    new Promise((closed) => {
      server.close(() => closed());
      for (const socket of sockets) socket.destroy();
    });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve({ address: path, close }));
  });
}

function readLines(socket: Socket, take: (text: string) => void): void {
  let rest = '';
  socket.setEncoding('latin1');
  socket.on('data', (chunk) => {
    rest += String(chunk);
    const end = rest.lastIndexOf('\n');
    if (end >= 0) take(rest.slice(0, end));
    rest = rest.slice(end + 1);
    if (rest.length > LINE_BYTES_MAX) socket.destroy();
  });
  socket.on('end', () => take(rest));
}

/** Rejects with CONFIG_INVALID for what is not plain HTTP on loopback, else with the system's error or UNAVAILABLE. */
export function fetchLocalText(url: string): Promise<string> {
  checkScrapeUrl(url);
  return new Promise((resolve, reject) => {
    const request = get(url, { timeout: ANSWER_MS_MAX, headers: { accept: 'text/plain;version=0.0.4' } }, (response) => {
      if (response.statusCode !== 200) request.destroy(new HeadroomError('UNAVAILABLE', `it answers ${response.statusCode}`));
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > ANSWER_BYTES_MAX)
          request.destroy(new HeadroomError('UNAVAILABLE', `it answers more than ${ANSWER_BYTES_MAX} bytes`));
      });
      response.on('end', () => resolve(text));
    });
    const late = setTimeout(() => request.destroy(new HeadroomError('TIMEOUT', `no whole answer in ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX);
    request.on('timeout', () => request.destroy(new HeadroomError('TIMEOUT', `no answer in ${ANSWER_MS_MAX} ms`)));
    request.on('close', () => clearTimeout(late));
    request.on('error', reject);
  });
}

/** Throws CONFIG_INVALID: the agent fetches from its own machine only, whoever wrote the configuration. */
export function checkScrapeUrl(url: string): void {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (parsed?.protocol === 'http:' && LOOPBACK.test(parsed.hostname)) return;
  throw new HeadroomError('CONFIG_INVALID', `scrape = "${url}": give http://127.0.0.1:PORT/PATH (this machine only)`);
}
