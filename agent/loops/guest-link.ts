/**
 * The guest agent's connection: the same uplink in the guest's role, over the virtio-serial port (relayed by the host
 * agent, the default) or a direct WebSocket. Input: a Connect, the guest's buffer, a handler for guest commands. Output:
 * an Uplink whose results go back the same way.
 */
import type { Clock } from '../../shared/clock.ts';
import type { HeadroomError } from '../../shared/errors.ts';
import { GUEST_FIELD_SETS_MAX } from '../../shared/net/blocks.ts';
import type { Connect } from '../../shared/net/transport.ts';
import type { Prng } from '../../shared/prng.ts';
import { type FrameOf, GUEST_FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import type { SampleBuffer } from '../core/sample-buffer.ts';
import { createUplink, type Prover, type Uplink } from './uplink.ts';

export interface GuestLinkOptions {
  connect: Connect;
  clock: Clock;
  prng: Prng;
  hello: () => FrameOf<'hello'>;
  buffer: SampleBuffer;
  onGuestCommand: (command: FrameOf<'guest-command'>) => void;
  onPool?: (pool: FrameOf<'pool'>) => void;
  onWelcome?: (welcome: FrameOf<'welcome'>) => void;
  onDisconnected?: (error: HeadroomError | null) => void;
  /** Relayed by the host agent: it answers for every batch, however long the aggregator is away, so none is sent twice. */
  relayed: boolean;
  /** Only of a guest that is not relayed. */
  prover?: Prover;
  flushMs?: number;
}

/** A guest meets its host within the second after either restarts; no fleet stands behind one channel. */
const RELAYED_BACKOFF = { baseMs: 250, capMs: 5000 };

export function createGuestLink(options: GuestLinkOptions): Uplink {
  const { connect, clock, prng, hello, buffer, onGuestCommand, onPool, onWelcome, onDisconnected } = options;
  return createUplink({
    role: 'guest',
    connect,
    clock,
    prng,
    hello,
    buffer,
    handlers: {
      onGuestCommand,
      ...(onPool ? { onPool } : {}),
      ...(onWelcome ? { onWelcome } : {}),
      ...(onDisconnected ? { onDisconnected } : {}),
    },
    maxBytes: GUEST_FRAME_BYTES_MAX,
    fieldSetsMax: GUEST_FIELD_SETS_MAX,
    ...(options.prover ? { prover: options.prover } : {}),
    ...(options.relayed ? { ackTimeoutMs: null, backoff: RELAYED_BACKOFF } : {}),
    ...(options.flushMs === undefined ? {} : { flushMs: options.flushMs }),
  });
}
