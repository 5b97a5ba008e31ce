/**
 * Sessions over a virtio-serial channel. The channel is one eternal byte stream without connections: either end may come
 * and go unseen, and bytes of an earlier session, cut anywhere, may still be in the pipe. So both ends watch the stream
 * for 24-byte signals (16 fixed bytes that no frame contains by chance, then 8 that say which signal):
 *
 *   host → guest  CALL    all zero       a host is here: begin anew
 *   guest → host  OPEN    a fresh nonce  a session begins with the next byte
 *   host → guest  ACCEPT  that nonce     the answer begins with the next byte; everything before is stale
 *   both ways     END     all ones       this session is over
 *
 * Within a session: u32 length, message, a zero byte. The signal has no zero byte among its fixed ones, so a complete
 * message is never held back as the possible beginning of a signal. Input: chunks. Output: signals, and Transports.
 */
import { HeadroomError } from '../errors.ts';
import { ChannelBase, connectionError, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './channel-base.ts';
import { Deframer, lengthPrefix } from './deframer.ts';
import type { Transport } from './transport.ts';

/** Drawn once at random; every byte non-zero. */
const MAGIC = Buffer.from('9fd3e1487ac52bb68e1d64f9a7385cc3', 'hex');
const NONCE_BYTES = 8;
const SIGNAL_BYTES = MAGIC.length + NONCE_BYTES;
const TRAILER = new Uint8Array(1);

export const CALL = '0'.repeat(NONCE_BYTES * 2);
export const END = 'f'.repeat(NONCE_BYTES * 2);

/** `nonce`: 16 hexadecimal digits. */
export function signalBytes(nonce: string): Uint8Array {
  return Buffer.concat([MAGIC, Buffer.from(nonce, 'hex')]);
}

export type StreamItem = { kind: 'data'; bytes: Uint8Array } | { kind: 'signal'; nonce: string };

/** Finds signals in a stream of chunks, also those cut between chunks. Bytes that may begin one are held back. */
export class SignalScanner {
  #held: Buffer = Buffer.alloc(0);

  push(chunk: Uint8Array): StreamItem[] {
    const items: StreamItem[] = [];
    let rest: Buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (this.#held.length > 0) rest = Buffer.concat([this.#held, rest]);
    for (;;) {
      const at = rest.indexOf(MAGIC);
      if (at < 0 || rest.length - at < SIGNAL_BYTES) {
        const keep = at >= 0 ? rest.length - at : beginningOfMagic(rest);
        const data = rest.subarray(0, rest.length - keep);
        if (data.length > 0) items.push({ kind: 'data', bytes: data });
        this.#held = Buffer.from(rest.subarray(rest.length - keep));
        return items;
      }
      if (at > 0) items.push({ kind: 'data', bytes: rest.subarray(0, at) });
      items.push({ kind: 'signal', nonce: rest.toString('hex', at + MAGIC.length, at + SIGNAL_BYTES) });
      rest = rest.subarray(at + SIGNAL_BYTES);
    }
  }
}

/** Length of the longest end of `bytes` that the magic begins with. */
function beginningOfMagic(bytes: Buffer): number {
  for (let length = Math.min(MAGIC.length - 1, bytes.length); length > 0; length--) {
    if (bytes.subarray(bytes.length - length).equals(MAGIC.subarray(0, length))) return length;
  }
  return 0;
}

/** The stream below a session: the guest's port or the host's socket. */
export interface SessionStream {
  write(bytes: Uint8Array): void;
  readonly queuedBytes: number;
  /** The session wants no more data for now, or again. */
  setPaused(paused: boolean): void;
  /** The session is over by its own doing. */
  released(session: StreamSession): void;
}

export class StreamSession extends ChannelBase implements Transport {
  readonly peer: string;
  readonly local = true;
  readonly lossy = false;
  readonly #stream: SessionStream;
  readonly #deframer: Deframer;
  readonly #maxBytes: number;
  #above = false;

  constructor(peer: string, maxBytes: number, stream: SessionStream) {
    super();
    this.peer = peer;
    this.#maxBytes = maxBytes;
    this.#stream = stream;
    this.#deframer = new Deframer(maxBytes + TRAILER.length);
  }

  get bufferedBytes(): number {
    return this.closed ? 0 : this.#stream.queuedBytes;
  }

  send(message: Uint8Array): boolean {
    if (this.closed) return false;
    const framed = new Uint8Array(message.length + TRAILER.length);
    framed.set(message);
    this.#stream.write(lengthPrefix(framed));
    this.#stream.write(framed);
    if (this.#stream.queuedBytes > HIGH_WATER_BYTES) this.#above = true;
    return !this.#above;
  }

  override pause(): void {
    super.pause();
    if (!this.closed) this.#stream.setPaused(true);
  }

  override resume(): void {
    super.resume();
    if (!this.closed && !this.paused) this.#stream.setPaused(false);
  }

  close(_reason: string): void {
    if (this.closed) return;
    this.#stream.write(signalBytes(END));
    this.#release();
  }

  /** The stream wrote something. */
  wrote(): void {
    if (!this.#above || this.#stream.queuedBytes > LOW_WATER_BYTES) return;
    this.#above = false;
    this.drained();
  }

  /** Bytes of this session arrived. */
  data(bytes: Uint8Array): void {
    if (this.closed) return;
    try {
      this.#deframer.push(bytes, (framed) => {
        if (framed[framed.length - 1] !== 0) throw new HeadroomError('FRAME_MALFORMED', 'malformed frame: no zero byte at its end');
        const message = framed.subarray(0, framed.length - TRAILER.length);
        if (message.length > this.#maxBytes) throw new HeadroomError('FRAME_TOO_LARGE', `frame above ${this.#maxBytes} bytes`);
        if (!this.received(message)) throw new HeadroomError('FRAME_TOO_LARGE', `${this.peer} sent more messages than were read`);
      });
    } catch (error) {
      this.#stream.write(signalBytes(END));
      this.#release(connectionError(this.peer, error));
    }
  }

  /** The stream says that this session is over. */
  over(why: string): void {
    this.ended(new HeadroomError('CONNECTION_CLOSED', `${this.peer}: ${why}`));
  }

  #release(error?: Error): void {
    this.#stream.setPaused(false);
    this.ended(error);
    this.#stream.released(this);
  }
}
