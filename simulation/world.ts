/**
 * The simulated world: hosts with VMs, one aggregator, the network between, all from one seed. Real core, connection
 * handling, executor, agents and guards; simulated clock, network, disks and hypervisors. Input: sizes and faults; output:
 * a run that first goes wrong in every way asked for, then heals and must converge, and what was seen.
 */

import { decisionConfig } from '../aggregator/config.ts';
import type { Deciders } from '../aggregator/loops/plan-loop.ts';
import { errorText } from '../shared/errors.ts';
import type { VmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../shared/net/simulated.ts';
import { createPrng, type Prng } from '../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { differencesFrom, restoreAll } from './aftermath.ts';
import { AggregatorNode } from './aggregator-node.ts';
import { NodeClock, SimulatedTime } from './clock.ts';
import { bringHome } from './evacuation.ts';
import { carryOut, type FaultyWorld } from './fault-events.ts';
import { type FaultKind, Faults } from './faults.ts';
import { agentSettings, drawHost } from './fleet.ts';
import { HostNode } from './host-node.ts';
import { type BrokenInvariant, Invariants } from './invariants.ts';
import { type Paces, pacesFor, STEP_MS } from './paces.ts';
import { simulationPolicy } from './policy.ts';

export interface SimulationOptions {
  seed: number;
  hosts: number;
  vms: number;
  hours: number;
  faults: ReadonlySet<FaultKind>;
  /** Absent: the usual policy of simulated fleets. */
  policy?: string;
  /** Absent: the real ones. */
  deciders?: Deciders;
  /** Absent: as the run's size asks. */
  paces?: Paces | undefined;
  /** Told now and then: simulated hours so far. */
  onProgress?: (hours: number) => void;
}

export interface SimulationReport {
  seed: number;
  hosts: number;
  vms: number;
  simulatedHours: number;
  /** Changes that plans asked for. */
  steps: number;
  changesApplied: number;
  lintRejections: number;
  faultsInjected: Record<string, number>;
  brokenInvariants: BrokenInvariant[];
  converged: boolean;
  restored: boolean;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A Monday, so that weeks begin with the run. */
const START_MS = Date.UTC(2026, 0, 5);
/** After healing: holds of stuck commands, leases and reconnects must be over within this many plans. */
const CONVERGE_PLANS = 30;
const RESTORE_MS = 10 * MINUTE_MS;

const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export class World implements FaultyWorld {
  readonly time: SimulatedTime;
  readonly hosts: HostNode[] = [];
  readonly networks: SimulatedNetwork[] = [];
  readonly aggregator: AggregatorNode;
  readonly faults: Faults;
  readonly invariants: Invariants;
  readonly prng: Prng;
  readonly paces: Paces;
  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.prng = createPrng(options.seed);
    this.paces = options.paces ?? pacesFor(options);
    this.time = new SimulatedTime(this.prng.stream('time'), START_MS);
    this.faults = new Faults(options.faults, this.prng.stream('faults'));
    const { dayMs, planMs, heartbeatMs, checkpointMs } = this.paces;
    this.aggregator = new AggregatorNode({
      time: this.time,
      prng: this.prng.stream('aggregator'),
      policy: options.policy ?? simulationPolicy(dayMs),
      ...(options.deciders ? { deciders: options.deciders } : {}),
      config: decisionConfig({ stepMs: STEP_MS, planPeriodMs: planMs, seasonsMs: [dayMs], checkpointPeriodMs: checkpointMs }),
      ingestLimits: { heartbeatMs },
      log: SILENT,
      seriesRows: this.paces.seriesRows,
    });
    const liars = new Set<VmId>();
    for (let h = 0; h < options.hosts; h++) this.#addHost(h, liars);
    this.invariants = new Invariants(liars);
  }

  #addHost(index: number, liars: Set<VmId>): void {
    const random = this.prng.stream(`host/${index}`);
    const drawn = drawHost(index, this.#options, this.paces, this.faults.kinds.has('lyingGuest'), random);
    for (const { id, lies } of drawn.vms) {
      if (!lies) continue;
      liars.add(id);
      this.faults.count('lyingGuest');
    }
    const network = createSimulatedNetwork({
      clock: new NodeClock(this.time),
      name: `host-${index}`,
      maxBytes: FRAME_BYTES_MAX,
      lossy: true,
      fate: this.faults.fate,
    });
    network.onConnection((transport) => this.aggregator.accept(transport));
    this.networks.push(network);
    this.hosts.push(
      new HostNode({
        ...drawn,
        time: this.time,
        prng: random,
        name: `host-${index}`,
        connect: network.connect,
        settings: agentSettings(this.paces),
        paces: this.paces,
        fault: this.faults.call,
        log: SILENT,
      }),
    );
  }

  async run(): Promise<SimulationReport> {
    const endMs = this.#options.hours * HOUR_MS;
    this.start();
    for (const fault of this.faults.schedule(endMs)) this.time.schedule(() => carryOut(this, fault), fault.atMs);
    await this.watchUntil(endMs);
    const converged = await this.#heal();
    const { tally } = this.aggregator.ledger;
    const restored = await this.#restore();
    return {
      seed: this.#options.seed,
      hosts: this.hosts.length,
      vms: this.#options.vms,
      simulatedHours: this.#options.hours,
      steps: tally.steps,
      changesApplied: tally.applied,
      lintRejections: tally.lintRejections,
      faultsInjected: this.faults.injected,
      brokenInvariants: this.invariants.broken,
      converged,
      restored,
    };
  }

  /** Aggregator and agents; VMs run already. */
  start(): void {
    this.startAggregator();
    for (const host of this.hosts) this.startAgent(host);
  }

  /** The aggregator dies for good, or until it is started again; every connection to it breaks. */
  killAggregator(): void {
    this.aggregator.kill();
    for (const network of this.networks) network.dropConnections();
  }

  /** Starts something of the world's own; that it fails is a finding, not the end of the run. */
  #launch(starting: Promise<void>): void {
    starting.catch((error: unknown) => this.invariants.report('start', this.time.nowMs, errorText(error)));
  }

  startAggregator(): void {
    this.#launch(this.aggregator.start());
  }

  startAgent(host: HostNode): void {
    this.#launch(host.startAgent());
  }

  /** Lets simulated time pass up to `endMs`, invariants looked at all the while. */
  async watchUntil(endMs: number): Promise<void> {
    let hour = Math.floor(this.time.nowMs / HOUR_MS);
    while (this.time.nowMs < endMs) {
      await this.time.runUntil(Math.min(endMs, this.time.nowMs + this.paces.checkMs));
      this.invariants.check(this.hosts, this.time.nowMs);
      const now = Math.floor(this.time.nowMs / HOUR_MS);
      if (now > hour) this.#options.onProgress?.(now);
      hour = now;
    }
  }

  /** Faults end; within some plans everybody must be back, and what is known must be what is in force. */
  async #heal(): Promise<boolean> {
    this.faults.heal();
    bringHome(this);
    for (const [h, host] of this.hosts.entries()) {
      this.networks[h]!.setPartitioned(false);
      host.hypervisor.setConnected(true, 'healed');
      for (const vm of host.vmIds) {
        host.hypervisor.setStuck(vm, false);
        host.hypervisor.setJob(vm, false);
        host.hypervisor.setKept(vm, 0);
      }
      if (!host.agentRuns) this.startAgent(host);
    }
    if (!this.aggregator.running) this.startAggregator();
    let differences: string[] = [];
    for (let plan = 0; plan < CONVERGE_PLANS; plan++) {
      await this.watchUntil(this.time.nowMs + this.paces.planMs);
      const service = this.aggregator.running?.service;
      differences = service ? differencesFrom(service, this.hosts) : ['the aggregator does not run'];
      if (differences.length === 0 && plan >= 5) return true;
    }
    for (const difference of differences.slice(0, 5)) this.invariants.report('convergence', this.time.nowMs, difference);
    return false;
  }

  /** Everything is killed; `restore --all` must put back every original value that nobody else has changed since. */
  async #restore(): Promise<boolean> {
    this.aggregator.kill();
    for (const [h, host] of this.hosts.entries()) {
      host.killAgent();
      this.networks[h]!.dropConnections();
    }
    return await restoreAll(this.hosts, this.time, RESTORE_MS, this.invariants);
  }
}
