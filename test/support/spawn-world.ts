/**
 * Groups of VMs in a small simulated world: the real aggregator and real host agents, their hypervisors and builders simulated,
 * and a load that the members share as behind a load balancer. Input: policy, templates, the load, hosts; output: a handle to move
 * time, kill and start the aggregator, start a second beside it and hand the fleet to and fro, take hosts away, and look at what
 * there is.
 */
import type { VmBuilder } from '../../agent/hypervisor/builder.ts';
import type { SimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import type { SimulatedBuilder, SimulatedPool } from '../../agent/hypervisor/simulated-builder.ts';
import { type Aggregator, createAggregator } from '../../aggregator/aggregator.ts';
import { decisionConfig } from '../../aggregator/config.ts';
import type { FleetPeer } from '../../aggregator/http/fleet-service.ts';
import { askedIn, askedText, orderIn, orderText, toldIn, toldText } from '../../aggregator/http/fleet-wire.ts';
import type { GroupView } from '../../aggregator/http/spawn-service.ts';
import type { Notification } from '../../aggregator/notify/notifier.ts';
import type { LedgerStore } from '../../aggregator/store/ledger-store.ts';
import { createMemoryLedgerStore } from '../../aggregator/store/sqlite/memory-ledger-store.ts';
import { createMemorySeriesStore } from '../../aggregator/store/sqlite/memory-series-store.ts';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { createLogger } from '../../shared/log.ts';
import { createSimulatedNetwork } from '../../shared/net/simulated.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { NodeClock, SimulatedTime } from '../../simulation/clock.ts';
import { type Life, mortal } from '../../simulation/life.ts';
import { buildingHost } from './building-host.ts';
import { IMAGE, POOL } from './made-build.ts';
import type { SavingMeans } from './saving-means.ts';

export const STEP_MS = 5000;
/** A season short enough to be seen several times. */
export const SEASON_MS = 120_000;
const BOOT_MS = 3000;
const CONFIG = decisionConfig({ stepMs: STEP_MS, planPeriodMs: STEP_MS, seasonsMs: [SEASON_MS] });

export const TEMPLATE = `version: 1
name: web
image: {pool: ${POOL}, volume: ${IMAGE}}
vcpus: 1
memoryMiB: 512
networks: [{network: default}]
ready: {probe: booted, within: 1m}
`;

export interface SpawnWorldOptions {
  /** Lines of the group's section. */
  group: string;
  template?: string;
  /** Of all members together, cores. */
  load?: (worldMs: number) => number;
  hosts?: number;
  pool?: Partial<SimulatedPool>;
  /** Of one host, by its name. */
  poolOf?: (host: string) => Partial<SimulatedPool>;
  /** From the request to shut down to its end; null = guests ignore it. */
  shutdownMs?: number | null;
  fault?: (host: string, call: keyof VmBuilder) => void;
  /** Which aggregator's a host is; absent: all are of the one whose door is open. Then aggregators see only their own, and ask each other. */
  seatOf?: (host: string) => number;
  /** Hosts suspend VMs, by their hypervisors' own saving. */
  suspends?: boolean;
  /** Why a guest does not answer its host's probe; null or absent = it does. */
  unreached?: () => string | null;
}

const policyText = (group: string): string => `version: 1
fleet: {lease: 25s, staleAfter: 15s, reserve: {memoryMiB: 256}}
groups:
  - name: web
    template: web
    mode: auto
    target: {cpu: 0.8}
${group.replace(/^/gm, '    ')}
`;

/** An aggregator's process. */
interface Seat {
  aggregator: Aggregator;
  life: Life;
  clock: NodeClock;
}

interface WorldHost {
  name: string;
  hypervisor: SimulatedHypervisor;
  builder: SimulatedBuilder;
  saving: SavingMeans;
  network: ReturnType<typeof createSimulatedNetwork>;
}

export class SpawnWorld {
  readonly time = new SimulatedTime(createPrng(11), Date.UTC(2026, 2, 3, 8, 0, 0));
  readonly ledger: LedgerStore = createMemoryLedgerStore();
  readonly hosts: WorldHost[] = [];
  readonly log: string[] = [];
  readonly told: Notification[] = [];
  readonly seats: Seat[] = [];
  /** Called before each write that spawning makes; where it answers a promise, the write lands when that is kept. */
  onWrite: (seat: number) => Promise<void> | void = () => undefined;
  readonly #options: SpawnWorldOptions;
  /** Aggregators that answer nobody. */
  readonly deaf = new Set<number>();
  readonly #series = createMemorySeriesStore({ clock: new NodeClock(this.time) });
  /** Who holds the fleet, and the epoch of that hold. */
  #fleet = { seat: 0, epoch: 0 };
  /** Whom hosts reach. */
  #door = 0;

  constructor(options: SpawnWorldOptions) {
    this.#options = options;
    for (let i = 1; i <= (options.hosts ?? 1); i++) this.#addHost(`kvm${i}`);
  }

  /** Whom hosts reach. */
  get aggregator(): Aggregator {
    const seat = this.seats[this.#door];
    if (seat === undefined) throw new Error('no aggregator was started');
    return seat.aggregator;
  }

  /** Another process in place of the one before. `writesLeft`: it dies as it would make one more write to the ledger's store. */
  async start(writesLeft = Number.POSITIVE_INFINITY): Promise<void> {
    const index = this.seats.length;
    this.#door = index;
    this.holdFleet(index);
    let writes = 0;
    if (Number.isFinite(writesLeft)) {
      this.onWrite = (seat) => {
        if (seat === index && ++writes > writesLeft) this.kill();
      };
    }
    await this.join();
    const { spawning } = this.aggregator.service;
    await spawning.applyTemplate('web', this.#options.template ?? TEMPLATE, 'test', { dryRun: false, ifVersion: null });
  }

  /** One more process, beside those there are. */
  async join(): Promise<void> {
    const index = this.seats.length;
    const life: Life = { alive: true };
    const clock = new NodeClock(this.time);
    const aggregator = await createAggregator({
      clock,
      prng: createPrng(1),
      series: mortal(this.#series, life),
      ledger: mortal(this.#watched(index), life),
      policySource: { read: async () => policyText(this.#options.group) },
      config: CONFIG,
      log: createLogger((line) => this.log.push(line), clock, 'warn'),
      version: 'test',
      notifiers: [{ notify: (told) => void this.told.push(told), metrics: () => ({}), stop: async () => undefined }],
      fleetEpoch: () => (this.#fleet.seat === index ? this.#fleet.epoch : null),
      ...(this.#options.seatOf === undefined ? {} : { fleetPeers: () => this.#peersOf(index) }),
    });
    this.seats.push({ aggregator, life, clock });
    aggregator.start();
  }

  /** Each as the others reach it, by what would go over the wire. */
  #peersOf(index: number): FleetPeer[] {
    return this.seats.flatMap(({ aggregator, life }, seat) => {
      if (seat === index || !life.alive) return [];
      const heard = (): void => {
        if (this.deaf.has(seat)) throw new HeadroomError('UNAVAILABLE', 'it does not answer');
      };
      return [
        {
          name: `seat${seat}`,
          async look(asked) {
            heard();
            return toldIn(toldText(aggregator.fleetDesk.tell(askedIn(JSON.parse(askedText(asked))))));
          },
          async build(host, frame) {
            heard();
            const order = orderIn(JSON.parse(orderText({ host, frame })));
            aggregator.fleetDesk.pass(order.host, order.frame);
          },
        },
      ];
    });
  }

  #watched(seat: number): LedgerStore {
    return new Proxy(this.ledger, {
      get: (target, name) => {
        const value = Reflect.get(target, name, target) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          const write = (): unknown => (value as (...args: unknown[]) => unknown).apply(target, args);
          const held = /^(append|putBlob)$/.test(String(name)) && isSpawning(args) ? this.onWrite(seat) : undefined;
          return held === undefined ? write() : held.then(write);
        };
      },
    });
  }

  /** Whose seat the fleet is held at. */
  get holder(): number {
    return this.#fleet.seat;
  }

  holdFleet(seat: number): void {
    this.#fleet = { seat, epoch: this.#fleet.epoch + 1 };
  }

  /** Hosts leave the one they were connected to, and reach this one. */
  openDoor(seat: number): void {
    this.#door = seat;
    for (const { network } of this.hosts) network.dropConnections();
  }

  /** kill -9: nothing is drained, connections are cut, answers under way never arrive. */
  kill(): void {
    for (const { life, clock } of this.seats) {
      if (!life.alive) continue;
      life.alive = false;
      clock.kill();
    }
    for (const { network } of this.hosts) network.dropConnections();
  }

  get alive(): boolean {
    return this.seats.some(({ life }) => life.alive);
  }

  run(seconds: number): Promise<void> {
    return this.time.runUntil(this.time.nowMs + seconds * 1000);
  }

  get group(): GroupView {
    const [group] = this.aggregator.service.spawning.groups();
    if (group === undefined) throw new Error('the policy has no group');
    return group;
  }

  /** Phases of the group's members. */
  get phases(): string[] {
    return this.group.members.map(({ phase }) => phase);
  }

  /** VMs that run, on whatever host. */
  running(): VmId[] {
    return this.hosts.flatMap(({ hypervisor }) => hypervisor.ids().filter((id) => hypervisor.truth(id).power === 'running'));
  }

  /** All that was made and is still there: disks, seeds, definitions. */
  remains(): VmId[] {
    return this.hosts.flatMap(({ builder }) => builder.remains());
  }

  #serving(): number {
    const up = (host: WorldHost, id: VmId): boolean => {
      const vm = host.hypervisor.truth(id);
      return vm.power === 'running' && vm.driverLoadsAtMs <= this.time.nowMs;
    };
    return this.hosts.reduce((sum, host) => sum + host.hypervisor.ids().filter((id) => up(host, id)).length, 0);
  }

  #addHost(name: string): void {
    const clock = new NodeClock(this.time);
    const { load = () => 0, pool = {}, poolOf = () => ({}), shutdownMs = 1000, fault, unreached, suspends = false } = this.#options;
    const network = createSimulatedNetwork({ clock, name, maxBytes: FRAME_BYTES_MAX });
    network.onConnection((transport) => {
      const { seatOf } = this.#options;
      const seat = seatOf === undefined ? this.seats[this.#door] : this.seats[seatOf(name)];
      if (this.alive && seat !== undefined) seat.aggregator.accept(transport);
      else transport.close('nobody is here');
    });
    const { hypervisor, builder, saving, agent } = buildingHost({
      ...{ name, suspends, clock, connect: network.connect, log: (line) => void this.log.push(line), ...(unreached ? { unreached } : {}) },
      builder: {
        pools: [{ name: POOL, freeMiB: 10_000, images: [IMAGE], ...pool, ...poolOf(name) }],
        behaviour: () => ({
          cpuDemandCores: () => load(this.time.nowMs) / Math.max(1, this.#serving()),
          workingSetMiB: () => 200,
          bootMs: BOOT_MS,
        }),
        shutdownMs: () => shutdownMs,
        ...(fault === undefined ? {} : { fault: (call) => fault(name, call) }),
      },
    });
    this.hosts.push({ name, hypervisor, builder, saving, network });
    void agent.start();
  }
}

/** Writes that spawning makes; the others are looked at elsewhere. */
function isSpawning([first, second]: unknown[]): boolean {
  return (typeof first === 'string' && first.startsWith('spawn/book/')) || (second as { kind?: string } | undefined)?.kind === 'spawn';
}

export async function spawnWorld(options: SpawnWorldOptions): Promise<SpawnWorld> {
  const world = new SpawnWorld(options);
  await world.start();
  return world;
}
