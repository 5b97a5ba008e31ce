/**
 * `headroom-agent enrol`: makes this agent's key known to the aggregator by a single-use token, in one connection that carries
 * nothing else. Input: a connection, the key with its token, who this is; output: done, or why not. Whoever hands the token over
 * need write it nowhere.
 */
import type { Clock } from '../shared/clock.ts';
import { HeadroomError } from '../shared/errors.ts';
import type { HostId, VmId } from '../shared/ids.ts';
import type { Connect } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { REDIRECT_CAPABILITY } from '../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../shared/protocol/versions.ts';
import type { Addresses } from './core/addresses.ts';
import { GUEST_BUFFER_LIMITS, SampleBuffer } from './core/sample-buffer.ts';
import { createUplink, type Prover } from './loops/uplink.ts';

export interface EnrolOptions {
  /** Connects to the next of `addresses`, where there are several. */
  connect: Connect;
  addresses?: Addresses;
  prover: Prover;
  /** Whose key it is. */
  agent: { role: 'host'; host: HostId } | { role: 'guest'; vm: VmId };
  clock: Clock;
  prng: Prng;
  bootId: string;
  version: string;
  /** How long an aggregator that is away is waited for. */
  waitMs: number;
}

/** Rejects with what the aggregator refused, or with UNAVAILABLE when it did not answer in time. */
export async function enrol(options: EnrolOptions): Promise<void> {
  const { clock, agent, bootId, version } = options;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let away: HeadroomError | null = null;
  const uplink = createUplink({
    ...{
      role: agent.role,
      connect: options.connect,
      ...(options.addresses ? { addresses: options.addresses } : {}),
      clock,
      prng: options.prng,
      prover: options.prover,
    },
    buffer: new SampleBuffer(GUEST_BUFFER_LIMITS, null),
    hello: () => ({
      ...{ type: 'hello', versions: [...PROTOCOL_VERSIONS], role: agent.role, bootId, agentVersion: version },
      // Whoever looks after the host takes it in: the key is known to all of them.
      capabilities: agent.role === 'host' ? [REDIRECT_CAPABILITY] : [],
      ...{ host: agent.role === 'host' ? agent.host : null, vm: agent.role === 'guest' ? agent.vm : null },
      ...{ wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs(), highestPairs: [] },
    }),
    handlers: {
      onWelcome: () => resolve(),
      onDisconnected(error) {
        // A connection that could not be made may come; an answer that refuses will not change.
        if (error !== null && error.code !== 'CONNECTION_CLOSED' && error.code !== 'UNAVAILABLE') reject(error);
        away = error ?? away;
      },
    },
  });
  const late = clock.setTimeout(
    () =>
      reject(
        new HeadroomError(
          'UNAVAILABLE',
          `no aggregator took this agent in within ${options.waitMs / 1000} s: ${away?.message ?? 'no answer'}`,
        ),
      ),
    options.waitMs,
  );
  uplink.start();
  try {
    await promise;
  } finally {
    late.cancel();
    await uplink.stop();
  }
}
