/**
 * A `VmBuilder` over a simulated hypervisor, for tests and simulation: pools and volumes in memory, definitions that keep their
 * mark, guests that shut down when asked, or ignore it. Input: the hypervisor, pools, how a built VM behaves; output: the seam,
 * and what is there, for checkers. Faults come in by a hook before each call.
 */
import type { Clock } from '../../shared/clock.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { BYTES_PER_MIB } from '../../shared/units.ts';
import type { VmBuild } from '../../shared/vm-build.ts';
import { type BuildPlaces, vmOfVolume } from '../actuators/build-vm.ts';
import type { BuildMark, HandMark, VmBuilder, Volume } from './builder.ts';
import type { PowerState } from './hypervisor.ts';
import type { SimulatedHypervisor } from './simulated.ts';
import type { SimulatedVmOptions } from './simulated-vm.ts';

export interface SimulatedPool {
  name: string;
  freeMiB: number;
  images: readonly string[];
}

export interface SimulatedBuilderOptions {
  clock: Clock;
  hypervisor: SimulatedHypervisor;
  pools: readonly SimulatedPool[];
  /** What the built guest wants, over time. */
  behaviour: (id: VmId, build: VmBuild) => Pick<SimulatedVmOptions, 'cpuDemandCores' | 'workingSetMiB'> & Partial<SimulatedVmOptions>;
  /** From the request to shut down to its end; null = the guest ignores it. */
  shutdownMs?: (id: VmId) => number | null;
  /** Of a running guest; none unless said. */
  addresses?: (id: VmId) => string[];
  /** Asked before each call; throws to let it fail. */
  fault?: (call: keyof VmBuilder) => void;
}

export interface SimulatedBuilder extends VmBuilder {
  /** Everything that was made and is still there, by VM: disks, seeds and definitions. */
  remains(): VmId[];
  readonly places: BuildPlaces;
}

interface Made {
  pools: ReadonlyMap<string, SimulatedPool & { volumes: Set<string> }>;
  marks: Map<VmId, BuildMark>;
  handed: Map<VmId, HandMark>;
  seeds: Set<VmId>;
}

export function createSimulatedBuilder(options: SimulatedBuilderOptions): SimulatedBuilder {
  const pools = new Map(options.pools.map((pool) => [pool.name, { ...pool, volumes: new Set(pool.images) }]));
  const made: Made = { pools, marks: new Map(), handed: new Map(), seeds: new Set() };
  const enter = (call: keyof VmBuilder): void => options.fault?.(call);
  return {
    ...storage(made, enter),
    ...domains(made, options, enter),
    places: places(made),
    close: async () => undefined,
    remains() {
      const disks = [...pools.values()].flatMap(({ volumes }) => [...volumes].flatMap((name) => vmOfVolume(name) ?? []));
      return [...new Set([...made.marks.keys(), ...made.seeds, ...disks])];
    },
  };
}

type Enter = (call: keyof VmBuilder) => void;

function storage(
  { pools }: Made,
  enter: Enter,
): Pick<VmBuilder, 'poolFreeBytes' | 'volumes' | 'volume' | 'createOverlay' | 'deleteVolume'> {
  const volumeOf = (pool: string, name: string): Volume => ({ pool, name, path: `/simulated/${pool}/${name}` });
  return {
    async poolFreeBytes(name) {
      enter('poolFreeBytes');
      const pool = pools.get(name);
      return pool === undefined ? null : pool.freeMiB * BYTES_PER_MIB;
    },
    async volumes(name) {
      enter('volumes');
      const pool = pools.get(name);
      if (pool === undefined) throw new HeadroomError('HYPERVISOR_REFUSED', `there is no pool ${name}`);
      return [...pool.volumes];
    },
    async volume(pool, name) {
      enter('volume');
      return pools.get(pool)?.volumes.has(name) === true ? volumeOf(pool, name) : null;
    },
    async createOverlay(pool, name) {
      enter('createOverlay');
      pools.get(pool)?.volumes.add(name);
      return volumeOf(pool, name);
    },
    async deleteVolume(pool, name) {
      enter('deleteVolume');
      pools.get(pool)?.volumes.delete(name);
    },
  };
}

type Domains = Pick<
  VmBuilder,
  'power' | 'domainTypes' | 'define' | 'hand' | 'handed' | 'mark' | 'start' | 'addresses' | 'shutdown' | 'powerOff' | 'undefine'
>;

function domains({ marks, handed }: Made, options: SimulatedBuilderOptions, enter: Enter): Domains {
  const { hypervisor, clock } = options;
  const power = (id: VmId): PowerState | null => (hypervisor.ids().includes(id) ? hypervisor.truth(id).power : null);
  const end = (id: VmId): void => {
    if (power(id) === 'running') hypervisor.setPower(id, 'shutoff');
  };
  return {
    async power(id) {
      enter('power');
      return power(id);
    },
    domainTypes: async () => ['kvm'],
    async define(id, build, _files, mark) {
      enter('define');
      if (power(id) !== null) return;
      const { name, vcpus, memoryMiB, labels } = build;
      const { facts, ...behaviour } = options.behaviour(id, build);
      const base = { id, name, vcpus, bootMemoryMiB: memoryMiB, power: 'shutoff' } as const;
      hypervisor.addVm({ ...base, ...behaviour, facts: { osFamily: 'linux', ...facts, labels } });
      marks.set(id, mark);
    },
    async hand(id, mark) {
      enter('hand');
      if (power(id) === null) throw new HeadroomError('HYPERVISOR_REFUSED', `there is no VM ${id} on this host`);
      if (mark === null) handed.delete(id);
      else handed.set(id, mark);
    },
    async handed(id) {
      enter('handed');
      return power(id) === null ? null : (handed.get(id) ?? null);
    },
    async mark(id) {
      enter('mark');
      return power(id) === null ? null : (marks.get(id) ?? null);
    },
    async start(id) {
      enter('start');
      if (power(id) !== 'running') hypervisor.setPower(id, 'running');
    },
    async addresses(id) {
      enter('addresses');
      return power(id) === 'running' ? (options.addresses?.(id) ?? []) : [];
    },
    async shutdown(id) {
      enter('shutdown');
      const afterMs = options.shutdownMs === undefined ? 0 : options.shutdownMs(id);
      if (afterMs !== null) clock.setTimeout(() => end(id), afterMs);
    },
    async powerOff(id) {
      enter('powerOff');
      end(id);
    },
    async undefine(id) {
      enter('undefine');
      if (power(id) !== null) hypervisor.removeVm(id);
      marks.delete(id);
    },
  };
}

/** An image called `corrupt.qcow2` is not what any checksum of only `a` says. */
function places({ seeds }: Made): BuildPlaces {
  return {
    digestOf: async (path) => (path.endsWith('/corrupt.qcow2') ? '0' : 'a').repeat(64),
    // No links in a simulated pool. Looking at the real disk here would let its pace decide what a simulation does.
    leadsOutside: async () => null,
    imageLeadsOutside: async () => null,
    async writeSeed(id, _name, seed) {
      if (seed === null) return null;
      seeds.add(id);
      return `/simulated/seeds/${id}`;
    },
    removeSeed: async (id) => void seeds.delete(id),
    seeds: async () => [...seeds],
  };
}
