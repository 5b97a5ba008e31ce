/**
 * The host agent as a whole: loops around one table, wired from adapters that are handed in. It does no I/O of its own and
 * reads no clock, so that simulation runs this very code. Input: hypervisor, clock, connections, collectors, state files,
 * settings; output: a service to start and stop.
 */
import type { Clock, Timer } from '../shared/clock.ts';
import { errorText } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import type { Connect, Transport } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { BUILD_CAPABILITY, BUILD_SUSPEND_CAPABILITY, HAND_OVER_CAPABILITY, PROBE_CAPABILITY } from '../shared/protocol/build-frames.ts';
import {
  CPUS_RESTORE_CAPABILITY,
  CREDENTIAL_CAPABILITY,
  type FrameOf,
  MOVES_ON_CAPABILITY,
  POOL_CAPABILITY,
  REDIRECT_CAPABILITY,
} from '../shared/protocol/frames.ts';
import {
  CHUNKS_CAPABILITY,
  PREFETCH_TO_CAPABILITY,
  SUPPLY_CAPABILITY,
  SUSPEND_CAPABILITY,
  SUSPEND_MOVE_CAPABILITY,
} from '../shared/protocol/suspend-frames.ts';
import { PROTOCOL_VERSIONS } from '../shared/protocol/versions.ts';
import { QUARANTINE_CAPABILITY, VM_ACTION_CAPABILITY } from '../shared/protocol/vm-action-frames.ts';
import { RESOURCES } from '../shared/resources.ts';
import { createVmQueues } from './actuators/vm-queue.ts';
import type { Collector } from './collectors/collector.ts';
import type { Addresses } from './core/addresses.ts';
import type { Spill } from './core/backlog.ts';
import { hasEntries, type VmRecord } from './core/journal.ts';
import { HOST_BUFFER_LIMITS, SampleBuffer } from './core/sample-buffer.ts';
import type { FoundSlice } from './core/slice-state.ts';
import type { Hypervisor } from './hypervisor/hypervisor.ts';
import type { BuildDesk, BuildMeans } from './loops/build-desk.ts';
import { createCommandLoop } from './loops/command.ts';
import { createBuildDesk } from './loops/create-build-desk.ts';
import { createSuspension, type SuspendMeans, type Suspension } from './loops/create-suspension.ts';
import { createDiscoveryLoop, type DiscoveryLoop, judge, noteGuest, noteReadiness } from './loops/discover.ts';
import { createFailSafeLoop } from './loops/fail-safe.ts';
import { createFastGuardLoop, guardReserveOf } from './loops/fast-guard-loop.ts';
import { type GuestChannel, GuestRelay } from './loops/guest-relay.ts';
import { type HostAgentSettings, type HostContext, lookMs } from './loops/host-context.ts';
import { handleEvent } from './loops/host-events.ts';
import { createInventoryLoop } from './loops/inventory.ts';
import { createJobWatch } from './loops/job-watch.ts';
import { readSwitches, receiveKillSwitch } from './loops/kill-switch.ts';
import type { CounterSource } from './loops/look.ts';
import { createSampling } from './loops/sampling.ts';
import { refreshSettings } from './loops/settings.ts';
import type { StateFiles } from './loops/state-files.ts';
import { createStatisticsLoop } from './loops/statistics.ts';
import { createStatsPeriodLoop } from './loops/stats-period.ts';
import { createUplink, type Prover, type Uplink } from './loops/uplink.ts';
import { VcpuLoop } from './loops/vcpu-loop.ts';
import { createVmActionLoop } from './loops/vm-actions.ts';

export interface HostAgentOptions {
  hypervisor: Hypervisor;
  clock: Clock;
  prng: Prng;
  connect: Connect;
  /** Which aggregators there are; absent = one. */
  addresses?: Addresses;
  openChannel: (channel: GuestChannel, onSession: (transport: Transport) => void) => { close(): void };
  /** Name of the virtio-serial channel that guest agents speak on. */
  channelName: string;
  collectors: readonly Collector[];
  /** Run every 15 s. */
  slowCollectors?: readonly Collector[];
  counters: CounterSource;
  files: StateFiles;
  settings: HostAgentSettings;
  /** Period of sending what was sampled, ms; absent = the uplink's own. */
  flushMs?: number;
  /** Pace of reading the kill switch's files to tell of them, ms. Every write looks at them itself. */
  switchesMs?: number;
  /** Pace of heartbeats on guests' channels, ms; absent = the relay's own. */
  guestHeartbeatMs?: number;
  log: Logger;
  /** New for each start of the process: batches are numbered anew. */
  bootId: string;
  version: string;
  /** Looks for another balloon manager, once per inventory period. */
  balloonManager: () => string | null;
  /** Rows that the aggregator cannot take now go there; absent = memory only. */
  spill?: Spill | null;
  /** Makes VMs and takes them away; absent = its administrator does not let it. */
  build?: BuildMeans;
  /** Suspends VMs and brings them back; absent: its administrator does not let it. */
  suspend?: SuspendMeans;
  /** Memory lent and borrowed; absent = there is none. */
  slices?: () => readonly FoundSlice[];
  /** The agent's key; absent = it has none. */
  prover?: Prover;
}

export interface HostAgent {
  /** Resolves once the loops run; the hypervisor and the aggregator may still be away. */
  start(): Promise<void>;
  /** Lets writes under way end, sends what there is, closes. What is in force stays in force. */
  stop(): Promise<void>;
  metrics(): Record<string, number>;
  /** Its lease ran out and was not renewed since. */
  leaseOut(): boolean;
}

/** Pace of the kill switch's files: half of the second within which the last write must have happened. */
const SWITCHES_MS = 500;
/** Where another aggregator may answer, one that is silent is not waited for long, and the pauses stay short. */
const SEVERAL = { handshakeMs: 5000, backoff: { baseMs: 500, capMs: 5000 } };
/** Wait before the hypervisor is tried again when it was away at the start. */
const HYPERVISOR_RETRY_MS = 5000;

export function createHostAgent(options: HostAgentOptions): HostAgent {
  const { clock, log } = options;
  const { records, problems } = options.files.load();
  for (const problem of problems) log.error(problem);
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS, options.spill ?? null);
  const context = createContext(options, {
    send: (frame) => void (frame.type === 'inventory' || uplink.send(frame)),
    changed: () => inventory.changed(),
  });
  const discovery = createDiscoveryLoop(context, options.counters, records);
  const failSafe = createFailSafeLoop(context);
  const commands = createCommandLoop(context);
  const vmActions = createVmActionLoop(context);
  const vcpus = new VcpuLoop(context, (command) => relay.send(command));
  const ticking = [...loopsOfLooks(context), failSafe, vcpus, vmActions];
  let epoch = 0;
  const owner = ownerLog(log, options.addresses);
  const line = { epoch: () => epoch, uplink: () => uplink };
  const suspension = options.suspend && createSuspension(options.suspend, context, line);
  const builds = options.build && createBuildDesk(options.build, context, () => epoch, suspension?.rest ?? null);
  const relay = createRelay(options, context, buffer, { ...line, vcpus });

  const uplink = createUplink({
    role: 'host',
    connect: options.connect,
    ...(options.addresses ? { addresses: options.addresses } : {}),
    ...(options.addresses?.several ? SEVERAL : {}),
    clock,
    prng: options.prng.stream('uplink'),
    buffer,
    ...(options.prover ? { prover: options.prover } : {}),
    hello: () => hello(options, context, records),
    ...(options.flushMs === undefined ? {} : { flushMs: options.flushMs }),
    handlers: {
      onWelcome: (welcome) => {
        epoch = welcome.epoch;
        owner.welcomed(epoch);
        inventory.sendFull();
        suspension?.desk.tellAll();
      },
      onCommand: (command) => {
        failSafe.begin(command.pair.epoch, command.leaseMs);
        commands.receive(command);
      },
      onGuestCommand: (command) => commands.receiveForGuest(command, (frame) => vcpus.pass(frame)),
      onLease: (lease) => {
        owner.leased(lease.epoch);
        failSafe.renew(lease);
      },
      onVmAction: (asked) => vmActions.receive(asked),
      onBuild: (asked) => builds?.receive(asked),
      onSuspend: (asked) => suspension?.desk.receive(asked),
      onPool: (pool) => relay.sendPool(pool),
      onKillSwitch: (frame) => receiveKillSwitch(context, frame),
      onDisconnected: (error) => log.warn('no connection to the aggregator', { error: error?.message }),
    },
  });
  const inventory = createInventoryLoop(context, (frame) => uplink.send(frame));

  const metrics = (): Record<string, number> => ({
    ...uplink.metrics(),
    ...relay.metrics(),
    ...sampling.metrics(),
    ...ownMetrics(context),
  });
  const sampling = createSampling(options, context, buffer);
  const everyLook = (): void => {
    sampling.look();
    for (const loop of [...ticking, inventory]) loop.tick();
  };
  const setChannels = (): void => relay.setChannels(channelsOf(context, options.channelName));
  const lookAround = async (): Promise<void> => {
    await suspension?.recover();
    await lookAtAll(options, context, discovery).then(setChannels);
  };
  const parts = { uplink, relay, builds, suspension, discovery, everyLook, lookAround, setChannels, tellChanges: inventory.tick };
  return {
    ...createService(options, context, records, parts),
    metrics,
    leaseOut: () => context.host.leaseOut,
  };
}

/** What each look does that nothing else asks for, in this order. */
function loopsOfLooks(context: HostContext): { tick(): void }[] {
  return [createJobWatch(context), createStatsPeriodLoop(context), createStatisticsLoop(context), createFastGuardLoop(context)];
}

/** The log says who decided about this host, and when. */
function ownerLog(log: Logger, addresses: Addresses | undefined): { welcomed(epoch: number): void; leased(epoch: number): void } {
  const aggregator = (): { aggregator?: string } => (addresses ? { aggregator: addresses.next } : {});
  let leasedUnder: number | null = null;
  return {
    welcomed(epoch) {
      leasedUnder = null;
      log.info('connected to the aggregator', { epoch, ...aggregator() });
    },
    leased(epoch) {
      if (epoch !== leasedUnder) log.info('leased by the aggregator', { epoch, ...aggregator() });
      leasedUnder = epoch;
    },
  };
}

/** The connection to the aggregator, once it is made, and the epoch it was welcomed with. */
interface Line {
  epoch: () => number;
  uplink: () => Uplink;
}

interface GuestLine extends Line {
  vcpus: VcpuLoop;
}

/** Guest agents' channels; what they say goes up with everything else. */
function createRelay(
  options: HostAgentOptions,
  context: HostContext,
  buffer: SampleBuffer,
  { epoch, uplink, vcpus }: GuestLine,
): GuestRelay {
  const { clock } = context;
  return new GuestRelay({
    clock,
    buffer,
    openChannel: options.openChannel,
    epoch,
    heartbeatMs: options.guestHeartbeatMs,
    onResult: (result) => {
      if (!vcpus.result(result)) uplink().send(result);
    },
    // A hint is about now; what became of a login waits for one who understands it.
    passOn: (frame) => (frame.type === 'credential' || uplink().understands(frame.type)) && uplink().send(frame, frame.type),
    onReadiness: (vm, ready) => noteReadiness(context, vm, ready),
    onGuest: (event) => {
      noteGuest(context, event.vm, event.connected, event.connected ? event.agentVersion : (event.error?.message ?? ''));
      vcpus.guest(event.vm, event.connected && event.capabilities.includes(CPUS_RESTORE_CAPABILITY));
    },
  });
}

async function lookAtAll(options: HostAgentOptions, context: HostContext, discovery: DiscoveryLoop): Promise<void> {
  context.host.balloonManager = options.balloonManager();
  await discovery.all();
  for (const entry of context.table.values()) judge(context, entry);
}

function ownMetrics({ table, queues, host }: HostContext): Record<string, number> {
  return {
    agent_vms: table.size,
    agent_vm_queue_dropped_total: queues.dropped,
    agent_lease_out: host.leaseOut ? 1 : 0,
    agent_guard_reserve_cores: host.reserveCores,
    agent_guard_reserve_mib: host.reserveMiB,
  };
}

interface Parts {
  uplink: { start(): void; stop(): Promise<void> };
  relay: GuestRelay;
  builds: BuildDesk | undefined;
  suspension: Suspension | undefined;
  discovery: DiscoveryLoop;
  everyLook: () => void;
  lookAround: () => Promise<void>;
  setChannels: () => void;
  /** Of the inventory, at once. */
  tellChanges: () => void;
}

function createService(
  options: HostAgentOptions,
  context: HostContext,
  records: readonly VmRecord[],
  parts: Parts,
): Pick<HostAgent, 'start' | 'stop'> {
  const { clock, hypervisor, settings, log } = options;
  const timers: Timer[] = [];
  let stopping = false;
  const every = (periodMs: number, what: string, run: () => void | Promise<void>): void => {
    timers.push(clock.setInterval(guarded(log, what, run), periodMs));
  };

  const connectHypervisor = async (): Promise<void> => {
    try {
      await hypervisor.connect();
      await parts.lookAround();
    } catch (error) {
      log.error('the hypervisor is away; trying again', { error: errorText(error) });
      if (!stopping) timers.push(clock.setTimeout(() => void connectHypervisor(), HYPERVISOR_RETRY_MS));
    }
  };

  return {
    async start() {
      if (records.some(hasEntries)) {
        // Values of ours are in force and nobody may be there to own them: the fail-safe's time begins to run.
        context.host.lease = { epoch: 0, expiresAtMs: clock.bootMs() + settings.startupLeaseMs };
      }
      readSwitches(context);
      hypervisor.onEvent((event) => {
        handleEvent(context, parts.discovery, event, { looked: parts.setChannels, gaveBack: parts.tellChanges });
        parts.suspension?.onEvent(event);
      });
      parts.uplink.start();
      await connectHypervisor();
      every(lookMs(settings), 'look', parts.everyLook);
      every(options.switchesMs ?? SWITCHES_MS, 'switches', () => readSwitches(context));
      every(settings.settingsMs, 'settings', async () => {
        await refreshSettings(context, false);
        if (hypervisor.connected && (await parts.discovery.missed())) parts.setChannels();
      });
      every(settings.inventoryMs, 'discovery', () => (hypervisor.connected ? parts.lookAround() : undefined));
    },
    async stop() {
      stopping = true;
      for (const timer of timers) timer.cancel();
      await Promise.all([context.queues.idle(), parts.builds?.idle()]);
      parts.relay.stop();
      await parts.uplink.stop();
      await hypervisor.close();
      await options.build?.builder.close();
      await parts.suspension?.close();
    },
  };
}

function createContext(options: HostAgentOptions, out: Pick<HostContext, 'send' | 'changed'>): HostContext {
  const { clock, prng, hypervisor, files, settings, log } = options;
  return {
    clock,
    prng,
    hypervisor,
    files,
    settings,
    log,
    queues: createVmQueues((vm, error) => log.error('a task failed', { vm, error: errorText(error) })),
    table: new Map(),
    slices: options.slices ?? (() => []),
    host: {
      capacity: null,
      killed: files.kills(),
      lease: null,
      leaseOut: false,
      allowances: new Map(),
      reserveCores: 0,
      reserveMiB: 0,
      givingCores: 0,
      givingMiB: 0,
      availableMiB: Number.NaN,
      balloonManager: null,
    },
    ...out,
  };
}

/** A tick that fails is logged and the next one comes; one that still runs when the next is due is not started twice. */
function guarded(log: Logger, what: string, run: () => void | Promise<void>): () => Promise<void> {
  let running = false;
  return async () => {
    if (running) return;
    running = true;
    try {
      await run();
    } catch (error) {
      log.error(`${what} failed`, { error: errorText(error) });
    } finally {
      running = false;
    }
  };
}

/** The guests' channels there are now. */
function channelsOf(context: HostContext, channelName: string): GuestChannel[] {
  const channels: GuestChannel[] = [];
  for (const { id, name, managed, power, facts } of context.table.values()) {
    const channel = managed && power === 'running' && facts?.channels.find((one) => one.name === channelName);
    if (channel) channels.push({ vm: id, name, path: channel.path });
  }
  return channels;
}

function hello(options: HostAgentOptions, context: HostContext, records: readonly VmRecord[]): FrameOf<'hello'> {
  const known = new Map(records.map((record) => [record.vm, record]));
  for (const entry of context.table.values()) known.set(entry.id, entry.record);
  return {
    type: 'hello',
    versions: [...PROTOCOL_VERSIONS],
    role: 'host',
    host: context.settings.host,
    vm: null,
    bootId: options.bootId,
    agentVersion: options.version,
    capabilities: [
      ...[
        'guest-relay',
        VM_ACTION_CAPABILITY,
        QUARANTINE_CAPABILITY,
        POOL_CAPABILITY,
        CREDENTIAL_CAPABILITY,
        REDIRECT_CAPABILITY,
        MOVES_ON_CAPABILITY,
      ],
      ...(options.build === undefined ? [] : [BUILD_CAPABILITY, PROBE_CAPABILITY, HAND_OVER_CAPABILITY]),
      ...(options.suspend === undefined
        ? []
        : [SUSPEND_CAPABILITY, SUSPEND_MOVE_CAPABILITY, PREFETCH_TO_CAPABILITY, CHUNKS_CAPABILITY, SUPPLY_CAPABILITY]),
      ...(options.build === undefined || options.suspend === undefined ? [] : [BUILD_SUSPEND_CAPABILITY]),
    ],
    wallMs: context.clock.wallMs(),
    monotonicMs: context.clock.monotonicMs(),
    guardReserve: guardReserveOf(context),
    highestPairs: [...known.values()].flatMap((record) =>
      RESOURCES.flatMap((resource) => {
        const pair = record.pairs[resource];
        return pair ? [{ vm: record.vm, resource, pair }] : [];
      }),
    ),
  };
}
