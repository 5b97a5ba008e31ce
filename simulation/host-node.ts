/**
 * One simulated host: the physics of its VMs, and the real host agent on a simulated clock, connection and disk. The agent
 * can die and come back while the VMs go on; the host's wall clock can step. Input: size, VMs, network; output: handles for
 * faults and checkers.
 */
import { type Collector, noData, reading } from '../agent/collectors/collector.ts';
import { createHostAgent, type HostAgent } from '../agent/host-agent.ts';
import { createSimulatedHypervisor, type SimulatedFault, type SimulatedHypervisor } from '../agent/hypervisor/simulated.ts';
import type { SimulatedVmOptions } from '../agent/hypervisor/simulated-vm.ts';
import type { HostAgentSettings } from '../agent/loops/host-context.ts';
import { type HostId, hostId, type VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import type { Connect } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { NS_PER_SECOND } from '../shared/units.ts';
import { NodeClock, type SimulatedTime } from './clock.ts';
import { type Life, mortal } from './life.ts';
import { createMemoryStateFiles, type WatchedStateFiles } from './state-files.ts';

export interface HostNodeOptions {
  time: SimulatedTime;
  prng: Prng;
  name: string;
  cpuCores: number;
  memoryMiB: number;
  vms: readonly SimulatedVmOptions[];
  connect: Connect;
  settings: Omit<HostAgentSettings, 'host'>;
  tickMs: number;
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
      tickMs: options.tickMs,
      fault: (call) => options.fault(options.name, call.method === 'writeSetting' || call.method === 'writeNative'),
    });
  }

  get vmIds(): readonly VmId[] {
    return this.#options.vms.map(({ id }) => id);
  }

  /** Simulated time of the agent's last start. */
  agentStartedAtMs = 0;

  get agentRuns(): boolean {
    return this.#agent !== null;
  }

  /** Null while the agent is dead. */
  get agentMetrics(): Record<string, number> | null {
    return this.#agent?.metrics() ?? null;
  }

  async startAgent(): Promise<void> {
    const { time, prng, connect, settings, log } = this.#options;
    const clock = new NodeClock(time);
    clock.stepWall(this.#wallStepMs);
    this.#agentClock = clock;
    this.#starts++;
    this.agentStartedAtMs = time.nowMs;
    const life: Life = { alive: true };
    this.#life = life;
    const agent = createHostAgent({
      hypervisor: mortal(this.hypervisor, life),
      clock,
      prng: prng.stream(`agent/${this.#starts}`),
      connect: () => (life.alive ? connect() : new Promise<never>(() => undefined)),
      // Guests here run no agent: the host vouches for all there is.
      openChannel: () => ({ close: () => undefined }),
      channelName: 'org.headroom.agent.0',
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
  }

  /** The host's wall clock jumps for good. */
  stepWall(byMs: number): void {
    this.#wallStepMs += byMs;
    this.machineClock.stepWall(byMs);
    this.#agentClock?.stepWall(byMs);
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
