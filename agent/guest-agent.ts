/**
 * The guest agent as a whole: collectors at 1 Hz and slow ones every 15 s, an uplink over the virtio-serial port (or a WebSocket), the few commands a
 * guest accepts. Everything it does is handed in. Input: clock, connection, collectors; output: a service to start and stop.
 */
import type { Clock, Timer } from '../shared/clock.ts';
import { errorText } from '../shared/errors.ts';
import type { VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import type { Connect } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { CPUS_RESTORE_CAPABILITY, CREDENTIAL_CAPABILITY, type FrameOf, POOL_CAPABILITY } from '../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../shared/protocol/versions.ts';
import { VM_GUEST_FIELDS } from '../shared/telemetry.ts';
import { type Collector, runCollectors } from './collectors/collector.ts';
import type { Spill } from './core/backlog.ts';
import { ExtraRows } from './core/extra-rows.ts';
import { GUEST_BUFFER_LIMITS, SampleBuffer } from './core/sample-buffer.ts';
import type { GuestCpus } from './guest-cpus.ts';
import type { GuestFiles } from './guest-files.ts';
import { CollectorReports, roundHealth } from './loops/collector-reports.ts';
import { createCpuKeeper } from './loops/cpu-keeper.ts';
import type { CredentialMaker, Stalls } from './loops/credential-desk.ts';
import { GuestCommands } from './loops/guest-commands.ts';
import { createGuestLink } from './loops/guest-link.ts';
import { createGuestSharing } from './loops/guest-sharing.ts';
import type { Prover } from './loops/uplink.ts';

export interface GuestAgentOptions {
  clock: Clock;
  prng: Prng;
  connect: Connect;
  /** True over virtio-serial, where the host agent relays. */
  relayed: boolean;
  /** The agent's key, of one that is not relayed. */
  prover?: Prover;
  vm: VmId;
  collectors: readonly Collector[];
  /** Run every `slowMs`. */
  slowCollectors?: readonly Collector[];
  slowMs?: number;
  /** The guest's vCPUs; null = this agent may take none of them offline. */
  cpus: GuestCpus | null;
  /** How logins may be made, null or absent = not at all; what the guest waited for meanwhile. */
  credentials?: CredentialMaker | null;
  stalls?: Stalls;
  /** What the VM's own programs may see, and what they expect to need; absent: neither. */
  shared?: GuestFiles;
  sampleMs: number;
  /** Period of sending what was sampled, ms; absent = the uplink's own. */
  flushMs?: number;
  log: Logger;
  bootId: string;
  version: string;
  /** Rows that the aggregator cannot take now go there; absent = memory only (relayed guests: the host agent has a disk). */
  spill?: Spill | null;
}

export interface GuestAgent {
  start(): void;
  stop(): Promise<void>;
  metrics(): Record<string, number>;
}

/** Per-process and other dear collectors. */
const SLOW_MS = 15_000;

export function createGuestAgent(options: GuestAgentOptions): GuestAgent {
  const { clock, log, vm } = options;
  const buffer = new SampleBuffer(GUEST_BUFFER_LIMITS, options.spill ?? null);
  const extras = new ExtraRows(VM_GUEST_FIELDS);
  const reports = new CollectorReports(log);
  const slowMs = options.slowMs ?? SLOW_MS;
  let slowAtMs = Number.NEGATIVE_INFINITY;
  let timer: Timer | undefined;
  const sharing = createGuestSharing(options.shared, vm, options.bootId, log);

  const keeper = createCpuKeeper(clock, options.cpus, log);

  const link = createGuestLink({
    connect: options.connect,
    clock,
    prng: options.prng,
    hello: () => hello(options),
    buffer,
    relayed: options.relayed,
    ...(options.flushMs === undefined ? {} : { flushMs: options.flushMs }),
    ...(options.prover ? { prover: options.prover } : {}),
    onGuestCommand: (command) => commands.receive(command),
    onPool: sharing.onPool,
    onWelcome: () => {
      keeper.connected();
      log.info('connected');
    },
    onDisconnected: (error) => {
      keeper.disconnected();
      log.warn('not connected', { error: error?.message });
    },
  });

  const commands = new GuestCommands({ ...options, send: (frame) => link.send(frame) });

  const sample = (): void => {
    const values: Record<string, number> = {};
    const nowMs = clock.monotonicMs();
    const due = nowMs - slowAtMs >= slowMs - options.sampleMs / 2;
    if (due) slowAtMs = nowMs;
    const collectors = due ? [...options.collectors, ...(options.slowCollectors ?? [])] : options.collectors;
    const round = runCollectors(collectors, () => clock.monotonicMs(), values);
    reports.take(round);
    values['agent_health.guestCollectorsFailed'] = roundHealth(round).failed;
    const subject = { kind: 'vm', id: vm } as const;
    const timesMs = Float64Array.of(Math.round(clock.wallMs()));
    // The agent's own fields are always named, so that missing ones are unknown; what varies comes in rows of its own.
    const fixed = { fields: VM_GUEST_FIELDS, values: Float64Array.from(VM_GUEST_FIELDS, (field) => finiteOrUnknown(values[field])) };
    for (const row of [fixed, ...extras.rows(values)]) buffer.append({ subject, source: 'guest', timesMs, ...row }, nowMs);
  };

  return {
    start() {
      link.start();
      timer = clock.setInterval(() => {
        try {
          sample();
          sharing.passHints(link);
        } catch (error) {
          log.error('sample failed', { error: errorText(error) });
        }
      }, options.sampleMs);
    },
    async stop() {
      timer?.cancel();
      keeper.stop();
      await link.stop();
    },
    metrics: () => ({ ...link.metrics(), ...reports.metrics() }),
  };
}

function finiteOrUnknown(value: number | undefined): number {
  return value !== undefined && Number.isFinite(value) ? value : Number.NaN;
}

function hello({ clock, vm, bootId, version, shared, cpus }: GuestAgentOptions): FrameOf<'hello'> {
  return {
    type: 'hello',
    versions: [...PROTOCOL_VERSIONS],
    role: 'guest',
    host: null,
    vm,
    bootId,
    agentVersion: version,
    capabilities: [...(cpus ? ['cpus-online', CPUS_RESTORE_CAPABILITY] : []), CREDENTIAL_CAPABILITY, ...(shared ? [POOL_CAPABILITY] : [])],
    wallMs: clock.wallMs(),
    monotonicMs: clock.monotonicMs(),
    highestPairs: [],
  };
}
