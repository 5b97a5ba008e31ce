/**
 * A virtio-serial channel without a guest: a Unix socket server in QEMU's place, and the fs calls of a guest's port in the
 * kernel's. It behaves as the real ones do: one opener (EBUSY), reads of 0 bytes while the host is away, a blocked write
 * while the host does not read, bytes of an earlier host kept in the pipe.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { PortFs } from '../../shared/net/virtio-port.ts';

type ReadDone = (error: NodeJS.ErrnoException | null, bytesRead: number) => void;

export class FakeVirtioDevice implements PortFs {
  readonly #server: Server;
  #host: Socket | undefined;
  #toGuest: Buffer[] = [];
  #opened = false;
  #reader: { buffer: Uint8Array; done: ReadDone } | undefined;
  #blockedWrite: (() => void) | undefined;

  constructor(socketPath: string) {
    this.#server = createServer((socket) => {
      this.#host = socket;
      socket.on('data', (chunk: Buffer) => this.#fromHost(chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        if (this.#host !== socket) return;
        this.#host = undefined;
        this.#wakeReader();
      });
      this.#blockedWrite?.();
    });
    this.#server.listen(socketPath);
  }

  ready(): Promise<void> {
    return this.#server.listening ? Promise.resolve() : new Promise((resolve) => this.#server.once('listening', resolve));
  }

  /** Puts bytes into the pipe to the guest, as an earlier host may have left them. */
  leaveForGuest(bytes: Uint8Array): void {
    this.#fromHost(Buffer.from(bytes));
  }

  /** The host's socket is cut, as when QEMU closes it. */
  cutHost(): void {
    this.#host?.destroy();
  }

  /** Another process opens the port. */
  occupy(): void {
    this.#opened = true;
  }

  release(): void {
    this.#opened = false;
  }

  stop(): Promise<void> {
    this.#host?.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  open(path: string, _flags: string, done: (error: NodeJS.ErrnoException | null, fd: number) => void): void {
    setImmediate(() => {
      if (this.#opened) {
        done(Object.assign(new Error(`EBUSY: resource busy or locked, open '${path}'`), { code: 'EBUSY' }), -1);
        return;
      }
      this.#opened = true;
      done(null, 99);
    });
  }

  read(_fd: number, buffer: Uint8Array, _offset: number, _length: number, _position: null, done: ReadDone): void {
    this.#reader = { buffer, done };
    setImmediate(() => this.#wakeReader());
  }

  write(
    _fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    _position: null,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void {
    // A short write now and then, as a pipe that is nearly full gives.
    const part = Buffer.from(buffer.subarray(offset, offset + Math.min(length, 3000)));
    const go = (): void => {
      this.#blockedWrite = undefined;
      if (!this.#host) {
        this.#blockedWrite = go;
        return;
      }
      this.#host.write(part, () => done(null, part.length));
    };
    setImmediate(go);
  }

  close(_fd: number, done: () => void): void {
    this.#opened = false;
    this.#reader = undefined;
    setImmediate(done);
  }

  #fromHost(chunk: Buffer): void {
    this.#toGuest.push(chunk);
    this.#wakeReader();
  }

  #wakeReader(): void {
    const reader = this.#reader;
    if (!reader) return;
    const first = this.#toGuest[0];
    if (!first) {
      // The kernel answers 0 only when the host end is away; else it waits.
      if (this.#host) return;
      this.#reader = undefined;
      reader.done(null, 0);
      return;
    }
    this.#reader = undefined;
    const length = Math.min(first.length, reader.buffer.length);
    reader.buffer.set(first.subarray(0, length));
    if (length === first.length) this.#toGuest.shift();
    else this.#toGuest[0] = first.subarray(length);
    reader.done(null, length);
  }
}
