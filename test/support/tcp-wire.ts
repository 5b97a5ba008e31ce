/**
 * A wire to cut between two programs on loopback: connections to its port go on to another. Cut, nothing passes either way and nobody is
 * told, as where packets are dropped; mended, what waited goes on. Input: a port; output: the port in its place.
 */

import type { AddressInfo } from 'node:net';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class TcpWire {
  readonly #server: Server;
  /** Where it leads: may be set before the first connection comes. */
  toPort: number;
  readonly #sockets = new Set<Socket>();
  /** Came while it was cut. */
  #waiting: Socket[] = [];
  #whole = true;

  private constructor(toPort: number) {
    this.toPort = toPort;
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  static async to(toPort: number): Promise<TcpWire> {
    const wire = new TcpWire(toPort);
    await new Promise<void>((resolve, reject) => {
      wire.#server.once('error', reject);
      wire.#server.listen(0, '127.0.0.1', resolve);
    });
    return wire;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    this.#whole = false;
    for (const socket of this.#sockets) socket.pause();
  }

  mend(): void {
    this.#whole = true;
    for (const socket of this.#sockets) socket.resume();
    for (const socket of this.#waiting.splice(0)) this.#join(socket);
  }

  close(): void {
    this.#server.close();
    for (const socket of [...this.#sockets, ...this.#waiting]) socket.destroy();
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined);
    if (this.#whole) this.#join(socket);
    else this.#waiting.push(socket);
  }

  #join(socket: Socket): void {
    if (socket.destroyed) return;
    const other = connect(this.toPort, '127.0.0.1');
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('error', () => undefined);
      from.on('data', (chunk) => {
        if (!to.write(chunk)) from.pause();
      });
      to.on('drain', () => {
        if (this.#whole) from.resume();
      });
      from.on('close', () => {
        this.#sockets.delete(from);
        // A wire that is cut tells nobody that the other end has gone.
        if (this.#whole) to.destroy();
        else to.once('resume', () => to.destroy());
      });
    }
    socket.resume();
  }
}
