/**
 * The host's end of a virtio-serial channel: the Unix socket that QEMU serves for it. Input: the socket's path. Output:
 * a Transport per session the guest opens. The socket is kept connected, with back-off. A guest is not trusted: what it
 * may make us read is limited here, by not reading, so that a flood fills its own pipe and costs others nothing.
 */
import { connect, type Socket } from 'node:net';
import { backoffMs } from '../backoff.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Prng } from '../prng.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { Transport } from './transport.ts';
import { CALL, END, type SessionStream, SignalScanner, StreamSession, signalBytes } from './virtio-serial.ts';

export interface VirtioChannelOptions {
  /** The channel's Unix socket, as the live domain XML gives it. */
  path: string;
  /** For logs: the VM's name. */
  name: string;
  maxBytes: number;
  clock: Clock;
  prng: Prng;
  onSession: (transport: Transport) => void;
}

/** A guest's live data is some 500 B/s; this leaves room to replay an hour's backlog in seconds. */
const READ_BYTES_PER_SECOND = 1024 * 1024;
const READ_BYTES_BURST = 4 * 1024 * 1024;
/** What opening a session is held to cost: eight a second at most. */
const OPEN_COST_BYTES = 128 * 1024;
/** A VM that starts gets its channel within a second; one without a listener is asked twice a minute. */
const RECONNECT = { baseMs: 500, capMs: 30_000 };
/** Connected this long, the next loss begins the back-off from its base. */
const STEADY_MS = 10_000;

export class VirtioChannel implements SessionStream {
  readonly #options: VirtioChannelOptions;
  readonly #budget: TokenBucket;
  #scanner = new SignalScanner();
  #socket: Socket | undefined;
  #session: StreamSession | undefined;
  #nonce = '';
  #timer: Timer | undefined;
  #throttle: Timer | undefined;
  #sessionPaused = false;
  #attempt = 0;
  #connectedAtMs = 0;
  #closed = false;
  /** Times that reading stopped because the guest sent too much. */
  throttled = 0;

  constructor(options: VirtioChannelOptions) {
    this.#options = options;
    this.#budget = new TokenBucket({ ratePerSecond: READ_BYTES_PER_SECOND, burst: READ_BYTES_BURST }, options.clock.monotonicMs());
    this.#connect();
  }

  get queuedBytes(): number {
    return this.#socket?.writableLength ?? 0;
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes, () => this.#session?.wrote());
  }

  setPaused(paused: boolean): void {
    this.#sessionPaused = paused;
    this.#applyPause();
  }

  released(session: StreamSession): void {
    if (this.#session === session) this.#session = undefined;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#timer?.cancel();
    this.#throttle?.cancel();
    this.write(signalBytes(END));
    this.#endSession('the channel was closed');
    this.#socket?.destroySoon();
  }

  #connect(): void {
    const socket = connect(this.#options.path);
    this.#socket = socket;
    this.#scanner = new SignalScanner();
    socket.on('connect', () => {
      this.#connectedAtMs = this.#options.clock.monotonicMs();
      this.write(signalBytes(CALL));
    });
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    // The close that follows says all that is needed; most often QEMU is simply not there yet.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#disconnected(socket));
  }

  #disconnected(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#endSession('the channel socket closed');
    if (this.#closed) return;
    const { clock, prng } = this.#options;
    if (this.#connectedAtMs > 0 && clock.monotonicMs() - this.#connectedAtMs > STEADY_MS) this.#attempt = 0;
    this.#connectedAtMs = 0;
    this.#timer = clock.setTimeout(() => this.#connect(), backoffMs(this.#attempt++, RECONNECT, prng));
  }

  #data(chunk: Buffer): void {
    const items = this.#scanner.push(chunk);
    // Of several openings in one chunk only the last can be alive, and all before it belongs to sessions that are over
    // (whatever mattered there was not acknowledged and comes again).
    const lastOpen = items.findLastIndex((item) => item.kind === 'signal' && item.nonce !== CALL && item.nonce !== END);
    for (const item of items.slice(Math.max(0, lastOpen))) {
      if (item.kind === 'data') this.#session?.data(item.bytes);
      else if (item.nonce === END) this.#endSession('the guest agent ended the session');
      else if (item.nonce !== CALL) this.#open(item.nonce);
    }
    this.#charge(chunk.length + (lastOpen < 0 ? 0 : OPEN_COST_BYTES));
  }

  #open(nonce: string): void {
    // A guest that was called while it waited opens once more under the same nonce.
    if (this.#session && nonce === this.#nonce) return;
    this.#nonce = nonce;
    this.#endSession('the guest agent began a new session');
    if (this.#closed) return;
    this.write(signalBytes(nonce));
    this.#session = new StreamSession(`channel ${this.#options.name}`, this.#options.maxBytes, this);
    this.#options.onSession(this.#session);
  }

  #charge(bytes: number): void {
    const waitMs = this.#budget.take(bytes, this.#options.clock.monotonicMs());
    if (waitMs <= 0 || this.#throttle) return;
    this.throttled++;
    this.#throttle = this.#options.clock.setTimeout(() => {
      this.#throttle = undefined;
      this.#applyPause();
    }, waitMs);
    this.#applyPause();
  }

  #applyPause(): void {
    if (this.#sessionPaused || this.#throttle) this.#socket?.pause();
    else this.#socket?.resume();
  }

  #endSession(why: string): void {
    const session = this.#session;
    this.#session = undefined;
    this.#sessionPaused = false;
    session?.over(why);
    this.#applyPause();
  }
}
