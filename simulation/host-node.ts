/**
 * One simulated host: the physics of its VMs, and the real host agent on a simulated clock, connection and disk. The agent
 * can die and come back while the VMs go on; the host's wall clock can step. Input: size, VMs, network; output: handles for
 * faults and checkers.
 */
import { type Collector, noData, reading } from '../agent/collectors/collector.ts';
import type { GuestCpus } from '../agent/guest-cpus.ts';
import { createHostAgent, type HostAgent } from '../agent/host-agent.ts';
import { createSimulatedHypervisor, type SimulatedFault, type SimulatedHypervisor } from '../agent/hypervisor/simulated.ts';
import { mostMiB } from '../agent/hypervisor/simulated-plugged.ts';
import type { HostAgentSettings } from '../agent/loops/host-context.ts';
import { type HostId, hostId, type VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import type { Connect } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import type { Resource } from '../shared/resources.ts';
import { NS_PER_SECOND } from '../shared/units.ts';
import { NodeClock, type SimulatedTime } from './clock.ts';
import type { DrawnVm } from './fleet.ts';
import { CHANNEL_NAME, GuestNode } from './guest-node.ts';
import { type Life, mortal } from './life.ts';
import type { Paces } from './paces.ts';
import { createMemoryStateFiles, type WatchedStateFiles } from './state-files.ts';

/** Kernels and libraries of like guests, merged: what hosts with like guests are known to save. */
const SHARED_SHARE = 0.05;

export interface HostNodeOptions {
  time: SimulatedTime;
  prng: Prng;
  name: string;
  cpuCores: number;
  memoryMiB: number;
  vms: readonly DrawnVm[];
  connect: Connect;
  settings: Omit<HostAgentSettings, 'host'>;
  paces: Paces;
  /** Asked before each call of the agent to its hypervisor. */
  fault: (hostName: string, write: boolean) => SimulatedFault | null;
  log: Logger;
}

export class HostNode {
  readonly id: HostId;
  readonly hypervisor: SimulatedHypervisor;
  readonly files: WatchedStateFiles = createMemoryStateFiles();
  readonly #options: HostNodeOptions;
  /** The machine's own clock: goes on while agents die. */
  readonly machineClock: NodeClock;
  #agentClock: NodeClock | null = null;
  #life: Life | null = null;
  #agent: HostAgent | null = null;
  #starts = 0;
  #wallStepMs = 0;
  /** VMs whose home this is. */
  readonly made: ReadonlySet<VmId>;
  readonly #guests = new Map<VmId, GuestNode>();
  /** When this agent first read what is in force, by VM and resource. */
  readonly #readAtMs = new Map<VmId, Partial<Record<Resource, number>>>();
  /** When an agent with a lease last wrote a VM's memory. */
  readonly #leasedWriteMs = new Map<VmId, number>();

  constructor(options: HostNodeOptions) {
    this.id = hostId(options.name);
    this.#options = options;
    this.machineClock = new NodeClock(options.time);
    this.hypervisor = createSimulatedHypervisor({
      clock: this.machineClock,
      name: options.name,
      cpuCores: options.cpuCores,
      memoryMiB: options.memoryMiB,
      vms: options.vms,
      tickMs: options.paces.tickMs,
      fault: (call) => {
        if (call.method === 'writeSetting' && call.setting?.resource === 'memory') this.#noteMemoryWrite(call.id!);
        return options.fault(options.name, call.method === 'writeSetting' || call.method === 'writeNative');
      },
    });
    this.#watchReads();
    this.made = new Set(options.vms.map(({ id }) => id));
    for (const vm of options.vms) if (vm.guestAgent) this.#guests.set(vm.id, this.#guest(vm));
    this.share();
  }

  #watchReads(): void {
    const { hypervisor } = this;
    const read = hypervisor.readSetting.bind(hypervisor);
    hypervisor.readSetting = (id, resource) => {
      const answer = read(id, resource);
      return this.#readAtMs.get(id)?.[resource] === undefined ? this.#noteFirst(id, resource, answer) : answer;
    };
  }

  async #noteFirst<T>(vm: VmId, resource: Resource, answer: Promise<T>): Promise<T> {
    const setting = await answer;
    const read = this.#readAtMs.get(vm) ?? {};
    read[resource] ??= this.#options.time.nowMs;
    this.#readAtMs.set(vm, read);
    return setting;
  }

  #noteMemoryWrite(vm: VmId): void {
    if (this.agentRuns && !this.leaseOut) this.#leasedWriteMs.set(vm, this.#options.time.nowMs);
  }

  /** Simulated time since when the agent that runs knows this value; infinity = it does not. */
  knowsSinceMs(vm: VmId, resource: Resource): number {
    return this.agentRuns ? (this.#readAtMs.get(vm)?.[resource] ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  }

  /** Simulated time at which an agent with a lease last wrote this VM's memory; minus infinity = never. */
  leasedWriteMs(vm: VmId): number {
    return this.#leasedWriteMs.get(vm) ?? Number.NEGATIVE_INFINITY;
  }

  /** VMs that are here now. */
  get vmIds(): readonly VmId[] {
    return this.hypervisor.ids();
  }

  /** It may have been evacuated meanwhile. */
  has(vm: VmId): boolean {
    return this.vmIds.includes(vm);
  }

  /** A guest reboots, its agent with it. */
  reboot(vm: VmId): void {
    this.hypervisor.reboot(vm);
    this.#guests.get(vm)?.boot();
  }

  /** Guests' wall clocks jump for good. */
  stepGuests(byMs: number): void {
    for (const guest of this.#guests.values()) guest.stepWall(byMs);
  }

  /** Guests' equal pages are merged: a part of what they boot with is held once for all. */
  share(): void {
    this.hypervisor.setSharedMiB(SHARED_SHARE * this.#options.vms.reduce((sum, vm) => sum + mostMiB(vm), 0));
  }

  get agentRuns(): boolean {
    return this.#agent !== null;
  }

  /** What its fast guard may hand out on its own, MiB; null = no agent runs. */
  get guardReserveMiB(): number | null {
    return this.#agent?.metrics().agent_guard_reserve_mib ?? null;
  }

  /** The agent runs, and its lease ran out. */
  get leaseOut(): boolean {
    return this.#agent?.leaseOut() === true;
  }

  async startAgent(): Promise<void> {
    const { time, prng, connect, settings, paces, log } = this.#options;
    const clock = new NodeClock(time);
    clock.stepWall(this.#wallStepMs);
    this.#agentClock = clock;
    this.#starts++;
    this.#readAtMs.clear();
    const life: Life = { alive: true };
    this.#life = life;
    const agent = createHostAgent({
      hypervisor: mortal(this.hypervisor, life),
      clock,
      prng: prng.stream(`agent/${this.#starts}`),
      connect: () => (life.alive ? connect() : new Promise<never>(() => undefined)),
      openChannel: ({ vm }, onSession) => this.#guests.get(vm)?.openChannel(onSession) ?? { close: () => undefined },
      channelName: CHANNEL_NAME,
      flushMs: paces.flushMs,
      switchesMs: paces.switchesMs,
      guestHeartbeatMs: paces.heartbeatMs,
      collectors: [this.#collector()],
      counters: { read: (vm) => this.#counters(vm), forget: () => undefined },
      files: this.files,
      settings: { ...settings, host: this.id },
      log,
      bootId: `${this.id}-${this.#starts}`,
      version: 'simulation',
      balloonManager: () => null,
    });
    this.#agent = agent;
    await agent.start();
  }

  /** kill -9 of the agent: no goodbye, nothing of it runs any more; VMs and their limits stay as they are. */
  killAgent(): void {
    if (this.#life) this.#life.alive = false;
    this.#agentClock?.kill();
    this.#agentClock = null;
    this.#agent = null;
    for (const guest of this.#guests.values()) guest.hostAway();
  }

  /** The host's wall clock jumps for good. */
  stepWall(byMs: number): void {
    this.#wallStepMs += byMs;
    this.machineClock.stepWall(byMs);
    this.#agentClock?.stepWall(byMs);
  }

  #guest(drawn: DrawnVm): GuestNode {
    const { id, lies } = drawn;
    const { time, prng, paces, log } = this.#options;
    const { sampleMs, flushMs } = paces;
    const truth = () => this.hypervisor.truth(id);
    const guest = new GuestNode({
      time,
      prng: prng.stream(`guest/${id}`),
      vm: id,
      lies,
      sampleMs,
      flushMs,
      truth,
      log,
      ...this.#cpus(drawn),
    });
    guest.boot();
    return guest;
  }

  /** Of a labelled VM: its kernel does as it is told, says so and does not, or refuses. */
  #cpus({ id, vcpus, takesOffline }: DrawnVm): { cpus?: GuestCpus } {
    if (takesOffline === undefined) return {};
    const { hypervisor } = this;
    return {
      cpus: {
        get held() {
          return hypervisor.ids().includes(id) && hypervisor.truth(id).vcpusOnline < vcpus;
        },
        set: (online) => {
          if (takesOffline === 'refuses') throw new Error('the kernel refused');
          if (takesOffline === 'obeys') hypervisor.setVcpusOnline(id, Math.min(vcpus, online));
          return online;
        },
        restore: () => {
          hypervisor.setVcpusOnline(id, vcpus);
          return vcpus;
        },
      },
    };
  }

  #counters(vm: Parameters<SimulatedHypervisor['counters']>[0]) {
    try {
      return this.hypervisor.counters(vm);
    } catch {
      return noData('the VM is gone');
    }
  }

  #collector(): Collector {
    const fields = [
      'host_cpu.usageCores',
      'host_memory.totalMiB',
      'host_memory.availableMiB',
      'host_memory.swapUsedMiB',
      'host_memory.swapOutMiBPerSecond',
    ];
    let before: { atMs: number; cpuNs: number; swapMiB: number } | null = null;
    return {
      name: 'simulated-host',
      fields,
      required: ['host_memory.availableMiB'],
      update: (nowMs) => {
        const memory = this.hypervisor.memory();
        const cpuNs = this.hypervisor.hostCpuNs();
        const seconds = before === null ? Number.NaN : (nowMs - before.atMs) / 1000;
        const values = {
          'host_cpu.usageCores': before === null ? Number.NaN : (cpuNs - before.cpuNs) / NS_PER_SECOND / seconds,
          'host_memory.totalMiB': memory.totalMiB,
          'host_memory.availableMiB': memory.availableMiB,
          'host_memory.swapUsedMiB': memory.swapUsedMiB,
          'host_memory.swapOutMiBPerSecond': before === null ? Number.NaN : Math.max(0, memory.swapUsedMiB - before.swapMiB) / seconds,
        };
        before = { atMs: nowMs, cpuNs, swapMiB: memory.swapUsedMiB };
        return reading(values);
      },
    };
  }
}
