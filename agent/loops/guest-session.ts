/**
 * One guest agent's session on the host: answers its hello in the aggregator's place, checks and stamps what it sends,
 * and puts it into the host's buffer. Input: a Transport of that VM's channel. Output: rows in the buffer under the VM's
 * own identity whatever the guest claims, acknowledgements once the aggregator's store has them, results of commands.
 */
import type { Clock, Timer } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { GuestFieldGate } from '../../shared/guest-fields.ts';
import type { VmId } from '../../shared/ids.ts';
import { GUEST_FIELD_SETS_MAX } from '../../shared/net/blocks.ts';
import { Session } from '../../shared/net/session.ts';
import type { Transport } from '../../shared/net/transport.ts';
import {
  CREDENTIAL_CAPABILITY,
  type Frame,
  type FrameOf,
  GUEST_FRAME_BYTES_MAX,
  HINT_CAPABILITY,
  POOL_CAPABILITY,
} from '../../shared/protocol/frames.ts';
import { chooseVersion } from '../../shared/protocol/versions.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { TokenBucket } from '../../shared/token-bucket.ts';
import type { GuestClock } from '../core/guest-clock.ts';
import { readyIn } from '../core/readiness.ts';
import type { SampleBuffer } from '../core/sample-buffer.ts';

/** What outlives a session: identity, budgets, what is known of the guest. One per VM. */
export interface GuestState {
  vm: VmId;
  name: string;
  rowBudget: TokenBucket;
  frameBudget: TokenBucket;
  gate: GuestFieldGate;
  guestClock: GuestClock;
  /** Commands sent to this very VM and not yet answered. */
  pendingCommands: Set<string>;
  /** Hints are rare: what comes faster is dropped. */
  hintBudget: TokenBucket;
  /** Bytes of this guest in the host's buffer. */
  heldBytes: number;
}

export interface GuestCounters {
  frames: number;
  rows: number;
  throttled: number;
  refusedFields: number;
  refusedTimes: number;
  refusedResults: number;
  hints: number;
  refusedHints: number;
  protocolErrors: number;
}

export interface GuestSessionOptions {
  transport: Transport;
  clock: Clock;
  guest: GuestState;
  buffer: SampleBuffer;
  /** Of the aggregator's last welcome; 0 before the first. */
  epoch: () => number;
  /** Both sides say something at least this often; absent = every 5 s. */
  heartbeatMs?: number | undefined;
  counters: GuestCounters;
  onReady: (hello: FrameOf<'hello'>) => void;
  /** Its application said whether it is ready. */
  onReadiness: (ready: boolean) => void;
  onResult: (result: FrameOf<'result'>) => void;
  passOn: (frame: FrameOf<'hint'> | FrameOf<'credential'>) => void;
  onClose: (error?: HeadroomError) => void;
}

/** Batches a guest may have unacknowledged. */
export const GUEST_WINDOW = 8;
/** What one guest may occupy of the host's buffer: a two-hundredth. */
export const GUEST_HELD_BYTES_MAX = 320 * 1024;
const GUEST_HEARTBEAT_MS = 5000;
/** Rows a second a guest may replay: twenty minutes' worth of 1 Hz rows in a minute. */
const GUEST_BACKLOG_ROWS_PER_SECOND = 20;

export class GuestSession {
  readonly #options: GuestSessionOptions;
  readonly #session: Session;
  #bootId: string | undefined;
  #capabilities: readonly string[] = [];
  /** Batches received and not yet acknowledged, by lane and number. */
  readonly #held = new Map<string, number>();
  #resumeTimer: Timer | undefined;
  #full = false;

  constructor(options: GuestSessionOptions) {
    this.#options = options;
    this.#session = new Session({
      transport: options.transport,
      clock: options.clock,
      receiver: 'host-agent-from-guest',
      maxBytes: GUEST_FRAME_BYTES_MAX,
      fieldSetsMax: GUEST_FIELD_SETS_MAX,
      onFrame: (frame) => this.#frame(frame),
      onClose: (error) => this.#closed(error),
    });
  }

  get ready(): boolean {
    return this.#session.ready;
  }

  send(frame: FrameOf<'guest-command'> | FrameOf<'pool'>): boolean {
    const needed = frame.type === 'pool' ? POOL_CAPABILITY : frame.action.kind === 'credential' ? CREDENTIAL_CAPABILITY : null;
    if (needed !== null && !this.#capabilities.includes(needed)) return false;
    return this.#session.ready && this.#session.send(frame);
  }

  close(reason: string): void {
    if (this.#session.ready) this.#session.send({ type: 'goodbye', reason: reason.slice(0, 256) });
    this.#session.close(reason);
  }

  #frame(frame: Frame): void {
    this.#options.counters.frames++;
    this.#throttle(this.#options.guest.frameBudget.take(1, this.#options.clock.monotonicMs()));
    if (frame.type === 'hello') this.#hello(frame);
    else if (this.#bootId === undefined) {
      if (!this.#session.transport.lossy) throw new HeadroomError('FRAME_OUT_OF_ORDER', `"${frame.type}" before hello`);
    } else if (frame.type === 'telemetry') this.#telemetry(frame, this.#bootId);
    else if (frame.type === 'result') this.#result(frame);
    else if (frame.type === 'hint') this.#hint(frame);
    else if (frame.type === 'credential') this.#credential(frame);
    else if (frame.type === 'goodbye') this.#session.close('the guest agent stops');
  }

  #hello(hello: FrameOf<'hello'>): void {
    if (this.#bootId !== undefined) {
      if (this.#session.transport.lossy) return;
      throw new HeadroomError('FRAME_OUT_OF_ORDER', 'a second hello');
    }
    if (hello.role !== 'guest')
      throw new HeadroomError('HANDSHAKE_REFUSED', `role "${hello.role}" on a VM's channel; only guests speak here`);
    const { clock, heartbeatMs = GUEST_HEARTBEAT_MS } = this.#options;
    const version = chooseVersion(hello.versions);
    this.#bootId = hello.bootId;
    this.#capabilities = hello.capabilities;
    this.#session.speak(version);
    this.#session.send({
      type: 'welcome',
      version,
      connectionId: this.#options.guest.vm,
      epoch: this.#options.epoch(),
      heartbeatMs,
      window: GUEST_WINDOW,
      backlogRowsPerSecond: GUEST_BACKLOG_ROWS_PER_SECOND,
      wallMs: clock.wallMs(),
      capabilities: [HINT_CAPABILITY],
    });
    this.#session.established(heartbeatMs);
    this.#options.onReady(hello);
  }

  #telemetry(frame: FrameOf<'telemetry'>, bootId: string): void {
    // Decoded first and always: field lists are numbered along the way.
    const decoded = this.#session.decodeBlocks(frame);
    const key = `${frame.lane} ${frame.seq}`;
    if (this.#held.has(key)) return;
    if (this.#held.size >= 2 * GUEST_WINDOW)
      throw new HeadroomError('FRAME_OUT_OF_ORDER', `more than ${GUEST_WINDOW} batches unacknowledged`);
    const { clock, guest, buffer, counters } = this.#options;
    guest.guestClock.observe(frame.wallMs, clock.wallMs());
    const blocks = this.#admitted(decoded);
    const ready = readyIn(blocks);
    if (ready !== null) this.#options.onReadiness(ready);
    const bytes = blocks.reduce((sum, block) => sum + block.values.byteLength + block.timesMs.byteLength, 0);
    const rows = blocks.reduce((sum, block) => sum + block.timesMs.length, 0);
    counters.rows += rows;
    const acknowledge = (): void => {
      this.#held.delete(key);
      this.#session.send({ type: 'ack', bootId, lane: frame.lane, fromSeq: frame.seq, toSeq: frame.seq });
    };
    if (blocks.length === 0) {
      acknowledge();
      return;
    }
    this.#held.set(key, blocks.length);
    guest.heldBytes += bytes;
    let left = blocks.length;
    let lost = false;
    const receipt = (stored: boolean): void => {
      lost ||= !stored;
      if (--left > 0) return;
      guest.heldBytes -= bytes;
      if (lost) this.#session.fail(new HeadroomError('UNAVAILABLE', 'the host agent had to drop rows; send them again'));
      else acknowledge();
      this.#setFull(false);
    };
    const nowMs = clock.monotonicMs();
    for (const block of blocks) buffer.append(block, nowMs, receipt);
    this.#throttle(guest.rowBudget.take(rows, nowMs));
    this.#setFull(guest.heldBytes > GUEST_HELD_BYTES_MAX);
  }

  /** The blocks that may pass, stamped with the VM they come from and in host time. */
  #admitted(decoded: readonly TelemetryBlock[]): TelemetryBlock[] {
    const { guest, counters, clock } = this.#options;
    const blocks: TelemetryBlock[] = [];
    for (const claimed of decoded) {
      if (!guest.gate.accepts(claimed.fields)) {
        counters.refusedFields += claimed.timesMs.length;
        continue;
      }
      const block = guest.guestClock.toHostTime(claimed, clock.wallMs());
      if (block) blocks.push({ ...block, subject: { kind: 'vm', id: guest.vm }, source: 'guest' });
      else counters.refusedTimes += claimed.timesMs.length;
    }
    return blocks;
  }

  #result(frame: FrameOf<'result'>): void {
    const { guest, counters, onResult } = this.#options;
    if (frame.vm !== guest.vm || !guest.pendingCommands.delete(frame.commandId)) {
      // A guest speaks of its own commands only; a repetition lands here as well.
      counters.refusedResults++;
      return;
    }
    onResult(frame);
  }

  /** Of a login that was asked of this very guest, until its end. */
  #credential(frame: FrameOf<'credential'>): void {
    const { guest, counters, passOn } = this.#options;
    const { pendingCommands } = guest;
    const awaited =
      frame.vm === guest.vm && (frame.state === 'working' ? pendingCommands.has(frame.commandId) : pendingCommands.delete(frame.commandId));
    if (awaited) passOn(frame);
    else counters.refusedResults++;
  }

  /** Under the VM's own identity, whatever the guest claims. */
  #hint(frame: FrameOf<'hint'>): void {
    const { guest, counters, clock, passOn } = this.#options;
    const nowMs = clock.monotonicMs();
    if (frame.vm !== guest.vm || guest.hintBudget.available(nowMs) < 1) {
      counters.refusedHints++;
      return;
    }
    guest.hintBudget.take(1, nowMs);
    counters.hints++;
    passOn(frame);
  }

  /** Stops reading for a while: the guest's own pipe fills, nobody else's. */
  #throttle(waitMs: number): void {
    if (waitMs <= 0) return;
    this.#options.counters.throttled++;
    this.#resumeTimer?.cancel();
    this.#session.pause();
    this.#resumeTimer = this.#options.clock.setTimeout(() => {
      this.#resumeTimer = undefined;
      if (!this.#full) this.#session.resume();
    }, waitMs);
  }

  #setFull(full: boolean): void {
    if (full === this.#full) return;
    this.#full = full;
    if (full) this.#session.pause();
    else if (!this.#resumeTimer) this.#session.resume();
  }

  #closed(error?: HeadroomError): void {
    this.#resumeTimer?.cancel();
    if (error?.code.startsWith('FRAME_')) this.#options.counters.protocolErrors++;
    this.#options.onClose(error);
  }
}
