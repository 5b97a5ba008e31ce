/**
 * A real HTTP proxy in front of a real server, for faults on the way. Input: the server's address, and for each request a
 * word on what to do with it. Output: its own address, what was asked of it. Answers made here never reach the server.
 */
import { createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fate =
  | 'pass'
  /** The server gets and does it, its answer is lost. */
  | 'lose-answer'
  /** The connection ends before the server hears of it. */
  | 'cut'
  | { status: number; headers?: Record<string, string>; body?: string };

export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

export interface HttpProxy {
  url: string;
  seen: SeenRequest[];
  stop(): Promise<void>;
}

export async function startHttpProxy(target: string, fateOf: (request: SeenRequest) => Fate): Promise<HttpProxy> {
  const seen: SeenRequest[] = [];
  const server = createServer((incoming, answer) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = 'GET', url: path = '/', headers } = incoming;
      const asked: SeenRequest = { method, path, headers, body: Buffer.concat(chunks) };
      seen.push(asked);
      const fate = fateOf(asked);
      if (fate === 'cut') {
        incoming.socket.destroy();
        return;
      }
      if (typeof fate === 'object') {
        answer.writeHead(fate.status, fate.headers).end(fate.body);
        return;
      }
      const onward = request(target + path, { method, headers }, (reply) => {
        if (fate === 'lose-answer') {
          reply.resume().on('end', () => incoming.socket.destroy());
          return;
        }
        answer.writeHead(reply.statusCode ?? 502, reply.headers);
        reply.pipe(answer);
      });
      onward.on('error', () => incoming.socket.destroy());
      onward.end(asked.body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
