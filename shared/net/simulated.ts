/**
 * An in-memory network on a Clock, for simulation and tests. Input: hooks that decide each message's fate and when the
 * network is cut. Output: a Connect for the client side and a listener for the server side, both plain Transports.
 * Reliable links keep order like TCP; lossy ones may drop, repeat and reorder single messages, and say so (`lossy`), so
 * that both ends encode each message self-contained.
 */
import type { Clock } from '../clock.ts';
import { HeadroomError } from '../errors.ts';
import { ChannelBase, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './channel-base.ts';
import type { Connect, Transport } from './transport.ts';

export interface SimulatedNetworkOptions {
  clock: Clock;
  /** For logs and for hooks: who connects. */
  name: string;
  maxBytes: number;
  lossy?: boolean;
  local?: boolean;
  /** Delays in ms, one per delivery: `[]` drops, `[1]` delivers once, `[1, 9]` repeats. Reliable links use the first and never drop. */
  fate?: (direction: 'up' | 'down', bytes: number) => readonly number[];
}

export interface SimulatedNetwork {
  readonly connect: Connect;
  onConnection(listener: (transport: Transport) => void): void;
  /** Cuts every open connection, as a crash or a reset of the path would: messages under way are lost. */
  dropConnections(): void;
  /** While partitioned, open connections are cut and new ones refused. */
  setPartitioned(partitioned: boolean): void;
  readonly openConnections: number;
}

const RELIABLE_DELAYS: readonly number[] = [0];

class SimulatedEnd extends ChannelBase implements Transport {
  readonly peer: string;
  readonly local: boolean;
  readonly lossy: boolean;
  readonly #options: SimulatedNetworkOptions;
  readonly #direction: 'up' | 'down';
  other: SimulatedEnd | undefined;
  #bufferedBytes = 0;
  #above = false;
  #lastDeliveryMs = 0;
  readonly #deliveries: (() => void)[] = [];
  #held: Uint8Array[] = [];

  constructor(options: SimulatedNetworkOptions, direction: 'up' | 'down') {
    super();
    this.peer = `simulated ${options.name} ${direction}`;
    this.local = options.local ?? true;
    this.lossy = options.lossy ?? false;
    this.#options = options;
    this.#direction = direction;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  send(message: Uint8Array): boolean {
    if (this.closed || !this.other) return false;
    const { clock } = this.#options;
    const delays = this.#options.fate?.(this.#direction, message.length) ?? RELIABLE_DELAYS;
    // The receiver gets bytes of its own: views into them must not see the sender's later writes.
    const copy = message.slice();
    if (this.lossy) {
      for (const delayMs of delays) {
        this.#bufferedBytes += copy.length;
        clock.setTimeout(() => this.#arrive(copy), delayMs);
      }
    } else {
      this.#bufferedBytes += copy.length;
      this.#inOrder(() => this.#arrive(copy), delays[0] ?? 0);
    }
    if (this.#bufferedBytes > HIGH_WATER_BYTES) this.#above = true;
    return !this.#above;
  }

  override resume(): void {
    super.resume();
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.#handOver(message);
  }

  close(_reason: string): void {
    if (this.closed) return;
    const other = this.other;
    // Like a FIN: behind everything sent before.
    this.#inOrder(() => other?.ended(), 0);
    this.ended();
  }

  /** Clocks need not keep the order of events of one instant: each timer runs the oldest delivery, not its own. */
  #inOrder(deliver: () => void, delayMs: number): void {
    const { clock } = this.#options;
    const now = clock.monotonicMs();
    this.#lastDeliveryMs = Math.max(now + delayMs, this.#lastDeliveryMs);
    this.#deliveries.push(deliver);
    clock.setTimeout(() => this.#deliveries.shift()?.(), this.#lastDeliveryMs - now);
  }

  /** The path is cut: nothing more arrives on either side. */
  cut(): void {
    this.ended(new HeadroomError('CONNECTION_CLOSED', `${this.peer}: connection lost`));
  }

  #arrive(message: Uint8Array): void {
    const other = this.other;
    if (other && !other.closed) other.#handOver(message);
  }

  #handOver(message: Uint8Array): void {
    const sender = this.other;
    if (this.paused) {
      // What a paused receiver has not taken still fills the sender's buffer.
      this.#held.push(message);
      return;
    }
    if (message.length > this.#options.maxBytes) {
      sender?.cut();
      this.ended(new HeadroomError('FRAME_TOO_LARGE', `${this.peer}: message of ${message.length} bytes above the frame limit`));
      return;
    }
    this.received(message);
    sender?.taken(message.length);
  }

  taken(bytes: number): void {
    this.#bufferedBytes -= bytes;
    if (!this.#above || this.#bufferedBytes > LOW_WATER_BYTES) return;
    this.#above = false;
    this.drained();
  }
}

export function createSimulatedNetwork(options: SimulatedNetworkOptions): SimulatedNetwork {
  const ends = new Set<SimulatedEnd>();
  let listener: ((transport: Transport) => void) | undefined;
  let partitioned = false;
  const sweep = (): void => {
    for (const end of ends) if (end.closed && end.other?.closed) ends.delete(end);
  };
  const dropConnections = (): void => {
    for (const end of ends) end.cut();
    ends.clear();
  };
  const connect: Connect = async () => {
    if (partitioned || !listener) throw new HeadroomError('CONNECTION_CLOSED', `simulated ${options.name}: nobody answers`);
    sweep();
    const client = new SimulatedEnd(options, 'up');
    const server = new SimulatedEnd(options, 'down');
    client.other = server;
    server.other = client;
    ends.add(client).add(server);
    listener(server);
    return client;
  };
  return {
    connect,
    onConnection(next) {
      listener = next;
    },
    dropConnections,
    setPartitioned(next) {
      partitioned = next;
      if (partitioned) dropConnections();
    },
    get openConnections() {
      sweep();
      return ends.size / 2;
    },
  };
}
