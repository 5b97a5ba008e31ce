/** The HTTP application on a socket. Input: the service, where to listen; output: its address, and how to close it. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { AGGREGATOR_PORT } from '../../shared/aggregator-address.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { createHttpApp, type HttpAppOptions } from './app.ts';
import type { AggregatorService } from './service.ts';

export interface HttpServerOptions extends HttpAppOptions {
  /** Loopback unless an administrator says otherwise. */
  host?: string;
  /** 0 = any free port. */
  port?: number;
  /** Requests to upgrade a connection (agents' WebSockets on the same address); without it they are refused. */
  onUpgrade?: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
}

export interface HttpServer {
  url: string;
  /** Ends event streams, lets requests under way finish. */
  close(): Promise<void>;
}

/** Rejects with ENVIRONMENT when the address cannot be listened on. */
export async function createHttpServer(service: AggregatorService, options: HttpServerOptions = {}): Promise<HttpServer> {
  const app = await createHttpApp(service, options);
  const { onUpgrade } = options;
  if (onUpgrade) app.server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => onUpgrade(request, socket, head));
  const host = options.host ?? '127.0.0.1';
  const port = options.port ?? AGGREGATOR_PORT;
  try {
    return { url: await app.listen({ host, port }), close: () => app.close() };
  } catch (error) {
    await app.close();
    throw new HeadroomError(
      'ENVIRONMENT',
      `cannot listen on ${host}:${port} for HTTP (${errorText(error)}); choose another address or port`,
      { cause: error },
    );
  }
}
