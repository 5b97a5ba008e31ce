/**
 * The host agent's relay for its guests' agents: one channel per VM, kept open by the channel adapter; per guest a
 * session, budgets and an identity. Input: the list of channels as it changes, guest commands from the aggregator.
 * Output: guests' rows in the host's buffer, their results, and who is connected.
 */
import type { Clock } from '../../shared/clock.ts';
import type { HeadroomError } from '../../shared/errors.ts';
import { GuestFieldGate } from '../../shared/guest-fields.ts';
import type { VmId } from '../../shared/ids.ts';
import type { Transport } from '../../shared/net/transport.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import { TokenBucket } from '../../shared/token-bucket.ts';
import { GuestClock } from '../core/guest-clock.ts';
import type { SampleBuffer } from '../core/sample-buffer.ts';
import { type GuestCounters, GuestSession, type GuestState } from './guest-session.ts';

export interface GuestChannel {
  vm: VmId;
  /** The VM's name, for logs. */
  name: string;
  /** The channel's Unix socket on this host. */
  path: string;
}

export interface GuestRelayOptions {
  clock: Clock;
  buffer: SampleBuffer;
  /** Opens a channel and calls back for every session a guest begins on it (virtio-channel.ts, or simulated). */
  openChannel: (channel: GuestChannel, onSession: (transport: Transport) => void) => { close(): void };
  /** The epoch of the aggregator's last welcome, 0 before the first. */
  epoch: () => number;
  /** Of every session, ms; absent = the session's own. */
  heartbeatMs?: number | undefined;
  onResult: (result: FrameOf<'result'>) => void;
  /** For the aggregator, where it understands them. */
  passOn?: (frame: FrameOf<'hint'> | FrameOf<'credential'>) => unknown;
  /** The application of a guest said whether it is ready. */
  onReadiness?: (vm: VmId, ready: boolean) => void;
  onGuest?: (
    event:
      | { vm: VmId; connected: true; agentVersion: string; capabilities: readonly string[] }
      | { vm: VmId; connected: false; error: HeadroomError | null },
  ) => void;
}

/** A guest sends a row a second and may replay twenty: five times that is a flood. */
const ROWS_PER_SECOND = { ratePerSecond: 100, burst: 2000 };
/** Telemetry, heartbeats and results together are some three frames a second. */
const FRAMES_PER_SECOND = { ratePerSecond: 20, burst: 200 };
/** People and schedulers hint now and then; a burst of a few at a job's start. */
const HINTS_PER_SECOND = { ratePerSecond: 0.1, burst: 8 };
/** Commands a guest may leave unanswered; the oldest is forgotten, its late result refused. */
const PENDING_COMMANDS_MAX = 64;

interface Guest {
  channel: GuestChannel;
  state: GuestState;
  link: { close(): void };
  session: GuestSession | undefined;
}

export class GuestRelay {
  readonly #options: GuestRelayOptions;
  readonly #guests = new Map<VmId, Guest>();
  readonly #counters: GuestCounters = {
    frames: 0,
    rows: 0,
    throttled: 0,
    refusedFields: 0,
    refusedTimes: 0,
    refusedResults: 0,
    hints: 0,
    refusedHints: 0,
    protocolErrors: 0,
  };

  constructor(options: GuestRelayOptions) {
    this.#options = options;
  }

  /** The channels there are now; those not named are closed, those whose path changed are opened anew. */
  setChannels(channels: readonly GuestChannel[]): void {
    const wanted = new Map(channels.map((channel) => [channel.vm, channel]));
    for (const [vm, guest] of this.#guests) {
      if (wanted.get(vm)?.path === guest.channel.path) wanted.delete(vm);
      else this.#remove(guest, 'the channel is gone');
    }
    for (const channel of wanted.values()) this.#add(channel);
  }

  connected(vm: VmId): boolean {
    return this.#guests.get(vm)?.session?.ready === true;
  }

  /** False: that VM has no guest agent connected (or none that reads). */
  send(command: FrameOf<'guest-command'>): boolean {
    const guest = this.#guests.get(command.vm as VmId);
    if (!guest?.session?.send(command)) return false;
    const pending = guest.state.pendingCommands;
    pending.add(command.commandId);
    for (const oldest of pending) {
      if (pending.size <= PENDING_COMMANDS_MAX) break;
      pending.delete(oldest);
    }
    return true;
  }

  /** What the VM has, for its own agent; false: none is connected that takes it. */
  sendPool(pool: FrameOf<'pool'>): boolean {
    return this.#guests.get(pool.vm as VmId)?.session?.send(pool) === true;
  }

  stop(): void {
    for (const guest of [...this.#guests.values()]) this.#remove(guest, 'the host agent stops');
  }

  metrics(): Record<string, number> {
    let connected = 0;
    for (const vm of this.#guests.keys()) if (this.connected(vm)) connected++;
    return {
      relay_channels: this.#guests.size,
      relay_guests_connected: connected,
      relay_frames_total: this.#counters.frames,
      relay_rows_total: this.#counters.rows,
      relay_throttled_total: this.#counters.throttled,
      relay_refused_fields_rows_total: this.#counters.refusedFields,
      relay_refused_times_rows_total: this.#counters.refusedTimes,
      relay_refused_results_total: this.#counters.refusedResults,
      relay_hints_total: this.#counters.hints,
      relay_refused_hints_total: this.#counters.refusedHints,
      relay_protocol_errors_total: this.#counters.protocolErrors,
    };
  }

  #add(channel: GuestChannel): void {
    const nowMs = this.#options.clock.monotonicMs();
    const state: GuestState = {
      vm: channel.vm,
      name: channel.name,
      rowBudget: new TokenBucket(ROWS_PER_SECOND, nowMs),
      frameBudget: new TokenBucket(FRAMES_PER_SECOND, nowMs),
      gate: new GuestFieldGate(),
      guestClock: new GuestClock(),
      pendingCommands: new Set(),
      hintBudget: new TokenBucket(HINTS_PER_SECOND, nowMs),
      heldBytes: 0,
    };
    const guest: Guest = { channel, state, link: { close: () => undefined }, session: undefined };
    this.#guests.set(channel.vm, guest);
    guest.link = this.#options.openChannel(channel, (transport) => this.#session(guest, transport));
  }

  #remove(guest: Guest, reason: string): void {
    this.#guests.delete(guest.channel.vm);
    guest.session?.close(reason);
    guest.link.close();
  }

  #session(guest: Guest, transport: Transport): void {
    const { clock, buffer, epoch, heartbeatMs, onResult, passOn, onGuest } = this.#options;
    guest.session?.close('a new session began');
    const { vm } = guest.channel;
    let ready = false;
    const session: GuestSession = new GuestSession({
      transport,
      clock,
      guest: guest.state,
      buffer,
      epoch,
      heartbeatMs,
      counters: this.#counters,
      onResult,
      passOn: (frame) => passOn?.(frame),
      onReadiness: (ready) => this.#options.onReadiness?.(vm, ready),
      onReady: (hello) => {
        ready = true;
        onGuest?.({ vm, connected: true, agentVersion: hello.agentVersion, capabilities: hello.capabilities });
      },
      onClose: (error) => {
        if (guest.session === session) guest.session = undefined;
        if (ready) onGuest?.({ vm, connected: false, error: error ?? null });
      },
    });
    guest.session = session;
  }
}

export function createGuestRelay(options: GuestRelayOptions): GuestRelay {
  return new GuestRelay(options);
}
