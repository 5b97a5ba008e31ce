/**
 * A host agent reduced to what the aggregator sees of one, for tests on a simulated clock: hello, inventory, rows once a
 * second, commands carried out to the letter. Input: VMs and their load; output: what it was told.
 */

import { Session } from '../../shared/net/session.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../../shared/net/simulated.ts';
import type { Transport } from '../../shared/net/transport.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX, type Frame, type FrameOf, type VmInventory } from '../../shared/protocol/frames.ts';
import { PROTOCOL_VERSIONS } from '../../shared/protocol/versions.ts';
import { type CpuSetting, type MemorySetting, type Pair, RESOURCES, type Resource } from '../../shared/resources.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import type { NodeClock } from '../../simulation/clock.ts';

export interface FakeVm {
  id: string;
  name: string;
  cpu: CpuSetting;
  memory: MemorySetting;
  pairs: Partial<Record<Resource, Pair>>;
  /** Cores and MiB wanted at a moment (UTC ms). */
  load: (atMs: number) => { cores: number; memoryMiB: number };
  state: VmInventory['state'];
  /** Labelled, with a guest agent that takes vCPUs offline and brings them back; absent: two, all online. */
  vcpus?: { defined: number; online: number };
}

const ALLOWED = { allowed: true } as const;
const BOOT_MIB = 1024;
const VCPUS = 2;

export class FakeHost {
  readonly name: string;
  readonly vms: FakeVm[];
  readonly commands: FrameOf<'command'>[] = [];
  readonly leases: FrameOf<'lease'>[] = [];
  readonly suspends: FrameOf<'suspend'>[] = [];
  readonly kills: FrameOf<'kill-switch'>[] = [];
  /** Orders about vCPUs, carried out to the letter unless `onVcpus` refuses. */
  readonly vcpuOrders: FrameOf<'guest-command'>[] = [];
  onVcpus: () => string | null = () => null;
  /** What guests were to be told of their resources, through agents that pass it on. */
  readonly pools: FrameOf<'pool'>[] = [];
  capabilities: string[] = [];
  /** Share of the time in which something on it waits for a CPU. */
  cpuPressureFraction = 0;
  /** Switches that are on, by VM (null = the host's), with their reason. */
  readonly #killed = new Map<string | null, string>();
  /** What becomes of a command: a result, or silence. */
  onCommand: (command: FrameOf<'command'>, vm: FakeVm) => FrameOf<'result'> | null = (command, vm) =>
    carryOut(command, vm, this.#clock.wallMs());
  epochSeen = 0;
  readonly #clock: NodeClock;
  readonly network: SimulatedNetwork;
  #session: Session | undefined;
  #seq = 0;
  #boot = 1;

  constructor(name: string, clock: NodeClock, vms: FakeVm[]) {
    this.name = name;
    this.#clock = clock;
    this.vms = vms;
    const random = createPrng(5, name);
    this.network = createSimulatedNetwork({ clock, name, maxBytes: FRAME_BYTES_MAX, fate: () => [1 + random.next() * 5] });
  }

  get connected(): boolean {
    return this.#session?.ready === true;
  }

  async connect(): Promise<void> {
    const transport: Transport = await this.network.connect();
    const session = new Session({
      transport,
      clock: this.#clock,
      receiver: 'host-agent',
      onFrame: (frame) => this.#frame(frame),
      onClose: () => undefined,
    });
    this.#session = session;
    const highestPairs = this.vms.flatMap(({ id, pairs }) =>
      Object.entries(pairs).map(([resource, pair]) => ({ vm: id, resource: resource as Resource, pair })),
    );
    session.send({
      type: 'hello',
      versions: [...PROTOCOL_VERSIONS],
      role: 'host',
      host: this.name,
      vm: null,
      bootId: `boot-${this.#boot}`,
      agentVersion: 'test',
      capabilities: this.capabilities,
      wallMs: this.#clock.wallMs(),
      monotonicMs: this.#clock.monotonicMs(),
      highestPairs,
    });
  }

  /** Connects anew as often as needed and sends rows each second, for as long as the clock runs. */
  live(): void {
    this.#clock.setInterval(() => {
      if (this.#session === undefined || this.#session.closed) void this.connect().catch(() => undefined);
      else if (this.connected) this.#sendRows();
    }, 1000);
  }

  send(frame: Frame): void {
    this.#session?.send(frame);
  }

  #frame(frame: Frame): void {
    if (frame.type === 'welcome') {
      this.epochSeen = frame.epoch;
      this.#session?.established(frame.heartbeatMs);
      this.sendInventory();
    } else if (frame.type === 'lease') this.leases.push(frame);
    else if (frame.type === 'kill-switch') this.#kill(frame);
    else if (frame.type === 'pool') this.pools.push(frame);
    else if (frame.type === 'guest-command') this.#setVcpus(frame);
    else if (frame.type === 'suspend') this.suspends.push(frame);
    else if (frame.type === 'command') {
      this.commands.push(frame);
      const vm = this.vms.find(({ id }) => id === frame.vm);
      const result = vm ? this.onCommand(frame, vm) : null;
      if (result) this.send(result);
    }
  }

  #setVcpus(order: FrameOf<'guest-command'>): void {
    const { commandId, vm: id, pair, action } = order;
    const vm = this.vms.find((each) => each.id === id);
    if (vm?.vcpus === undefined || action.kind !== 'cpus-online') return;
    this.vcpuOrders.push(order);
    const refused = this.onVcpus();
    if (refused === null) vm.vcpus.online = action.vcpus;
    const [outcome, reason] =
      refused === null ? (['applied', `${vm.vcpus.online} vCPUs online`] as const) : (['refused', refused] as const);
    const answer = { commandId, vm: id, resource: 'cpu', pair, outcome, reason, readBack: null, wallMs: this.#clock.wallMs() } as const;
    this.send({ type: 'result', ...answer, vcpusOnline: vm.vcpus.online });
    this.sendInventory();
  }

  /** As a host agent that sees its guest use all that is online. */
  bringVcpusBack(vm: FakeVm, needed: boolean): void {
    const { vcpus } = vm;
    if (vcpus === undefined) return;
    const about = { kind: 'restored', vm: vm.id, resource: 'cpu', wallMs: this.#clock.wallMs(), setting: null, pair: null } as const;
    const message = `${vm.name}: all its vCPUs are online again: it uses ${vcpus.online.toFixed(2)} cores of the ${vcpus.online} that were online`;
    this.send({ type: 'event', ...about, message, vcpus: { from: vcpus.online, needed } });
    vcpus.online = vcpus.defined;
    this.sendInventory();
  }

  /** Told at once, as a host agent does: the planner hears of a host's or a VM's switch from its host alone. */
  #kill(frame: FrameOf<'kill-switch'>): void {
    this.kills.push(frame);
    if (frame.engaged) this.#killed.set(frame.vm, frame.reason);
    else this.#killed.delete(frame.vm);
    this.sendInventory();
  }

  sendInventory(): void {
    this.send(fullInventory(this.vms, this.#killed));
  }

  #sendRows(): void {
    const atMs = this.#clock.wallMs();
    this.#session?.sendTelemetry('live', ++this.#seq, rowsOf(this.name, this.vms, atMs, this.cpuPressureFraction));
  }
}

/** `killed`: switches that are on, by VM (null = the host's), with their reason. */
export function fullInventory(vms: readonly FakeVm[], killed: ReadonlyMap<string | null, string> = new Map()): FrameOf<'inventory'> {
  return {
    type: 'inventory',
    full: true,
    host: {
      cpuCores: 8,
      memoryMiB: 16_384,
      numaNodes: [],
      architecture: 'x86_64',
      hypervisorVersion: 'test',
      balloonManager: null,
      hypervisorConnected: true,
      killSwitch: killed.has(null),
    },
    vms: vms.map((vm) => inventoryOf(vm, killed.get(vm.id) ?? null)),
    gone: [],
  };
}

/** One row of the host and of each VM. */
export function rowsOf(host: string, vms: readonly FakeVm[], atMs: number, cpuPressureFraction = 0): TelemetryBlock[] {
  return [hostBlock(host, atMs, cpuPressureFraction), ...vms.map((vm) => vmBlock(vm, atMs))];
}

export function fakeVm(id: string, name: string, load: FakeVm['load']): FakeVm {
  return {
    id,
    name,
    cpu: { resource: 'cpu', weight: 100, capCores: null },
    memory: { resource: 'memory', memoryMiB: BOOT_MIB },
    pairs: {},
    load,
    state: 'ready',
  };
}

export function carryOut(command: FrameOf<'command'>, vm: FakeVm, wallMs: number): FrameOf<'result'> {
  if (command.target.resource === 'cpu') vm.cpu = command.target;
  if (command.target.resource === 'memory') vm.memory = command.target;
  vm.pairs[command.resource] = command.pair;
  return resultOf(command, 'applied', wallMs);
}

export function resultOf(command: FrameOf<'command'>, outcome: FrameOf<'result'>['outcome'], wallMs: number): FrameOf<'result'> {
  const { commandId, vm, resource, pair, target, previous } = command;
  return {
    type: 'result',
    commandId,
    vm,
    resource,
    pair,
    outcome,
    reason: outcome,
    readBack: outcome === 'applied' ? target : previous,
    wallMs,
  };
}

function inventoryOf(vm: FakeVm, killed: string | null): VmInventory {
  return {
    vm: vm.id,
    name: vm.name,
    state: vm.state,
    vcpus: vm.vcpus?.defined ?? VCPUS,
    ...(vm.vcpus === undefined ? {} : { vcpusOnline: vm.vcpus.online }),
    bootMemoryMiB: BOOT_MIB,
    overheadMiB: 32,
    osFamily: 'linux',
    labels: vm.vcpus === undefined ? {} : { vcpus: 'allow' },
    eligibility: { cpu: ALLOWED, memory: ALLOWED, network: ALLOWED, disk: ALLOWED },
    baseline: [
      { resource: 'cpu', weight: 100, capCores: null },
      { resource: 'memory', memoryMiB: BOOT_MIB },
    ],
    current: [vm.cpu, vm.memory],
    pairs: Object.entries(vm.pairs).map(([resource, pair]) => ({ resource: resource as Resource, pair })),
    holds: killed === null ? [] : RESOURCES.map((resource) => ({ resource, reason: `kill switch: ${killed}`, forMs: null })),
    jobActive: false,
    guestAgent: true,
    missingSignals: [],
  };
}

function block(kind: 'vm' | 'host', id: string, atMs: number, row: Record<string, number>): TelemetryBlock {
  return {
    subject: { kind, id },
    source: 'host',
    fields: Object.keys(row),
    timesMs: Float64Array.of(atMs),
    values: Float64Array.from(Object.values(row)),
  };
}

function hostBlock(name: string, atMs: number, cpuPressureFraction: number): TelemetryBlock {
  return block('host', name, atMs, {
    'host_cpu.usageCores': 1,
    'host_memory.availableMiB': 8000,
    'host_memory.swapInMiBPerSecond': 0,
    'host_memory.swapOutMiBPerSecond': 0,
    'host_pressure.cpuSomeFraction': cpuPressureFraction,
  });
}

function vmBlock(vm: FakeVm, atMs: number): TelemetryBlock {
  const wanted = vm.load(atMs);
  const vcpus = vm.vcpus?.defined ?? VCPUS;
  const online = vm.vcpus?.online ?? vcpus;
  const cap = vm.cpu.capCores ?? vcpus;
  const { memoryMiB } = vm.memory;
  return block('vm', vm.id, atMs, {
    'vm_cpu.usageCores': Math.min(wanted.cores, cap, online),
    'vm_cpu.throttledFraction': wanted.cores > cap ? (wanted.cores - cap) / vcpus : 0,
    'vm_cpu.waitFraction': 0,
    'vm_cpu.capCores': vm.cpu.capCores ?? Number.NaN,
    'vm_memory.balloonMiB': memoryMiB,
    'vm_memory.targetMiB': memoryMiB,
    'vm_memory.availableMiB': Math.max(0, memoryMiB - wanted.memoryMiB),
    'vm_memory.swapInMiBPerSecond': 0,
    'vm_memory.statsAgeMs': 0,
    'vm_memory.rssMiB': memoryMiB + 32,
    'vm_network.receiveBytesPerSecond': 1000,
    'vm_network.transmitBytesPerSecond': 1000,
    'vm_disk.readBytesPerSecond': 0,
    'vm_disk.writeBytesPerSecond': 0,
  });
}
