/**
 * Templates and the VMs made from them, as people and programs read and steer them. Input: texts, questions, hosts' answers;
 * output: views, orders to hosts. What a host refuses because its administrator does not let it is written down as security.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { SightHost } from '../core/spawn/group-sight.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { BuildChecks } from '../execute/build-checks.ts';
import type { FleetDesk, HostAnswer } from '../http/fleet-service.ts';
import type { SpawnService, TemplateChecked, TemplateView } from '../http/spawn-service.ts';
import type { DemandDesk } from './demand-desk.ts';
import type { FleetView } from './fleet-view.ts';
import type { GroupDemands } from './group-demand.ts';
import { groupService } from './group-views.ts';
import type { LedgerQueue } from './ledger-queue.ts';
import type { Spawner } from './spawner.ts';
import type { SteadyTime } from './steady-time.ts';
import type { KnownTemplate, TemplateKeeper } from './template-keeper.ts';

export interface SpawnDeskOptions {
  time: SteadyTime;
  state: FleetState;
  queue: LedgerQueue;
  templates: TemplateKeeper;
  checks: BuildChecks;
  spawner: Spawner;
  demands: GroupDemands;
  demand: DemandDesk;
  fleet: FleetView;
  /** Of our hold on what crosses hosts; null = another decides that, or nobody now. */
  fleetEpoch: () => number | null;
}

export class SpawnDesk {
  readonly #options: SpawnDeskOptions;
  readonly service: SpawnService;

  constructor(options: SpawnDeskOptions) {
    this.#options = options;
    const { templates, time, fleet } = options;
    fleet.onAnswer = (answer) => this.#answered(answer);
    this.service = {
      templates: () => templates.list().map((each) => this.#view(each)),
      template: (name, version) => templates.version(name, version),
      templateVersions: (name) => templates.versions(name),
      applyTemplate: (name, source, by, options) => templates.apply(name, source, { ...options, by, nowMs: time.nowMs() }),
      checkTemplate: (name, host) => this.#check(name, host),
      demand: (group) => options.demand.view(group),
      ...groupService(options),
    };
  }

  onBuildResult(host: HostId, result: FrameOf<'build-result'>): void {
    const { queue, time, fleet, fleetEpoch } = this.#options;
    if (fleetEpoch() === null) fleet.keep({ host, result });
    this.#answered({ host, result });
    if (result.code !== 'PERMISSION') return;
    const { action, vm, code, reason } = result;
    const subject = `${action} ${vm}`;
    queue.append(time.nowMs(), { kind: 'security', event: 'build-refused', subject, by: `host ${host}`, code, reason, untold: 0 });
  }

  /** For the one that holds the fleet, where that is another. */
  get fleet(): FleetDesk {
    return this.#options.fleet;
  }

  /** Of a host, our own or another's. */
  #answered({ host, result }: HostAnswer): void {
    this.#options.checks.onResult(host, result);
    this.#options.spawner.onBuildResult(host, result);
  }

  /** What earlier runs kept. Throws STORE_CORRUPT. */
  async recall(): Promise<void> {
    await this.#options.templates.load();
    await this.#options.spawner.recall();
  }

  /** What became of VMs that are made or go, and what groups want now. */
  async turn(): Promise<void> {
    const { checks, fleet, fleetEpoch, spawner } = this.#options;
    // What others' hosts answer comes with a look at them.
    if (checks.waiting && fleetEpoch() !== null) await fleet.look([]);
    await spawner.turn();
  }

  /** After a step was closed. */
  step(): Promise<void> {
    return this.#options.demand.step();
  }

  checkpoint(): Promise<void> {
    return this.#options.demands.checkpoint();
  }

  stop(): void {
    this.#options.checks.stop();
  }

  #view({ kept, template }: ReturnType<TemplateKeeper['list']>[number]): TemplateView {
    const { description, software, build, probe, asked, readyWithinMs, warmPool } = template;
    const { vcpus, memoryMiB, disk } = build;
    const boots = this.#options.spawner.boots.statistics(template.name);
    return {
      ...kept,
      description,
      software,
      image: disk.image,
      pool: disk.pool,
      vcpus,
      memoryMiB,
      probe,
      asked,
      readyWithinMs,
      warmPool,
      boots,
    };
  }

  async #check(name: string, only: HostId | null): Promise<TemplateChecked[]> {
    const { templates, fleet } = this.#options;
    const template = templates.current(name);
    if (template === null) throw new HeadroomError('NOT_FOUND', `no template is called "${name}"; GET /v1/templates lists them`);
    const sight = await fleet.look([]);
    if (sight === null) throw new HeadroomError('UNAVAILABLE', 'an aggregator does not tell of its hosts now; try again in a while');
    const known = new Map(sight.hosts.map((host): [HostId, SightHost] => [host.id, host]));
    if (only !== null && !known.has(only)) throw new HeadroomError('NOT_FOUND', `no host "${only}" is known; GET /v1/hosts lists them`);
    const hosts = only === null ? sight.hosts.flatMap(({ id, makesVms }) => (makesVms ? [id] : [])) : [only];
    return Promise.all(hosts.map((host) => this.#checkOn(host, known.get(host), template)));
  }

  async #checkOn(host: HostId, seen: SightHost | undefined, template: KnownTemplate): Promise<TemplateChecked> {
    if (seen?.connected !== true) return { host, ok: false, reason: 'it is not connected' };
    if (!seen.makesVms) return { host, ok: false, reason: 'its agent makes no VMs: its administrator names pools with --build-pool' };
    const { outcome, reason } = await this.#options.checks.check(host, { ...template.build, name: template.name });
    return { host, ok: outcome === 'applied', reason };
  }
}
