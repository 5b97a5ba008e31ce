/**
 * A simulated guest that runs the real guest agent, over a simulated virtio-serial channel to its host's agent. Its clock can
 * step, and it may lie: then it claims pressure it does not have. Input: its VM, its host's physics; output: what the host
 * agent's relay needs to open the channel, and handles for faults.
 */
import { type Collector, reading } from '../agent/collectors/collector.ts';
import { createGuestAgent, type GuestAgent } from '../agent/guest-agent.ts';
import type { GuestCpus } from '../agent/guest-cpus.ts';
import type { SimulatedVm } from '../agent/hypervisor/simulated-vm.ts';
import type { VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../shared/net/simulated.ts';
import type { Transport } from '../shared/net/transport.ts';
import type { Prng } from '../shared/prng.ts';
import { GUEST_FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { NodeClock, type SimulatedTime } from './clock.ts';

export const CHANNEL_NAME = 'org.headroom.agent.0';

export interface GuestNodeOptions {
  time: SimulatedTime;
  prng: Prng;
  vm: VmId;
  lies: boolean;
  sampleMs: number;
  flushMs: number;
  truth: () => Readonly<SimulatedVm>;
  /** Its vCPUs; absent = its agent may take none offline. */
  cpus?: GuestCpus;
  log: Logger;
}

export class GuestNode {
  readonly #options: GuestNodeOptions;
  readonly #network: SimulatedNetwork;
  #clock: NodeClock | null = null;
  #agent: GuestAgent | null = null;
  #wallStepMs = 0;
  #starts = 0;

  constructor(options: GuestNodeOptions) {
    this.#options = options;
    this.#network = createSimulatedNetwork({
      clock: new NodeClock(options.time),
      name: options.vm,
      maxBytes: GUEST_FRAME_BYTES_MAX,
    });
  }

  /** The host agent opens its end of the channel; a new agent takes it from the one before. */
  openChannel(onSession: (transport: Transport) => void): { close(): void } {
    this.#network.setPartitioned(true);
    this.#network.setPartitioned(false);
    this.#network.onConnection(onSession);
    return { close: () => this.#network.setPartitioned(true) };
  }

  /** Its host's agent has died, and its end of the channel with it. */
  hostAway(): void {
    this.#network.setPartitioned(true);
  }

  /** At power-on, and again after each reboot: what ran before is gone. */
  boot(): void {
    const { time, prng, vm, sampleMs, flushMs, log } = this.#options;
    this.#clock?.kill();
    this.#network.dropConnections();
    const clock = new NodeClock(time);
    clock.stepWall(this.#wallStepMs);
    this.#clock = clock;
    this.#starts++;
    this.#agent = createGuestAgent({
      clock,
      prng: prng.stream(`guest/${this.#starts}`),
      connect: this.#network.connect,
      relayed: true,
      vm,
      collectors: [this.#collector()],
      cpus: this.#options.cpus ?? null,
      sampleMs,
      flushMs,
      log,
      bootId: `${vm.slice(0, 13)}-${this.#starts}`,
      version: 'simulation',
    });
    this.#agent.start();
  }

  /** Its agent is told to end. */
  async stop(): Promise<void> {
    await this.#agent?.stop();
  }

  /** The guest's wall clock jumps for good. */
  stepWall(byMs: number): void {
    this.#wallStepMs += byMs;
    this.#clock?.stepWall(byMs);
  }

  #collector(): Collector {
    return {
      name: 'simulated-guest',
      fields: [
        'vm_memory.guestTotalMiB',
        'vm_memory.guestAvailableMiB',
        'vm_memory.guestWorkingSetMiB',
        'vm_pressure.guestMemoryFullFraction',
      ],
      required: [],
      update: () => {
        const { balloonMiB, workingSetMiB } = this.#options.truth();
        const short = workingSetMiB > balloonMiB;
        return reading({
          'vm_memory.guestTotalMiB': balloonMiB,
          'vm_memory.guestAvailableMiB': this.#options.lies ? 0 : Math.max(0, balloonMiB - workingSetMiB),
          'vm_memory.guestWorkingSetMiB': this.#options.lies ? balloonMiB : Math.min(balloonMiB, workingSetMiB),
          'vm_pressure.guestMemoryFullFraction': this.#options.lies ? 0.9 : short ? 0.5 : 0,
        });
      },
    };
  }
}
