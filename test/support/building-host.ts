/**
 * A host that makes VMs: the real host agent over a simulated hypervisor and builder. Input: a clock, connections, how its guests behave;
 * output: what it has, and the agent, not yet started.
 */
import { type Collector, reading } from '../../agent/collectors/collector.ts';
import type { Addresses } from '../../agent/core/addresses.ts';
import { createHostAgent } from '../../agent/host-agent.ts';
import { createSimulatedHypervisor, type SimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import { createSimulatedBuilder, type SimulatedBuilder, type SimulatedBuilderOptions } from '../../agent/hypervisor/simulated-builder.ts';
import type { Clock } from '../../shared/clock.ts';
import { hostId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import type { Connect } from '../../shared/net/transport.ts';
import { createPrng } from '../../shared/prng.ts';
import { createMemoryStateFiles } from '../../simulation/state-files.ts';
import { SETTINGS } from './agent-world.ts';
import { IMAGE, POOL } from './made-build.ts';
import { type SavingMeans, savingMeans } from './saving-means.ts';

export interface BuildingHostOptions {
  name: string;
  clock: Clock;
  connect: Connect;
  addresses?: Addresses;
  builder: Pick<SimulatedBuilderOptions, 'behaviour'> & Partial<SimulatedBuilderOptions>;
  /** Why a guest does not answer its host's probe; null = it does. */
  unreached?: () => string | null;
  /** It suspends VMs, by its hypervisor's own saving. */
  suspends?: boolean;
  log: (line: string) => void;
}

export interface BuildingHost {
  name: string;
  hypervisor: SimulatedHypervisor;
  builder: SimulatedBuilder;
  agent: ReturnType<typeof createHostAgent>;
  saving: SavingMeans;
}

export function buildingHost({
  name,
  clock,
  connect,
  addresses,
  builder: given,
  unreached,
  suspends = false,
  log,
}: BuildingHostOptions): BuildingHost {
  const hypervisor = createSimulatedHypervisor({ clock, name, cpuCores: 8, memoryMiB: 8192, vms: [] });
  const builder = createSimulatedBuilder({
    ...{ clock, hypervisor, pools: [{ name: POOL, freeMiB: 10_000, images: [IMAGE] }], shutdownMs: () => 1000 },
    ...{ addresses: () => ['192.168.122.20'], ...given },
  });
  const memory: Collector = {
    name: 'memory',
    fields: ['host_memory.availableMiB', 'host_memory.totalMiB'],
    required: [],
    update: () => {
      const { availableMiB, totalMiB } = hypervisor.memory();
      return reading({ 'host_memory.availableMiB': availableMiB, 'host_memory.totalMiB': totalMiB });
    },
  };
  const saving = savingMeans(hypervisor);
  const agent = createHostAgent({
    ...(suspends ? { suspend: saving.means } : {}),
    ...{ hypervisor, clock, prng: createPrng(2).stream(name), connect, ...(addresses ? { addresses } : {}) },
    openChannel: () => ({ close: () => {} }),
    channelName: 'org.headroom.agent.0',
    collectors: [memory],
    counters: { read: (vm) => hypervisor.counters(vm), forget: () => {} },
    files: createMemoryStateFiles(),
    settings: { ...SETTINGS, host: hostId(name), statsMs: 1000, balloonStatsMs: 1000, inventoryMs: 10_000, bootDeadlineMs: 4000 },
    log: createLogger(log, clock, 'warn'),
    bootId: `boot-${name}`,
    version: 'test',
    balloonManager: () => null,
    build: {
      builder,
      places: builder.places,
      limits: { pools: [POOL], networks: ['default'], handOver: ['hand-*'], bootFolder: null, vmsMax: 16, memoryMiBMax: 2048 },
      ask: async (own) => (own.length === 0 ? 'no address yet' : (unreached?.() ?? null)),
    },
  });
  return { name, hypervisor, builder, agent, saving };
}
