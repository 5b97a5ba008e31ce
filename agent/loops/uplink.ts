/**
 * The agent's connection to the aggregator (or a guest agent's to its host): connect with jittered back-off, say hello,
 * flush the sample buffer at its pace, hand commands to their handlers, resend what was not confirmed, and drain on stop.
 * Input: a Connect, a buffer, frames to send. Output: frames to handlers. Timers and I/O only; the decisions are in core.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../../shared/errors.ts';
import { Session } from '../../shared/net/session.ts';
import type { Connect, Transport } from '../../shared/net/transport.ts';
import type { Prng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf } from '../../shared/protocol/frames.ts';
import { checkFrame, type Receiver } from '../../shared/protocol/validate.ts';
import { checkVersion } from '../../shared/protocol/versions.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import { Addresses } from '../core/addresses.ts';
import { Outbox, type OutboxFrame } from '../core/outbox.ts';
import type { SampleBuffer } from '../core/sample-buffer.ts';
import { FlushPace } from './flush-pace.ts';

export interface UplinkHandlers {
  /** The connection is ready. A host agent sends its full inventory from here: telemetry waits for it. */
  onWelcome?: (welcome: FrameOf<'welcome'>) => void;
  onCommand?: (command: FrameOf<'command'>) => void;
  onGuestCommand?: (command: FrameOf<'guest-command'>) => void;
  onLease?: (lease: FrameOf<'lease'>) => void;
  onKillSwitch?: (frame: FrameOf<'kill-switch'>) => void;
  onVmAction?: (frame: FrameOf<'vm-action'>) => void;
  onBuild?: (frame: FrameOf<'build'>) => void;
  onSuspend?: (frame: FrameOf<'suspend'>) => void;
  onPool?: (frame: FrameOf<'pool'>) => unknown;
  /** For logs and health: why the connection ended or could not be made; null when it was closed cleanly. */
  onDisconnected?: (error: HeadroomError | null) => void;
}

/** Proves who this agent is when it is asked to. */
export interface Prover {
  /** Throws when there is no key and none can be made. */
  prove(challenge: FrameOf<'challenge'>, hello: FrameOf<'hello'>, binding: string): FrameOf<'proof'>;
  /** The other end took this key. */
  accepted(keyId: string): void;
}

export interface UplinkOptions {
  role: 'host' | 'guest';
  /** Connects to the next of `addresses`, where there are any. */
  connect: Connect;
  /** Absent: there is one place only. */
  addresses?: Addresses;
  clock: Clock;
  prng: Prng;
  /** Made anew for each connection; the uplink adds to its bootId what tells this start of the program from others. */
  hello: () => FrameOf<'hello'>;
  buffer: SampleBuffer;
  handlers: UplinkHandlers;
  /** Period of flushing the buffer, ms. Absent: each second, or as the other end asks. */
  flushMs?: number;
  /** Unacknowledged this long on a living connection: sent again through the backlog. null: never (a relay always answers). */
  ackTimeoutMs?: number | null;
  backoff?: { baseMs: number; capMs: number };
  /** How long `stop` waits for acknowledgements. */
  drainMs?: number;
  /** Absent: this agent has no key, and must be known otherwise (a channel, a connection within this machine). */
  prover?: Prover;
  maxBytes?: number;
  fieldSetsMax?: number;
  handshakeMs?: number;
}

const DEFAULT_FLUSH_MS = 1000;
/** Long enough for a store that compacts; short enough that a store that failed gets its rows within a plan period. */
const DEFAULT_ACK_TIMEOUT_MS = 30_000;
/** A restarted aggregator is found again within seconds; a fleet that waits does not hammer. */
const DEFAULT_BACKOFF = { baseMs: 500, capMs: 30_000 };
const DEFAULT_DRAIN_MS = 5000;
/** Backlog batches per flush, so that live rows are never behind more than this in the socket. */
const BACKLOG_BATCHES_PER_FLUSH = 4;
/** A connection that lasted this long was good: the next failure starts the back-off anew. */
const STEADY_MS = 30_000;

/** Everything this end counts, by name. */
interface UplinkCounters {
  connects: number;
  connectFailures: number;
  batchesSent: number;
  rowsSent: number;
  rowsAcknowledged: number;
  framesRefused: number;
}

export class Uplink {
  readonly #options: UplinkOptions;
  readonly #outbox = new Outbox();
  readonly #counters: UplinkCounters = {
    connects: 0,
    connectFailures: 0,
    batchesSent: 0,
    rowsSent: 0,
    rowsAcknowledged: 0,
    framesRefused: 0,
  };
  #session: Session | undefined;
  #hello: FrameOf<'hello'> | undefined;
  #welcome: FrameOf<'welcome'> | undefined;
  /** Batch numbers begin again with every start of this program, not of the machine: what they belong to must as well. */
  readonly #bootId: string;
  #backlogBudget: TokenBucket | undefined;
  #inventorySent = false;
  #peerDrains = false;
  #confirming = false;
  readonly #addresses: Addresses;
  #redirect: FrameOf<'redirect'> | null = null;
  #welcomedAtMs = 0;
  #reconnect: Timer | undefined;
  readonly #pace: FlushPace;
  #running = false;
  #draining: (() => void) | undefined;

  constructor(options: UplinkOptions) {
    this.#options = options;
    const { clock, prng, flushMs = DEFAULT_FLUSH_MS } = options;
    this.#pace = new FlushPace({ clock, periodMs: flushMs, flush: () => this.flush(), isIdle: () => this.#isIdle });
    this.#addresses = options.addresses ?? new Addresses(['']);
    const start = `${Math.round(clock.wallMs()).toString(36)}.${prng
      .stream('boot')
      .below(2 ** 32)
      .toString(36)}`;
    this.#bootId = `${options.hello().bootId.slice(0, 40)}/${start}`.slice(0, 64);
  }

  /** True between welcome and the end of the connection. */
  get connected(): boolean {
    return this.#session?.ready === true;
  }

  /** The other end says so; false while there is none. */
  understands(capability: string): boolean {
    return this.#welcome?.capabilities?.includes(capability) ?? false;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#options.buffer.onRows = () => this.#pace.soon();
    this.#pace.start();
    void this.#connect();
  }

  /**
   * Results and events are kept, over reconnects, until the other side has read them (at least once each). An inventory
   * is not: without a connection the answer is false and the next `onWelcome` asks for a full one. `capability`: what the other side
   * must understand; until one is connected that does, it waits.
   * Throws FRAME_INVALID on a frame the other side would refuse: a bug of the caller, not worth the connection.
   */
  send(frame: FrameOf<'inventory'> | OutboxFrame, capability: string | null = null): boolean {
    try {
      checkFrame(frame);
    } catch (error) {
      this.#counters.framesRefused++;
      throw error;
    }
    if (frame.type !== 'inventory') {
      const kept = this.#outbox.add(frame, capability);
      this.#sendOutbox();
      this.#pace.soon();
      return kept;
    }
    if (!this.connected || !this.#session?.send(frame)) return false;
    this.#inventorySent = true;
    return true;
  }

  /** Sends what there is now; runs by itself every `flushMs` while anything waits to be sent or confirmed. */
  flush(): void {
    const { buffer, clock } = this.#options;
    if (this.#isIdle) return;
    const nowMs = clock.monotonicMs();
    const ackTimeoutMs = this.#options.ackTimeoutMs === undefined ? DEFAULT_ACK_TIMEOUT_MS : this.#options.ackTimeoutMs;
    if (this.connected && ackTimeoutMs !== null) buffer.expire(nowMs, ackTimeoutMs);
    buffer.age(nowMs);
    this.#sendOutbox();
    this.#sendTelemetry(nowMs);
  }

  /** Sends what the buffer holds, waits up to `drainMs` for acknowledgements, says goodbye and closes. */
  async stop(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    this.#pace.stop();
    this.#reconnect?.cancel();
    const session = this.#session;
    if (session?.ready && !this.#peerDrains) {
      this.flush();
      await this.#drained(session);
      session.send({ type: 'goodbye', reason: 'the agent stops' });
    }
    session?.close('the agent stops');
    this.#options.buffer.park(this.#options.clock.monotonicMs());
  }

  metrics(): Record<string, number> {
    const { stats } = this.#options.buffer;
    return {
      uplink_connected: this.connected ? 1 : 0,
      uplink_connects_total: this.#counters.connects,
      uplink_connect_failures_total: this.#counters.connectFailures,
      uplink_batches_sent_total: this.#counters.batchesSent,
      uplink_rows_sent_total: this.#counters.rowsSent,
      uplink_rows_acknowledged_total: this.#counters.rowsAcknowledged,
      uplink_frames_refused_total: this.#counters.framesRefused,
      uplink_outbox_frames: this.#outbox.waiting + this.#outbox.unconfirmed,
      uplink_outbox_dropped_total: this.#outbox.dropped,
      uplink_send_queue_dropped_total: this.#session?.dropped ?? 0,
      buffer_rows: stats.rows,
      buffer_bytes: stats.bytes,
      buffer_backlog_rows: stats.backlogRows,
      buffer_dropped_byte_limit_rows_total: stats.droppedRows['byte-limit'],
      buffer_dropped_row_limit_rows_total: stats.droppedRows['row-limit'],
      buffer_dropped_invalid_rows_total: stats.droppedRows.invalid,
      buffer_dropped_ring_limit_rows_total: stats.droppedRows['ring-limit'],
      buffer_dropped_ring_damaged_rows_total: stats.droppedRows['ring-damaged'],
      ring_rows: stats.ring?.rows ?? 0,
      ring_bytes: stats.ring?.bytes ?? 0,
      ring_recovered_rows_total: stats.ring?.recoveredRows ?? 0,
      ring_write_failures_total: stats.ring?.writeFailures ?? 0,
    };
  }

  async #connect(): Promise<void> {
    this.#reconnect = undefined;
    let transport: Transport;
    try {
      transport = await this.#options.connect();
    } catch (error) {
      this.#counters.connectFailures++;
      this.#lost(isHeadroomError(error) ? error : new HeadroomError('CONNECTION_CLOSED', errorText(error), { cause: error }));
      return;
    }
    if (!this.#running) {
      transport.close('the agent stops');
      return;
    }
    const options = this.#options;
    const receiver: Receiver = options.role === 'host' ? 'host-agent' : options.prover ? 'direct-guest-agent' : 'guest-agent';
    this.#session = new Session({
      transport,
      clock: options.clock,
      receiver,
      onFrame: (frame) => this.#frame(frame),
      onClose: (error) => this.#lost(error ?? null),
      onWritable: () => this.flush(),
      maxBytes: options.maxBytes ?? FRAME_BYTES_MAX,
      ...(options.fieldSetsMax === undefined ? {} : { fieldSetsMax: options.fieldSetsMax }),
      ...(options.handshakeMs === undefined ? {} : { handshakeMs: options.handshakeMs }),
    });
    this.#hello = { ...options.hello(), bootId: this.#bootId, ...this.#unreachable() };
    this.#session.send(this.#hello);
  }

  /** Who has failed need not be named to us as our host's owner. */
  #unreachable(): { unreachable?: string[] } {
    if (this.#options.role !== 'host' || !this.#addresses.several) return {};
    const unreachable = this.#addresses.unreachable(this.#options.clock.monotonicMs());
    return unreachable.length === 0 ? {} : { unreachable };
  }

  #lost(error: HeadroomError | null): void {
    const { clock, prng, handlers } = this.#options;
    const nowMs = clock.monotonicMs();
    if (this.#welcome && nowMs - this.#welcomedAtMs > STEADY_MS) this.#addresses.steady();
    const redirect = this.#redirect;
    this.#redirect = null;
    this.#session = undefined;
    this.#welcome = undefined;
    this.#options.buffer.disconnected();
    this.#inventorySent = false;
    this.#peerDrains = false;
    this.#confirming = false;
    this.#outbox.connectionLost();
    this.#draining?.();
    if (this.#running && !this.#reconnect) {
      const { backoff = DEFAULT_BACKOFF } = this.#options;
      const delayMs = redirect
        ? this.#addresses.redirected(redirect.url, redirect.retryMs, nowMs, backoff, prng)
        : this.#addresses.failed(nowMs, backoff, prng);
      this.#reconnect = clock.setTimeout(() => void this.#connect(), delayMs);
    }
    handlers.onDisconnected?.(error);
  }

  #frame(frame: Frame): void {
    const { handlers } = this.#options;
    if (frame.type === 'welcome') {
      this.#welcomed(frame);
      return;
    }
    if (frame.type === 'challenge') {
      this.#prove(frame);
      return;
    }
    if (frame.type === 'redirect') {
      this.#redirect = frame;
      this.#session?.close(frame.reason);
      return;
    }
    if (frame.type === 'goodbye') {
      // The other side closes once it has acknowledged what it has; nothing new goes there.
      this.#peerDrains = true;
      return;
    }
    if (!this.#welcome) {
      // A lossy network may well have dropped the welcome; the handshake's deadline settles it.
      if (this.#session?.transport.lossy) return;
      throw new HeadroomError('FRAME_OUT_OF_ORDER', `"${frame.type}" before welcome`);
    }
    if (frame.type === 'ack') this.#acknowledged(frame);
    else if (frame.type === 'command') handlers.onCommand?.(frame);
    else if (frame.type === 'guest-command') handlers.onGuestCommand?.(frame);
    else if (frame.type === 'lease') handlers.onLease?.(frame);
    else if (frame.type === 'kill-switch') handlers.onKillSwitch?.(frame);
    else if (frame.type === 'vm-action') handlers.onVmAction?.(frame);
    else if (frame.type === 'build') handlers.onBuild?.(frame);
    else if (frame.type === 'suspend') handlers.onSuspend?.(frame);
    else if (frame.type === 'pool') handlers.onPool?.(frame);
  }

  #prove(challenge: FrameOf<'challenge'>): void {
    const session = this.#session!;
    if (this.#welcome) throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a challenge after the welcome');
    const { prover } = this.#options;
    if (!prover) throw new HeadroomError('HANDSHAKE_REFUSED', 'the other end asks for a proof, and this agent has no key');
    session.send(prover.prove(challenge, this.#hello!, session.transport.binding ?? ''));
  }

  #welcomed(welcome: FrameOf<'welcome'>): void {
    if (this.#welcome) {
      if (this.#session?.transport.lossy) return;
      throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second welcome');
    }
    checkVersion(welcome.version);
    const { clock, buffer, handlers } = this.#options;
    this.#welcome = welcome;
    this.#session?.speak(welcome.version);
    this.#addresses.welcomed(welcome.aggregators);
    this.#welcomedAtMs = clock.monotonicMs();
    this.#counters.connects++;
    this.#backlogBudget = new TokenBucket(
      { ratePerSecond: welcome.backlogRowsPerSecond, burst: Math.max(1, welcome.backlogRowsPerSecond) },
      this.#welcomedAtMs,
    );
    this.#session?.established(welcome.heartbeatMs);
    if (welcome.keyId !== undefined) this.#options.prover?.accepted(welcome.keyId);
    buffer.reconnected(this.#welcomedAtMs);
    handlers.onWelcome?.(welcome);
    this.flush();
  }

  #acknowledged(ack: FrameOf<'ack'>): void {
    // An acknowledgement for an earlier life of this machine says nothing about this one's numbers.
    if (ack.bootId !== this.#bootId) return;
    this.#counters.rowsAcknowledged += this.#options.buffer.acknowledge(ack.lane, ack.fromSeq, ack.toSeq);
    if (ack.flushMs !== undefined && this.#options.flushMs === undefined) this.#flushEvery(ack.flushMs);
    if (!this.#draining) return;
    if (this.#options.buffer.empty) this.#draining();
    else this.flush();
  }

  /** Begins anywhere within the period: a fleet that is asked at once must not send at once. */
  #flushEvery(periodMs: number): void {
    if (!this.#running || periodMs === this.#pace.periodMs) return;
    this.#pace.every(periodMs, this.#options.prng.next() * periodMs);
  }

  /** Everything has been sent and confirmed. */
  get #isIdle(): boolean {
    return this.#options.buffer.empty && this.#outbox.waiting + this.#outbox.unconfirmed === 0;
  }

  #sendOutbox(): void {
    const session = this.#session;
    if (!session?.ready || this.#peerDrains) return;
    while (session.writable) {
      const frame = this.#outbox.next(this.#welcome?.capabilities ?? []);
      if (frame === undefined) break;
      session.send(frame);
    }
    if (this.#confirming || this.#outbox.unconfirmed === 0) return;
    // The answer to a ping sent behind them says that they were read.
    const mark = this.#outbox.mark();
    this.#confirming = true;
    session.barrier(() => {
      this.#outbox.confirm(mark);
      this.#confirming = false;
    });
  }

  #sendTelemetry(nowMs: number): void {
    const session = this.#session;
    const welcome = this.#welcome;
    if (!session?.ready || !welcome || this.#peerDrains) return;
    // The other side knows which VMs this host may speak of only from its inventory.
    if (this.#options.role === 'host' && !this.#inventorySent) return;
    while (session.writable && this.#sendBatch(session, 'live', nowMs, welcome.window) > 0);
    for (let i = 0; i < BACKLOG_BATCHES_PER_FLUSH && session.writable; i++) {
      const budget = this.#backlogBudget!;
      const rowsMax = Math.floor(budget.available(nowMs));
      if (rowsMax < 1) return;
      const rows = this.#sendBatch(session, 'backlog', nowMs, welcome.window, rowsMax);
      if (rows === 0) return;
      budget.take(rows, nowMs);
    }
  }

  /** Rows sent, 0 when there was nothing to send. */
  #sendBatch(session: Session, lane: 'live' | 'backlog', nowMs: number, windowMax: number, rowsMax?: number): number {
    const batch = this.#options.buffer.take(lane, nowMs, windowMax, rowsMax);
    if (!batch) return 0;
    session.sendTelemetry(lane, batch.seq, batch.blocks);
    this.#counters.batchesSent++;
    this.#counters.rowsSent += batch.rows;
    return batch.rows;
  }

  #drained(session: Session): Promise<void> {
    if (session.closed || this.#options.buffer.empty) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#options.clock.setTimeout(() => this.#draining?.(), this.#options.drainMs ?? DEFAULT_DRAIN_MS);
      this.#draining = () => {
        this.#draining = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}

export function createUplink(options: UplinkOptions): Uplink {
  return new Uplink(options);
}
