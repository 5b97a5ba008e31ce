/**
 * The guest's end of a virtio-serial channel: a character device. Input: its path. Output: a Connect; each call begins a
 * new session on the port, which stays open. Node's net.Socket refuses such a descriptor, so it is read and written with
 * fs callbacks: one read is always pending (it holds one pool thread), one write at a time. A read of 0 bytes means that
 * the host's end is away; the kernel lets one process open a port, a second gets EBUSY.
 */
import * as nodeFs from 'node:fs';
import type { Clock, Timer } from '../clock.ts';
import { HeadroomError } from '../errors.ts';
import type { Connect, Transport } from './transport.ts';
import { CALL, END, type SessionStream, SignalScanner, StreamSession, signalBytes } from './virtio-serial.ts';

/** What of node:fs the port uses; tests bring their own. */
export interface PortFs {
  open(path: string, flags: string, done: (error: NodeJS.ErrnoException | null, fd: number) => void): void;
  read(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: null,
    done: (error: NodeJS.ErrnoException | null, bytesRead: number) => void,
  ): void;
  write(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: null,
    done: (error: NodeJS.ErrnoException | null, written: number) => void,
  ): void;
  close(fd: number, done: () => void): void;
}

export interface VirtioPortOptions {
  /** /dev/virtio-ports/NAME */
  path: string;
  maxBytes: number;
  clock: Clock;
  fs?: PortFs;
}

const READ_BYTES = 64 * 1024;
/** Pause after "host away": soon enough to be back within a sample, rare enough to cost nothing. */
const AWAY_PAUSE_MS = 250;
/** A host that is there answers within a millisecond; one that comes back calls. */
const ACCEPT_TIMEOUT_MS = 5000;

interface Opening {
  nonce: string;
  resolve: (transport: Transport) => void;
  reject: (error: Error) => void;
  timer: Timer;
}

export class VirtioPort implements SessionStream {
  readonly #options: VirtioPortOptions;
  readonly #fs: PortFs;
  readonly #buffer = Buffer.alloc(READ_BYTES);
  readonly #scanner = new SignalScanner();
  #fd = -1;
  #session: StreamSession | undefined;
  #opening: Opening | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing = false;
  #paused = false;
  #reading = false;
  #closed = false;

  constructor(options: VirtioPortOptions) {
    this.#options = options;
    this.#fs = options.fs ?? nodeFs;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Ends the session there may be and begins another. Rejects with UNAVAILABLE, TIMEOUT or CONNECTION_CLOSED. */
  readonly connect: Connect = async () => {
    if (this.#closed) throw new HeadroomError('CONNECTION_CLOSED', `${this.#options.path} was closed`);
    if (this.#fd < 0) await this.#open();
    this.#endSession('a new session begins');
    this.#failOpening(new HeadroomError('CANCELLED', 'another connect began'));
    // What an earlier session left unwritten would only be skipped by the host.
    this.#queue = [];
    this.#queuedBytes = 0;
    return new Promise<Transport>((resolve, reject) => {
      const timer = this.#options.clock.setTimeout(() => {
        this.#failOpening(new HeadroomError('TIMEOUT', `no host agent answers on ${this.#options.path}`));
      }, ACCEPT_TIMEOUT_MS);
      this.#opening = { nonce: newNonce(), resolve, reject, timer };
      this.write(signalBytes(this.#opening.nonce));
    });
  };

  write(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#writeNext();
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.#read();
  }

  released(session: StreamSession): void {
    if (this.#session === session) this.#session = undefined;
  }

  /** Lets the port go. A read under way keeps its pool thread until the host sends a byte or the process ends. */
  close(): void {
    this.#closed = true;
    this.#endSession('the port was closed');
    this.#failOpening(new HeadroomError('CONNECTION_CLOSED', `${this.#options.path} was closed`));
    this.#drop();
  }

  #open(): Promise<void> {
    const { path } = this.#options;
    return new Promise((resolve, reject) => {
      this.#fs.open(path, 'r+', (error, fd) => {
        if (error) {
          const hint =
            error.code === 'EBUSY'
              ? 'another process has it open; one agent per guest'
              : 'is the channel defined and virtio_console loaded?';
          reject(new HeadroomError('UNAVAILABLE', `cannot open ${path}: ${error.message}; ${hint}`, { cause: error }));
          return;
        }
        this.#fd = fd;
        this.#read();
        resolve();
      });
    });
  }

  #read(): void {
    if (this.#reading || this.#paused || this.#fd < 0) return;
    this.#reading = true;
    const fd = this.#fd;
    this.#fs.read(fd, this.#buffer, 0, READ_BYTES, null, (error, bytesRead) => {
      this.#reading = false;
      if (this.#fd !== fd) return;
      if (error) {
        if (error.code === 'EAGAIN' || error.code === 'EINTR') this.#later();
        else this.#lost(error);
      } else if (bytesRead === 0) {
        this.#endSession('the host end is away');
        this.#later();
      } else {
        this.#received(Buffer.from(this.#buffer.subarray(0, bytesRead)));
        this.#read();
      }
    });
  }

  #later(): void {
    this.#options.clock.setTimeout(() => this.#read(), AWAY_PAUSE_MS);
  }

  #received(chunk: Uint8Array): void {
    for (const item of this.#scanner.push(chunk)) {
      if (item.kind === 'data') this.#session?.data(item.bytes);
      else if (item.nonce === CALL) this.#called();
      else if (item.nonce === END) this.#endSession('the host agent ended the session');
      else if (item.nonce === this.#opening?.nonce) this.#accepted(this.#opening);
      // Any other nonce answers an earlier process here: stale.
    }
  }

  #called(): void {
    this.#endSession('the host agent began anew');
    if (this.#opening) this.write(signalBytes(this.#opening.nonce));
  }

  #accepted(opening: Opening): void {
    this.#opening = undefined;
    opening.timer.cancel();
    this.#endSession('a new session begins');
    this.#session = new StreamSession(`port ${this.#options.path}`, this.#options.maxBytes, this);
    opening.resolve(this.#session);
  }

  #writeNext(): void {
    const bytes = this.#queue[0];
    if (this.#writing || !bytes || this.#fd < 0) return;
    this.#writing = true;
    const fd = this.#fd;
    this.#queue.shift();
    this.#fs.write(fd, bytes, 0, bytes.length, null, (error, written) => {
      this.#writing = false;
      if (this.#fd !== fd) return;
      if (error && error.code !== 'EAGAIN' && error.code !== 'EINTR') return this.#lost(error);
      const done = error ? 0 : written;
      this.#queuedBytes = Math.max(0, this.#queuedBytes - done);
      if (done < bytes.length) this.#queue.unshift(bytes.subarray(done));
      this.#session?.wrote();
      if (error) this.#options.clock.setTimeout(() => this.#writeNext(), AWAY_PAUSE_MS);
      else this.#writeNext();
    });
  }

  /** The device is gone (unplugged) or broken: the next connect opens it again. */
  #lost(error: Error): void {
    this.#endSession(error.message);
    this.#failOpening(new HeadroomError('CONNECTION_CLOSED', `${this.#options.path}: ${error.message}`, { cause: error }));
    this.#drop();
  }

  #drop(): void {
    const fd = this.#fd;
    this.#fd = -1;
    this.#queue = [];
    this.#queuedBytes = 0;
    if (fd >= 0) this.#fs.close(fd, () => undefined);
  }

  #endSession(why: string): void {
    const session = this.#session;
    this.#session = undefined;
    this.#paused = false;
    session?.over(why);
    if (session) this.#read();
  }

  #failOpening(error: Error): void {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.timer.cancel();
    opening?.reject(error);
  }
}

/** Neither CALL nor END, by a margin no draw will meet. */
function newNonce(): string {
  // The kernel's own: the library of ciphers takes 2 MiB of the guest's memory.
  return nodeFs.readFileSync('/proc/sys/kernel/random/uuid', 'latin1').replaceAll('-', '').slice(0, 16);
}
