/**
 * The protocol's connection logic, the same at both ends: hello and welcome, decoding and checking, heartbeat with a
 * deadline, a bounded queue of frames not yet encoded, goodbye, and the error frame before a close. Input: a Transport
 * and a Clock. Output: checked frames one by one, and the end with its reason.
 */
import type { Clock, Timer } from '../clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../errors.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf } from '../protocol/frames.ts';
import { mayReceive, type Receiver } from '../protocol/validate.ts';
import { asVersion, OLDEST_VERSION } from '../protocol/versions.ts';
import type { TelemetryBlock } from '../telemetry.ts';
import { TokenBucket, type TokenBucketOptions } from '../token-bucket.ts';
import { type BlockDecoder, type BlockEncoder, createBlockDecoder, createBlockEncoder, FIELD_SETS_MAX } from './blocks.ts';
import { type Codec, createCodec } from './codec.ts';
import type { Transport } from './transport.ts';

/** Frames waiting for a peer that reads slowly; about a plan period of commands for the largest host. */
export const SEND_QUEUE_FRAMES_MAX = 1024;
/** Time for hello and welcome: a loaded guest under emulation needs seconds. */
const HANDSHAKE_MS = 15_000;
/** Heartbeat periods within which a frame of any kind makes a ping needless; above one, since frames may be as far apart as beats. */
const TALKING_PERIODS = 1.5;
/** Heartbeat periods without any message before the peer counts as gone: by the rule above it is heard every two and a half. */
const SILENT_PERIODS_MAX = 4;
/** Between two timers so far apart everything that has arrived is read. */
const READ_MS = 20;
const DEFAULT_HEARTBEAT_MS = 5000;
/** Bytes that count as one frame more: a frame costs by its head, a large one by what is in it. */
const PACE_BYTES = 64 * 1024;

export interface SessionOptions {
  transport: Transport;
  clock: Clock;
  /** Which end this is. */
  receiver: Receiver;
  /** Frames for the owner: everything but ping and pong. Telemetry blocks come decoded by `decodeBlocks`. */
  onFrame: (frame: Frame) => void;
  /** Told once. No error: a clean goodbye or our own close. */
  onClose: (error?: HeadroomError) => void;
  /** There is room again after `writable` was false. */
  onWritable?: () => void;
  maxBytes?: number;
  fieldSetsMax?: number;
  handshakeMs?: number;
  /** What the peer may send before it is made to wait: frames a second, those of 64 KiB and more counting several times. */
  pace?: TokenBucketOptions;
  /** It is made to wait, now. */
  onSlowed?: () => void;
}

type Phase = 'handshake' | 'ready' | 'closed';

export class Session {
  readonly transport: Transport;
  readonly #options: SessionOptions;
  #receiver: Receiver;
  readonly #codec: Codec;
  #guestCap: number | undefined;
  readonly #encoder: BlockEncoder;
  readonly #decoder: BlockDecoder;
  #phase: Phase = 'handshake';
  /** Until the handshake has told, what every version understands. */
  #version: number = OLDEST_VERSION;
  #queue: Frame[] = [];
  #writable = true;
  #timer: Timer;
  #lastHeardMs: number;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  #heartbeat: Timer | undefined;
  /** Set while the peer's silence is about to be too long. */
  #silence: Timer | undefined;
  #pings = 0;
  readonly #barriers = new Map<number, () => void>();
  readonly #lastSeq = { live: 0, backlog: 0 };
  #paused = false;
  readonly #pace: TokenBucket | undefined;
  /** Set while the peer waits for having sent too much. */
  #waiting: Timer | undefined;
  /** Frames not sent because the queue was full. */
  dropped = 0;

  constructor(options: SessionOptions) {
    const { transport, clock } = options;
    this.transport = transport;
    this.#options = options;
    this.#receiver = options.receiver;
    this.#codec = createCodec({ maxBytes: options.maxBytes ?? FRAME_BYTES_MAX, selfContained: transport.lossy });
    const sets = options.fieldSetsMax ?? FIELD_SETS_MAX;
    this.#encoder = createBlockEncoder(sets, transport.lossy);
    this.#decoder = createBlockDecoder(sets);
    this.#lastHeardMs = clock.monotonicMs();
    this.#pace = options.pace && new TokenBucket(options.pace, this.#lastHeardMs);
    const handshakeMs = options.handshakeMs ?? HANDSHAKE_MS;
    this.#timer = clock.setTimeout(
      () => this.fail(new HeadroomError('TIMEOUT', `${transport.peer}: no handshake within ${handshakeMs} ms`)),
      handshakeMs,
    );
    transport.onDrain(() => this.#drained());
    transport.onClose((error) => this.#transportClosed(error));
    transport.onMessage((message) => this.#message(message));
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  get ready(): boolean {
    return this.#phase === 'ready';
  }

  /** False while the transport is above its high-water mark: telemetry should wait. */
  get writable(): boolean {
    return this.#phase !== 'closed' && this.#writable;
  }

  /** The version both ends know: frames go out in its words from now on. */
  speak(version: number): void {
    this.#version = version;
  }

  /** The handshake is done: heartbeats begin. */
  established(heartbeatMs: number = DEFAULT_HEARTBEAT_MS): void {
    if (this.#phase !== 'handshake') return;
    this.#phase = 'ready';
    this.#timer.cancel();
    const { clock } = this.#options;
    this.#lastHeardMs = clock.monotonicMs();
    this.#heartbeat = clock.setInterval(() => this.#beat(heartbeatMs), heartbeatMs);
  }

  /** A peer that turned out to be a guest: fewer frames, smaller ones. */
  narrow(receiver: Receiver, maxBytes: number): void {
    this.#receiver = receiver;
    this.#guestCap = maxBytes;
  }

  /** Hands a frame over or queues it un-encoded. False: dropped (queue full, counted) or closed. */
  send(frame: Frame): boolean {
    if (this.#phase === 'closed') return false;
    if (this.#writable && this.#queue.length === 0) return this.#encodeAndSend(frame);
    if (this.#queue.length >= SEND_QUEUE_FRAMES_MAX) {
      this.dropped++;
      return false;
    }
    this.#queue.push(frame);
    return true;
  }

  /** Encodes blocks for this connection and sends them at once; call only while `writable`. */
  sendTelemetry(lane: 'live' | 'backlog', seq: number, blocks: readonly TelemetryBlock[]): boolean {
    const { clock } = this.#options;
    return this.send({
      type: 'telemetry',
      lane,
      seq,
      wallMs: clock.wallMs(),
      monotonicMs: clock.monotonicMs(),
      blocks: this.#encoder.encodeFrame(blocks),
    });
  }

  /** Throws FRAME_INVALID; call once per frame, in order: field lists are numbered along the way. */
  decodeBlocks(frame: FrameOf<'telemetry'>): TelemetryBlock[] {
    return this.#decoder.decode(frame.blocks);
  }

  /** Runs once the peer has read everything sent so far. Never, if the connection ends before. */
  barrier(run: () => void): void {
    const id = ++this.#pings;
    this.#barriers.set(id, run);
    if (!this.send({ type: 'ping', id })) this.#barriers.delete(id);
  }

  /** Stops reading: the peer will have to wait. Its silence does not count while this lasts. */
  pause(): void {
    if (this.#paused || this.closed) return;
    this.#paused = true;
    this.transport.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#readOn();
  }

  #readOn(): void {
    if (this.#paused || this.#waiting !== undefined || this.closed) return;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    this.transport.resume();
  }

  /** A flood costs its sender, not us: what is too much is not read until it would not have been. */
  #slowDown(bytes: number): void {
    const waitMs = this.#pace?.take(1 + bytes / PACE_BYTES, this.#lastHeardMs) ?? 0;
    if (waitMs === 0 || this.#waiting !== undefined || this.closed) return;
    this.transport.pause();
    this.#waiting = this.#options.clock.setTimeout(() => {
      this.#waiting = undefined;
      this.#readOn();
    }, waitMs);
    this.#options.onSlowed?.();
  }

  /** Tells the peer what is wrong, then closes. */
  fail(error: HeadroomError): void {
    if (this.#phase === 'closed') return;
    // Past the queue: nothing that waits there matters any more.
    this.#trySend({ type: 'error', code: error.code, message: error.message.slice(0, 1024) });
    this.#end(error);
  }

  /** Closes without a word of error. */
  close(reason: string): void {
    if (this.#phase === 'closed') return;
    this.#end(undefined, reason);
  }

  #message(message: Uint8Array): void {
    if (this.#phase === 'closed') return;
    this.#lastHeardMs = this.#options.clock.monotonicMs();
    try {
      if (this.#guestCap !== undefined && message.length > this.#guestCap) {
        throw new HeadroomError('FRAME_TOO_LARGE', `frame of ${message.length} bytes; a guest may send ${this.#guestCap}`);
      }
      const frame = this.#codec.decode(message);
      if (!mayReceive(this.#receiver, frame.type)) {
        throw new HeadroomError('FRAME_INVALID', `a frame of type "${frame.type}" may not arrive at this end (${this.#receiver})`);
      }
      this.#checkOrder(frame);
      this.#dispatch(frame);
      this.#slowDown(message.length);
    } catch (error) {
      this.fail(isHeadroomError(error) ? error : new HeadroomError('INVARIANT_BROKEN', errorText(error), { cause: error }));
    }
  }

  /** On a reliable connection a lane's numbers only rise; the same number again is a repetition for the owner to ignore. */
  #checkOrder(frame: Frame): void {
    if (frame.type !== 'telemetry' || this.transport.lossy) return;
    const last = this.#lastSeq[frame.lane];
    if (frame.seq < last) {
      throw new HeadroomError(
        'FRAME_OUT_OF_ORDER',
        `telemetry ${frame.lane} ${frame.seq} after ${last}; numbers must rise within a connection`,
      );
    }
    this.#lastSeq[frame.lane] = frame.seq;
  }

  #dispatch(frame: Frame): void {
    switch (frame.type) {
      case 'ping':
        this.send({ type: 'pong', id: frame.id });
        break;
      case 'pong':
        this.#pong(frame.id);
        break;
      case 'error':
        this.#end(new HeadroomError('CONNECTION_CLOSED', `${this.transport.peer} ended the connection: ${frame.code}: ${frame.message}`));
        break;
      default:
        this.#options.onFrame(frame);
    }
  }

  #pong(id: number): void {
    for (const [barrier, run] of this.#barriers) {
      // Pings are answered in order, so one answer covers all before it.
      if (barrier > id) break;
      this.#barriers.delete(barrier);
      run();
    }
  }

  #beat(heartbeatMs: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    const silentMs = nowMs - this.#lastHeardMs;
    // Not with the next beat, which may be a period late: whoever is gone is to be looked for elsewhere.
    const untilGoneMs = SILENT_PERIODS_MAX * heartbeatMs - silentMs;
    if (untilGoneMs < heartbeatMs && this.#silence === undefined) this.#endIfSilent(heartbeatMs, Math.max(untilGoneMs, 0) + READ_MS);
    // Both have just heard from each other: telemetry and its acknowledgements are as good as a ping.
    const talking = Math.max(silentMs, nowMs - this.#lastSentMs) < TALKING_PERIODS * heartbeatMs;
    if (this.#writable && !talking) this.send({ type: 'ping', id: ++this.#pings });
  }

  #endIfSilent(heartbeatMs: number, waitMs: number): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonicMs() + waitMs;
    this.#silence = clock.setTimeout(() => {
      this.#silence = undefined;
      const nowMs = clock.monotonicMs();
      const silentMs = nowMs - this.#lastHeardMs;
      if (this.#paused || this.#waiting !== undefined || silentMs <= SILENT_PERIODS_MAX * heartbeatMs) return;
      // It is we who were stopped: what came meanwhile waits to be read, and timers come before it.
      if (nowMs - dueMs > READ_MS) this.#endIfSilent(heartbeatMs, READ_MS);
      else this.fail(new HeadroomError('TIMEOUT', `${this.transport.peer} was silent for ${Math.round(silentMs)} ms`));
    }, waitMs);
  }

  #drained(): void {
    if (this.#phase === 'closed') return;
    this.#writable = true;
    let next = 0;
    while (this.#writable && next < this.#queue.length) this.#encodeAndSend(this.#queue[next++]!);
    this.#queue.splice(0, next);
    if (this.writable) this.#options.onWritable?.();
  }

  #encodeAndSend(frame: Frame): boolean {
    try {
      this.#lastSentMs = this.#options.clock.monotonicMs();
      this.#writable = this.transport.send(this.#codec.encode(asVersion(frame, this.#version))) && this.#writable;
      return !this.closed;
    } catch (error) {
      // The codec may be out of step with the peer's: this connection is over, the next begins afresh.
      this.fail(isHeadroomError(error) ? error : new HeadroomError('FRAME_INVALID', errorText(error), { cause: error }));
      return false;
    }
  }

  #trySend(frame: Frame): void {
    try {
      this.transport.send(this.#codec.encode(frame));
    } catch {
      // Already ending because of another error.
    }
  }

  #transportClosed(error: Error | undefined): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    if (!error || isHeadroomError(error)) this.#ended(error);
    else this.#ended(new HeadroomError('CONNECTION_CLOSED', errorText(error), { cause: error }));
  }

  #end(error: HeadroomError | undefined, reason = error?.message ?? 'closed'): void {
    if (this.#phase === 'closed') return;
    // First, so that the transport's own word of the close finds nothing left to do.
    this.#phase = 'closed';
    this.transport.close(reason);
    this.#ended(error);
  }

  #ended(error: HeadroomError | undefined): void {
    this.#timer.cancel();
    this.#heartbeat?.cancel();
    this.#silence?.cancel();
    this.#waiting?.cancel();
    this.#queue = [];
    this.#barriers.clear();
    this.#options.onClose(error);
  }
}
