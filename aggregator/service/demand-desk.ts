/**
 * The demand of the fleet and of groups, as the API tells it. Input: live state, what groups' totals taught, what is made for them;
 * output: views. The fleet's own totals are learnt here, beside the groups'.
 */
import { HeadroomError } from '../../shared/errors.ts';
import { GROUP_RESOURCES, type GroupPolicy, type GroupResource } from '../core/plan/group-policy.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import {
  DEMAND_QUANTILES,
  type DemandResource,
  type DemandView,
  demandHorizons,
  type ResourceDemand,
  resourceDemand,
  type Supply,
} from '../core/spawn/demand-view.ts';
import { fleetTotal } from '../core/spawn/fleet-total.ts';
import { unitsOf } from '../core/spawn/group-sizing.ts';
import type { SpawnPhase, SpawnRecord } from '../core/spawn/spawn-record.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { VmRecord } from '../core/state/vm-record.ts';
import type { GroupDemands } from './group-demand.ts';
import type { TemplateKeeper } from './template-keeper.ts';

export interface DemandDeskOptions {
  state: FleetState;
  demands: GroupDemands;
  templates: TemplateKeeper;
  records: () => readonly SpawnRecord[];
  snapshot: () => FleetSnapshot;
  stepMs: number;
  nowMs: () => number;
}

/** No group is called so: names of groups are plain. */
const FLEET = '*';
const COMING: readonly SpawnPhase[] = ['building', 'booting'];
const GOING: readonly SpawnPhase[] = ['draining', 'stopping'];
const UNKNOWN: Supply = { now: null, soon: null };

export class DemandDesk {
  readonly #options: DemandDeskOptions;

  /** Devices of those that told of them in the newest step. */
  readonly #gpus = new Map<string, number>();

  constructor(options: DemandDeskOptions) {
    this.#options = options;
  }

  /** After a step was closed. */
  async step(): Promise<void> {
    const { state, demands } = this.#options;
    const there = state.vmIds().flatMap((id) => state.vm(id) ?? []);
    const steps = there
      .filter(({ inventory }) => inventory.state !== 'stopped' && inventory.state !== 'error')
      .map(({ latestStep }) => latestStep);
    for (const resource of GROUP_RESOURCES) {
      const { startMs, total } = fleetTotal(steps, resource);
      await demands.learn(FLEET, resource, startMs, total);
    }
    await this.#learnGpus(there);
  }

  /** Sums over the VMs that tell of GPUs: of others nothing is made up. */
  async #learnGpus(there: readonly VmRecord[]): Promise<void> {
    const { state, demands, nowMs } = this.#options;
    const startMs = Math.max(...there.map(({ latestStep }) => latestStep?.startMs ?? Number.NEGATIVE_INFINITY));
    const told = there.flatMap((vm) => {
      const use = vm.takeGpuUse(nowMs());
      return use === null ? [] : [{ vm, use }];
    });
    this.#gpus.clear();
    const groups = state.policy.groups ?? [];
    for (const [name, uses] of [
      [FLEET, told] as const,
      ...groups.map((group) => [group.name, told.filter(({ vm }) => group.matches(vm.matched))] as const),
    ]) {
      if (uses.length === 0) continue;
      this.#gpus.set(
        name,
        uses.reduce((sum, { use }) => sum + use.devices, 0),
      );
      await demands.learn(
        name,
        'gpu',
        startMs,
        uses.reduce((sum, { use }) => sum + use.busy, 0),
      );
    }
  }

  /** Null: the fleet. Throws NOT_FOUND. */
  view(group: string | null): DemandView {
    if (group === null) {
      const supplies = this.#fleetSupplies();
      const resources = GROUP_RESOURCES.map((resource) => this.#resource(FLEET, resource, supplies[resource]));
      return { group, resources: [...resources, ...this.#gpu(FLEET)] };
    }
    const policy = this.#options.state.policy.groups?.find(({ name }) => name === group);
    if (policy === undefined) throw new HeadroomError('NOT_FOUND', `the policy has no group "${group}"; GET /v1/groups lists them`);
    const sized = GROUP_RESOURCES.filter((resource) => policy.target[resource] !== undefined);
    const resources = sized.map((resource) => this.#resource(group, resource, this.#groupSupply(policy, resource)));
    return { group, resources: [...resources, ...this.#gpu(group)] };
  }

  /** Nothing where nobody tells of a GPU. What is coming brings is not known: it has told nothing yet. */
  #gpu(name: string): ResourceDemand[] {
    const devices = this.#gpus.get(name);
    return devices === undefined ? [] : [this.#resource(name, 'gpu', { now: devices, soon: null })];
  }

  #resource(name: string, resource: DemandResource, supply: Supply): ResourceDemand {
    const { demands, stepMs } = this.#options;
    const forecast = demands.forecast(name, resource, demandHorizons(stepMs), DEMAND_QUANTILES);
    return resourceDemand(resource, stepMs, demands.now(name, resource), forecast, supply);
  }

  /** Hosts that are there, less the reserve; soon also what is on its way out, less what is on its way in. */
  #fleetSupplies(): Record<GroupResource, Supply> {
    const { snapshot, state, records } = this.#options;
    const { reserve } = state.policy;
    const hosts = snapshot().hosts.filter(({ connected }) => connected);
    if (hosts.length === 0) return { cpu: UNKNOWN, memory: UNKNOWN, network: UNKNOWN };
    const supply = (capacity: number, size: (record: SpawnRecord) => number): Supply => {
      const sum = (phases: readonly SpawnPhase[]): number =>
        records().reduce((total, record) => total + (phases.includes(record.phase) ? size(record) : 0), 0);
      return { now: capacity, soon: capacity + sum(GOING) - sum(COMING) };
    };
    const total = (of: (host: (typeof hosts)[number]) => number): number => hosts.reduce((sum, host) => sum + Math.max(0, of(host)), 0);
    return {
      cpu: supply(
        total(({ cpuCores }) => cpuCores - reserve.cpuCores),
        ({ vcpus }) => vcpus,
      ),
      memory: supply(
        total(({ memoryMiB }) => memoryMiB - reserve.memoryMiB),
        ({ memoryMiB }) => memoryMiB,
      ),
      network: UNKNOWN,
    };
  }

  /** What its members serve, to the target. */
  #groupSupply(policy: GroupPolicy, resource: GroupResource): Supply {
    const { templates, records, state } = this.#options;
    const template = templates.current(policy.template);
    const unit = template === null ? undefined : unitsOf(policy, template.build).find((each) => each.resource === resource)?.unit;
    if (unit === undefined) return UNKNOWN;
    const own = records().filter(({ group, spare }) => group === policy.name && !spare);
    const made = new Set(own.map(({ vm }) => vm));
    const others = state.vmIds().flatMap((id) => {
      const vm = made.has(id) ? undefined : state.vm(id);
      if (vm?.inventory.state !== 'ready') return [];
      const { name, labels } = vm.inventory;
      return policy.matches({ id, name, host: vm.host, labels }) ? [id] : [];
    });
    const serving = own.filter(({ phase }) => phase === 'serving').length + others.length;
    const coming = own.filter(({ phase }) => COMING.includes(phase)).length;
    return { now: serving * unit, soon: (serving + coming) * unit };
  }
}
