/**
 * One host agent in a small simulated world: its real loops on simulated time, a simulated hypervisor and network, and an
 * aggregator's end that says what the test tells it to and writes down what it hears. Input: VMs, settings; output: a
 * handle to move time, send frames, restart and look.
 */
import { type Collector, reading } from '../../agent/collectors/collector.ts';
import type { Spill } from '../../agent/core/backlog.ts';
import type { FoundSlice } from '../../agent/core/slice-state.ts';
import { createHostAgent, type HostAgent, type HostAgentOptions } from '../../agent/host-agent.ts';
import { createSimulatedHypervisor, type SimulatedHypervisor, type SimulatedOptions } from '../../agent/hypervisor/simulated.ts';
import type { SimulatedVmOptions } from '../../agent/hypervisor/simulated-vm.ts';
import type { HostAgentSettings } from '../../agent/loops/host-context.ts';
import type { StateFiles } from '../../agent/loops/state-files.ts';
import { hostId, type VmId, vmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { Session } from '../../shared/net/session.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf, type FrameType } from '../../shared/protocol/frames.ts';
import type { Setting } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { createMemoryStateFiles } from '../../simulation/state-files.ts';

export const A = vmId('00000000-0000-4000-8000-00000000000a');
export const B = vmId('00000000-0000-4000-8000-00000000000b');

/** A calm web server of two vCPUs. */
export const calmVm = (id: VmId, over: Partial<SimulatedVmOptions> = {}): SimulatedVmOptions => ({
  id,
  name: `vm-${id.at(-1)}`,
  vcpus: 2,
  bootMemoryMiB: 1024,
  cpuDemandCores: () => 0.5,
  workingSetMiB: () => 300,
  statsPeriodSeconds: 2,
  facts: { osFamily: 'linux' },
  ...over,
});

export interface AgentWorld {
  readonly time: SimulatedTime;
  readonly hypervisor: SimulatedHypervisor;
  readonly files: StateFiles;
  readonly agent: HostAgent;
  readonly frames: Frame[];
  readonly blocks: TelemetryBlock[];
  /** What came in which lane, and when. */
  readonly heard: { lane: 'live' | 'backlog'; atMs: number; blocks: TelemetryBlock[] }[];
  readonly logs: string[];
  /** Settings that reached the hypervisor through writeSetting, in order. */
  readonly writes: Setting[];
  /** MemAvailable that the host's collector tells. */
  availableMiB: number;
  /** Memory lent and borrowed, as the programs that do it tell. */
  slices: FoundSlice[];
  run(seconds: number): Promise<void>;
  send(frame: Frame): void;
  /** A command that fits what is in force; its result once `run` has gone on. */
  command(over: Partial<FrameOf<'command'>>): string;
  result(commandId: string): FrameOf<'result'> | undefined;
  lease(over?: Partial<FrameOf<'lease'>>): void;
  of<T extends FrameType>(type: T): FrameOf<T>[];
  /** The newest state of a VM as inventories told it. */
  inventory(vm: VmId): FrameOf<'inventory'>['vms'][number] | undefined;
  /** The aggregator goes away, or comes back. */
  setPartitioned(partitioned: boolean): void;
  /** Its store goes away, or comes back: it is there and takes rows, and acknowledges none of them. */
  setStoring(storing: boolean): void;
  /** A clean stop, with the time it takes to drain. */
  stop(): Promise<void>;
  /** kill -9, and a new process with the same state directory. */
  restart(): Promise<void>;
}

export const SETTINGS: HostAgentSettings = {
  host: hostId('host-1'),
  include: [],
  sampleMs: 1000,
  guardMs: 1000,
  statsMs: 5000,
  balloonStatsMs: 2000,
  settingsMs: 5000,
  inventoryMs: 60_000,
  bootDeadlineMs: 30_000,
  foreignHoldMs: 86_400_000,
  foreignRestMs: 10_000,
  balloonSettleMs: 2000,
  memoryReserveMiB: 256,
  failSafeGrowthsPerMinute: 3,
  startupLeaseMs: 60_000,
};

/** How the agent opens its guests' channels; absent: nobody is there. */
export type OpenChannel = (time: SimulatedTime) => HostAgentOptions['openChannel'];

export async function agentWorld(
  vms: readonly SimulatedVmOptions[],
  settings: Partial<HostAgentSettings> = {},
  fault?: SimulatedOptions['fault'],
  spill: () => Spill | null = () => null,
  openChannel: OpenChannel = () => () => ({ close: () => {} }),
): Promise<AgentWorld> {
  const world = new World(vms, { ...SETTINGS, ...settings }, fault, spill, openChannel);
  await world.startAgent();
  return world;
}

class World implements AgentWorld {
  readonly time = new SimulatedTime(createPrng(1), Date.UTC(2026, 0, 5));
  readonly hypervisor: SimulatedHypervisor;
  readonly files = createMemoryStateFiles();
  readonly frames: Frame[] = [];
  readonly blocks: TelemetryBlock[] = [];
  readonly heard: AgentWorld['heard'] = [];
  readonly logs: string[] = [];
  readonly writes: Setting[] = [];
  availableMiB = 6000;
  slices: FoundSlice[] = [];
  agent!: HostAgent;
  readonly #settings: HostAgentSettings;
  readonly #network;
  #clock!: NodeClock;
  #session: Session | undefined;
  #storing = true;
  #commands = 0;
  #generation = 0;

  /** Opens the agent's disk ring, anew for each process. */
  readonly #spill: () => Spill | null;
  readonly #openChannel: OpenChannel;

  constructor(
    vms: readonly SimulatedVmOptions[],
    settings: HostAgentSettings,
    fault: SimulatedOptions['fault'],
    spill: () => Spill | null,
    openChannel: OpenChannel,
  ) {
    this.#settings = settings;
    this.#spill = spill;
    this.#openChannel = openChannel;
    const clock = new NodeClock(this.time);
    this.hypervisor = createSimulatedHypervisor({
      clock,
      cpuCores: 8,
      memoryMiB: 8192,
      vms,
      fault: (call) => {
        if (call.method === 'writeSetting' && call.setting) this.writes.push(call.setting);
        return fault?.(call) ?? null;
      },
    });
    this.#network = createSimulatedNetwork({ clock, name: 'host-1', maxBytes: FRAME_BYTES_MAX });
    this.#network.onConnection((transport) => {
      const session = new Session({
        transport,
        clock,
        receiver: 'aggregator',
        onFrame: (frame) => this.#heard(session, frame),
        onClose: () => {},
      });
      this.#session = session;
    });
  }

  async startAgent(): Promise<void> {
    this.#clock = new NodeClock(this.time);
    const { hypervisor } = this;
    const host: Collector = {
      name: 'memory',
      fields: ['host_memory.availableMiB'],
      required: [],
      update: () => reading({ 'host_memory.availableMiB': this.availableMiB }),
    };
    this.agent = createHostAgent({
      hypervisor,
      clock: this.#clock,
      prng: createPrng(2),
      connect: this.#network.connect,
      openChannel: this.#openChannel(this.time),
      channelName: 'org.headroom.agent.0',
      collectors: [host],
      counters: { read: (vm) => hypervisor.counters(vm), forget: () => {} },
      files: this.files,
      settings: this.#settings,
      log: createLogger((line) => this.logs.push(line), this.#clock, 'debug'),
      bootId: `boot-${this.time.nowMs}`,
      version: '0.1.0',
      balloonManager: () => null,
      slices: () => this.slices,
      spill: this.#spill(),
    });
    void this.agent.start();
    await this.run(3);
  }

  async run(seconds: number): Promise<void> {
    await this.time.runUntil(this.time.nowMs + seconds * 1000);
  }

  send(frame: Frame): void {
    this.#session?.send(frame);
  }

  command(over: Partial<FrameOf<'command'>>): string {
    const resource = over.resource ?? over.target?.resource ?? 'cpu';
    const commandId = `c${++this.#commands}`;
    const previous = over.previous ?? this.inventory((over.vm ?? A) as VmId)?.current.find((setting) => setting.resource === resource);
    this.send({
      type: 'command',
      commandId,
      vm: A,
      resource,
      pair: { epoch: 5, generation: ++this.#generation },
      leaseMs: 60_000,
      previous: previous ?? { resource: 'memory', memoryMiB: 1 },
      target: previous ?? { resource: 'memory', memoryMiB: 1 },
      floor: 0.1,
      ceiling: resource === 'cpu' ? 8 : 1e9,
      mode: 'auto',
      reason: 'test',
      ...over,
    });
    return over.commandId ?? commandId;
  }

  result(commandId: string): FrameOf<'result'> | undefined {
    return this.of('result').findLast((result) => result.commandId === commandId);
  }

  lease(over: Partial<FrameOf<'lease'>> = {}): void {
    this.send({ type: 'lease', epoch: 5, leaseMs: 300_000, reserveCores: 0, reserveMiB: 0, allowances: [], ...over });
  }

  of<T extends FrameType>(type: T): FrameOf<T>[] {
    return this.frames.filter((frame): frame is Extract<Frame, FrameOf<T>> => frame.type === type) as unknown as FrameOf<T>[];
  }

  inventory(vm: VmId): FrameOf<'inventory'>['vms'][number] | undefined {
    for (const frame of this.of('inventory').reverse()) {
      const found = frame.vms.find((one) => one.vm === vm);
      if (found) return found;
    }
    return undefined;
  }

  setPartitioned(partitioned: boolean): void {
    this.#network.setPartitioned(partitioned);
  }

  setStoring(storing: boolean): void {
    this.#storing = storing;
  }

  async stop(): Promise<void> {
    const stopped = this.agent.stop();
    await this.run(10);
    await stopped;
  }

  async restart(): Promise<void> {
    this.#clock.kill();
    this.#network.dropConnections();
    await this.run(1);
    await this.startAgent();
  }

  #heard(session: Session, frame: Frame): void {
    this.frames.push(frame);
    if (frame.type === 'hello') {
      session.send({
        type: 'welcome',
        version: 1,
        connectionId: 'x',
        epoch: 5,
        heartbeatMs: 5000,
        window: 8,
        backlogRowsPerSecond: 1000,
        wallMs: this.time.wallMs,
      });
      session.established(5000);
    }
    if (frame.type === 'telemetry') {
      const blocks = session.decodeBlocks(frame);
      if (!this.#storing) return;
      this.blocks.push(...blocks);
      this.heard.push({ lane: frame.lane, atMs: this.time.nowMs, blocks });
      const bootId = this.of('hello').at(-1)!.bootId;
      session.send({ type: 'ack', bootId, lane: frame.lane, fromSeq: frame.seq, toSeq: frame.seq });
    }
  }
}
