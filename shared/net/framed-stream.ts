/**
 * Whole messages over a byte stream (Unix or TCP socket): u32 length, then the message. Input: a connected Node socket.
 * Output: a Transport. Any framing error closes; there is no resynchronisation on such a stream.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { HeadroomError } from '../errors.ts';
import { ChannelBase, connectionError, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './channel-base.ts';
import { Deframer, lengthPrefix } from './deframer.ts';
import type { Connect, Transport } from './transport.ts';

export interface FramedStreamOptions {
  maxBytes: number;
  peer: string;
  local: boolean;
}

class FramedStream extends ChannelBase implements Transport {
  readonly peer: string;
  readonly local: boolean;
  readonly lossy = false;
  readonly #socket: Socket;
  readonly #deframer: Deframer;
  #above = false;

  constructor(socket: Socket, options: FramedStreamOptions) {
    super();
    this.peer = options.peer;
    this.local = options.local;
    this.#socket = socket;
    this.#deframer = new Deframer(options.maxBytes);
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    socket.on('error', (error) => this.ended(connectionError(this.peer, error)));
    socket.on('end', () => socket.end());
    socket.on('close', () => this.ended());
    // The socket's own mark is far below ours, so its drain may come while we are still above the low water.
    socket.on('drain', () => this.#sent());
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  send(message: Uint8Array): boolean {
    if (this.closed) return false;
    this.#socket.cork();
    this.#socket.write(lengthPrefix(message));
    this.#socket.write(message, () => this.#sent());
    this.#socket.uncork();
    if (this.bufferedBytes > HIGH_WATER_BYTES) this.#above = true;
    return !this.#above;
  }

  override pause(): void {
    super.pause();
    this.#socket.pause();
  }

  override resume(): void {
    super.resume();
    if (!this.paused) this.#socket.resume();
  }

  close(_reason: string): void {
    if (this.closed) return;
    this.#socket.end();
    this.#socket.destroySoon();
    this.ended();
  }

  #sent(): void {
    if (!this.#above || this.bufferedBytes > LOW_WATER_BYTES) return;
    this.#above = false;
    this.drained();
  }

  #data(chunk: Uint8Array): void {
    if (this.closed) return;
    try {
      this.#deframer.push(chunk, (message) => {
        if (!this.received(message)) throw new HeadroomError('FRAME_TOO_LARGE', `${this.peer} sent more messages than were read`);
      });
    } catch (error) {
      this.ended(connectionError(this.peer, error));
      this.#socket.destroy();
    }
  }
}

export function createFramedStream(socket: Socket, options: FramedStreamOptions): Transport {
  return new FramedStream(socket, options);
}

export function connectFramedStream(path: string, maxBytes: number): Connect {
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect(path);
      const peer = `socket ${path}`;
      socket.once('error', (error) => reject(connectionError(peer, error)));
      socket.once('connect', () => resolve(createFramedStream(socket, { maxBytes, peer, local: true })));
    });
}

/** Listens on a Unix socket; every connection becomes a Transport. */
export async function serveFramedStream(
  path: string,
  maxBytes: number,
  onTransport: (transport: Transport) => void,
): Promise<{ close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  let count = 0;
  const server: Server = createServer({ allowHalfOpen: false }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    onTransport(createFramedStream(socket, { maxBytes, peer: `socket ${path} #${++count}`, local: true }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(connectionError(path, error)));
    server.listen(path, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
