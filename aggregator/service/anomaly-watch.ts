/**
 * Watches the live fleet for anomalies: at the end of each step every running VM's metrics go through its detectors, and
 * what begins, changes and ends is told. Input: snapshots and our own changes; output: incidents, the latest remembered, and
 * rows for the series. It alerts and does nothing else.
 */
import type { VmId } from '../../shared/ids.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { anomalyBlock } from '../core/anomaly/anomaly-rows.ts';
import { type FleetChange, FleetIncidents } from '../core/anomaly/fleet-incidents.ts';
import type { VmMetric, VmPoint } from '../core/anomaly/incident.ts';
import { type FleetSnapshot, headline, type PlanStep, type VmSnapshot } from '../core/plan/plan.ts';
import type { IncidentView } from '../http/service.ts';

/** Incidents remembered, open ones included: a storm over a thousand VMs fits. */
const REMEMBERED_MAX = 1000;
/** Samples older than so many steps are none. */
const STALE_STEPS = 2;

export class AnomalyWatch {
  readonly #fleet = new FleetIncidents();
  /** By VM and start, in the order of their beginning. */
  readonly #incidents = new Map<string, IncidentView>();
  readonly #stepMs: number;
  readonly #tell: (change: FleetChange, incident: IncidentView) => void;

  constructor(stepMs: number, tell: (change: FleetChange, incident: IncidentView) => void) {
    this.#stepMs = stepMs;
    this.#tell = tell;
  }

  /** Once a step, after it has ended. Answers what was seen, as rows of the VMs' series. */
  step({ nowMs, vms, hosts }: FleetSnapshot): TelemetryBlock[] {
    const blocks: TelemetryBlock[] = [];
    const connected = new Set(hosts.filter((host) => host.connected).map(({ id }) => id));
    for (const vm of vms) {
      // A host that is gone says nothing about its VMs, and a VM that does not run has nothing to say.
      if (vm.state !== 'ready' || !connected.has(vm.host)) continue;
      const change = this.#fleet.observe({ vm: vm.id, host: vm.host, sizes: sizesOf(vm) }, this.#pointOf(vm, nowMs));
      if (change !== null) this.#remember(change, vm.name);
      const block = anomalyBlock(vm.id, nowMs, this.#fleet.seen(vm.id), change);
      if (block !== null) blocks.push(block);
    }
    return blocks;
  }

  /** Taking something from a VM shows in its metrics: that is no anomaly. Growth is no excuse: it follows a leak. */
  noteChange({ vm, resource, direction, from, to }: PlanStep, atMs: number): void {
    const [before, after] = [headline(from, Number.POSITIVE_INFINITY), headline(to, Number.POSITIVE_INFINITY)];
    // Weights alone take nothing from a VM.
    if (direction !== 'shrink' || before === after) return;
    const amounts = [before, after]
      .map((amount) => (Number.isFinite(amount) ? String(Math.round(amount * 100) / 100) : 'no limit'))
      .join(' to ');
    this.#fleet.addKnownEvent({ vm, fromMs: atMs, toMs: atMs, why: `our own resize of ${resource} from ${amounts}` });
  }

  remove(vm: VmId): void {
    this.#fleet.remove(vm);
  }

  /** Newest first. */
  incidents(): IncidentView[] {
    return [...this.#incidents.values()].reverse();
  }

  #pointOf(vm: VmSnapshot, timeMs: number): VmPoint {
    const values: Partial<Record<VmMetric, number>> = {};
    for (const resource of ['cpu', 'memory', 'network', 'disk'] as const) {
      const { usage, ageMs } = vm.demand[resource];
      if (usage !== null && ageMs <= STALE_STEPS * this.#stepMs) values[resource] = usage;
    }
    return { timeMs, values };
  }

  #remember(change: FleetChange, vmName: string): void {
    const { incident } = change;
    const id = `${incident.vm}-${incident.startMs}`;
    const view: IncidentView = { id, vmName, ...incident };
    this.#incidents.set(id, view);
    const oldest = this.#incidents.keys().next().value;
    if (this.#incidents.size > REMEMBERED_MAX && oldest !== undefined) this.#incidents.delete(oldest);
    this.#tell(change, view);
  }
}

function sizesOf(vm: VmSnapshot): Partial<Record<VmMetric, number>> {
  return { cpu: vm.vcpus, memory: vm.bootMemoryMiB };
}
