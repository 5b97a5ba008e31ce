/**
 * The simulated world: hosts with VMs, one aggregator, the network between, all from one seed. Real core, connection
 * handling, executor, agents and guards; simulated clock, network, disks and hypervisors. Input: sizes and faults; output:
 * a run that first goes wrong in every way asked for, then heals and must converge, and what was seen.
 */

import type { SimulatedVmOptions } from '../agent/hypervisor/simulated-vm.ts';
import { restore } from '../agent/restore.ts';
import { decisionConfig } from '../aggregator/config.ts';
import { errorText } from '../shared/errors.ts';
import { type VmId, vmId } from '../shared/ids.ts';
import type { Logger } from '../shared/log.ts';
import { createSimulatedNetwork, type SimulatedNetwork } from '../shared/net/simulated.ts';
import { createPrng, type Prng } from '../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { type RESOURCES, type Setting, sameSetting } from '../shared/resources.ts';
import { AggregatorNode } from './aggregator-node.ts';
import { NodeClock, SimulatedTime } from './clock.ts';
import { carryOut, type FaultyWorld, FOREIGN_HOLD_MS } from './fault-events.ts';
import { type FaultKind, Faults } from './faults.ts';
import { HostNode } from './host-node.ts';
import { type BrokenInvariant, Invariants } from './invariants.ts';
import { simulationPolicy } from './policy.ts';
import { createWorkload } from './workload.ts';

export interface SimulationOptions {
  seed: number;
  hosts: number;
  vms: number;
  hours: number;
  faults: ReadonlySet<FaultKind>;
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
const STEP_MS = 5 * MINUTE_MS;
const PLAN_MS = MINUTE_MS;
/** A day is short here, so that hours hold several: forecasts earn trust by seasons seen. */
const DAY_MS = 2 * HOUR_MS;
/** Invariants are looked at this often. */
const CHECK_MS = 10_000;
/** The physics of hosts moves this often: caps throttle on average over it, balloons take several. */
const TICK_MS = 5000;
const SAMPLE_MS = 60_000;
/** The fast guard and balloon statistics: live, one and ten seconds are usual. */
const GUARD_MS = 10_000;
/** After healing: holds of stuck commands, leases and reconnects must be over within this many plans. */
const CONVERGE_PLANS = 30;
const VCPUS = [1, 2, 4] as const;
const MEMORY_MIB = [1024, 2048, 4096] as const;
const HOST_CORES = 16;

const SILENT: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export class World implements FaultyWorld {
  readonly time: SimulatedTime;
  readonly hosts: HostNode[] = [];
  readonly networks: SimulatedNetwork[] = [];
  readonly aggregator: AggregatorNode;
  readonly faults: Faults;
  readonly invariants: Invariants;
  readonly prng: Prng;
  readonly #options: SimulationOptions;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.prng = createPrng(options.seed);
    this.time = new SimulatedTime(this.prng.stream('time'), START_MS);
    this.faults = new Faults(options.faults, this.prng.stream('faults'));
    this.aggregator = new AggregatorNode({
      time: this.time,
      prng: this.prng.stream('aggregator'),
      policy: simulationPolicy(),
      config: decisionConfig({ stepMs: STEP_MS, planPeriodMs: PLAN_MS, seasonsMs: [DAY_MS] }),
      log: SILENT,
    });
    const liars = new Set<VmId>();
    for (let h = 0; h < options.hosts; h++) this.#addHost(h, liars);
    this.invariants = new Invariants(liars);
  }

  /** VMs of a host boot with more than fits if all took all: their baseline is a part of it, so that sums matter. */
  #addHost(index: number, liars: Set<VmId>): void {
    const random = this.prng.stream(`host/${index}`);
    const share = Math.floor(this.#options.vms / this.#options.hosts) + (index < this.#options.vms % this.#options.hosts ? 1 : 0);
    const vms = Array.from({ length: share }, (_, v) => this.#vm(index, v, random.stream(`vm/${v}`), liars));
    const bootMiB = vms.reduce((sum, vm) => sum + vm.bootMemoryMiB, 0);
    const largestMiB = Math.max(...vms.map((vm) => vm.bootMemoryMiB));
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
        time: this.time,
        prng: random,
        name: `host-${index}`,
        cpuCores: HOST_CORES,
        memoryMiB: Math.ceil(0.8 * bootMiB) + 2 * largestMiB + 2048,
        vms,
        connect: network.connect,
        settings: {
          include: [],
          sampleMs: SAMPLE_MS,
          guardMs: GUARD_MS,
          statsMs: SAMPLE_MS,
          balloonStatsMs: GUARD_MS,
          settingsMs: 30_000,
          inventoryMs: 5 * MINUTE_MS,
          bootDeadlineMs: 2 * MINUTE_MS,
          foreignHoldMs: FOREIGN_HOLD_MS,
          foreignRestMs: 30_000,
          balloonSettleMs: 2000,
          memoryReserveMiB: 512,
          failSafeGrowthsPerMinute: 3,
          startupLeaseMs: 5 * MINUTE_MS,
        },
        tickMs: TICK_MS,
        fault: this.faults.call,
        log: SILENT,
      }),
    );
  }

  #vm(host: number, index: number, random: Prng, liars: Set<VmId>): SimulatedVmOptions {
    const id = vmId(`5151${String(host).padStart(4, '0')}-0000-4000-8000-${String(index).padStart(12, '0')}`);
    const vcpus = VCPUS[random.below(VCPUS.length)]!;
    const bootMemoryMiB = MEMORY_MIB[random.below(MEMORY_MIB.length)]!;
    const workload = createWorkload(random, { vcpus, memoryMiB: bootMemoryMiB, dayMs: DAY_MS });
    const lies = this.#options.faults.has('lyingGuest') && random.next() < 0.1;
    if (lies) {
      liars.add(id);
      this.faults.count('lyingGuest');
    }
    return {
      id,
      name: `vm-${host}-${index}`,
      vcpus,
      bootMemoryMiB,
      cpuDemandCores: (wallMs) => workload.cpuCores(wallMs),
      workingSetMiB: (wallMs) => workload.workingSetMiB(wallMs),
      statsPeriodSeconds: 10,
      baseline: [{ resource: 'memory', memoryMiB: Math.round(0.8 * bootMemoryMiB) }],
      // It says that it needs nothing and has given everything back.
      ...(lies ? { lie: (told) => ({ ...told, usableMiB: told.actualMiB ?? 0, unusedMiB: told.actualMiB ?? 0 }) } : {}),
    };
  }

  async run(): Promise<SimulationReport> {
    const endMs = this.#options.hours * HOUR_MS;
    this.#launch(this.aggregator.start());
    for (const host of this.hosts) this.#launch(host.startAgent());
    for (const fault of this.faults.schedule(endMs)) this.time.schedule(() => carryOut(this, fault), fault.atMs);
    await this.#watchUntil(endMs);
    const before = await this.#counts();
    const converged = await this.#heal();
    const counts = await this.#counts();
    const restored = await this.#restore();
    return {
      seed: this.#options.seed,
      hosts: this.hosts.length,
      vms: this.#options.vms,
      simulatedHours: this.#options.hours,
      steps: counts.steps,
      changesApplied: counts.applied,
      lintRejections: Math.max(before.lint, counts.lint),
      faultsInjected: this.faults.injected,
      brokenInvariants: this.invariants.broken,
      converged,
      restored,
    };
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

  async #watchUntil(endMs: number): Promise<void> {
    let hour = Math.floor(this.time.nowMs / HOUR_MS);
    while (this.time.nowMs < endMs) {
      await this.time.runUntil(Math.min(endMs, this.time.nowMs + CHECK_MS));
      this.invariants.check(this.hosts, this.time.nowMs);
      const now = Math.floor(this.time.nowMs / HOUR_MS);
      if (now > hour) this.#options.onProgress?.(now);
      hour = now;
    }
  }

  /** Faults end; within some plans everybody must be back, and what is known must be what is in force. */
  async #heal(): Promise<boolean> {
    this.faults.heal();
    for (const [h, host] of this.hosts.entries()) {
      this.networks[h]!.setPartitioned(false);
      host.hypervisor.setConnected(true, 'healed');
      for (const vm of host.vmIds) {
        host.hypervisor.setStuck(vm, false);
        host.hypervisor.setJob(vm, false);
      }
      if (!host.agentRuns) this.startAgent(host);
    }
    if (!this.aggregator.running) this.startAggregator();
    let differences: string[] = [];
    for (let plan = 0; plan < CONVERGE_PLANS; plan++) {
      await this.#watchUntil(this.time.nowMs + PLAN_MS);
      differences = this.#differences();
      if (differences.length === 0 && plan >= 5) return true;
    }
    for (const difference of differences.slice(0, 5)) this.invariants.report('convergence', this.time.nowMs, difference);
    return false;
  }

  /** What the aggregator believes and what is in force. Balloons move on, so a target under way may differ for a moment. */
  #differences(): string[] {
    const service = this.aggregator.running?.service;
    if (!service) return ['the aggregator does not run'];
    const differences: string[] = [];
    for (const host of this.hosts) {
      if (!service.hosts().some(({ id, connected }) => id === host.id && connected)) differences.push(`host ${host.id} is not connected`);
      if (host.agentMetrics?.agent_lease_out !== 0) differences.push(`host ${host.id} has no lease`);
      for (const id of host.vmIds) {
        const view = service.vm(id);
        const { cpu, options } = host.hypervisor.truth(id);
        const believed = view?.resources.cpu.setting;
        if (!believed || !sameSetting(believed, cpu))
          differences.push(`${options.name}: believed ${JSON.stringify(believed)}, in force ${JSON.stringify(cpu)}`);
      }
    }
    return differences;
  }

  async #counts(): Promise<{ steps: number; applied: number; lint: number }> {
    const entries = await this.aggregator.ledger.entries({ limit: 10_000_000 });
    let steps = 0;
    let applied = 0;
    let lint = 0;
    for (const { body } of entries) {
      if (body.kind === 'plan') {
        steps += body.steps.length;
        lint += body.lintRejections.length;
      }
      if (body.kind === 'outcome' && body.outcome === 'applied') applied++;
    }
    return { steps, applied, lint };
  }

  /** Everything is killed; `restore --all` must put back every original value that nobody else has changed since. */
  async #restore(): Promise<boolean> {
    this.aggregator.kill();
    let restored = true;
    for (const [h, host] of this.hosts.entries()) {
      host.killAgent();
      this.networks[h]!.dropConnections();
      const lines: { ok: boolean; name: string; what: string; detail: string }[] = [];
      const done = restore(host.hypervisor, host.files, null).then((all) => lines.push(...all));
      await this.time.runUntil(this.time.nowMs + 10 * MINUTE_MS);
      await done;
      for (const line of lines.filter(({ ok }) => !ok)) {
        restored = false;
        this.invariants.report('restore', this.time.nowMs, `${line.name} ${line.what}: ${line.detail}`);
      }
      for (const id of host.vmIds) restored = this.#asBefore(host, id) && restored;
    }
    return restored;
  }

  #asBefore(host: HostNode, id: VmId): boolean {
    const { cpu, balloonTargetMiB, options } = host.hypervisor.truth(id);
    const baseline: Partial<Record<(typeof RESOURCES)[number], Setting>> = {
      cpu: { resource: 'cpu', weight: 100, capCores: null },
      memory: options.baseline?.find(({ resource }) => resource === 'memory') as Setting,
    };
    const now: Setting[] = [cpu, { resource: 'memory', memoryMiB: balloonTargetMiB }];
    return now.every((setting) => {
      const expected = this.invariants.foreignOf(id, setting.resource) ?? baseline[setting.resource]!;
      if (sameSetting(setting, expected)) return true;
      this.invariants.report(
        'restore',
        this.time.nowMs,
        `${options.name}: ${JSON.stringify(setting)} instead of ${JSON.stringify(expected)}`,
      );
      return false;
    });
  }
}
