/**
 * Templates and the VMs made from them, as people and programs read and steer them. Input: texts, questions, hosts' answers;
 * output: views, orders to hosts. What a host refuses because its administrator does not let it is written down as security.
 */
import { HeadroomError } from '../../shared/errors.ts';
import type { HostId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { BuildChecks } from '../execute/build-checks.ts';
import type { SpawnService, TemplateChecked, TemplateView } from '../http/spawn-service.ts';
import type { DemandDesk } from './demand-desk.ts';
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
  makesVms: (host: HostId) => boolean;
  /** Its agent takes VMs that are handed over. */
  takesVms: (host: HostId) => boolean;
}

export class SpawnDesk {
  readonly #options: SpawnDeskOptions;
  readonly service: SpawnService;

  constructor(options: SpawnDeskOptions) {
    this.#options = options;
    const { templates, time } = options;
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
    const { checks, spawner, queue, time } = this.#options;
    checks.onResult(host, result);
    spawner.onBuildResult(host, result);
    if (result.code !== 'PERMISSION') return;
    const { action, vm, code, reason } = result;
    const subject = `${action} ${vm}`;
    queue.append(time.nowMs(), { kind: 'security', event: 'build-refused', subject, by: `host ${host}`, code, reason, untold: 0 });
  }

  /** What earlier runs kept. Throws STORE_CORRUPT. */
  async recall(): Promise<void> {
    await this.#options.templates.load();
    await this.#options.spawner.recall();
  }

  /** What became of VMs that are made or go, and what groups want now. */
  turn(): Promise<void> {
    return this.#options.spawner.turn();
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
    const { templates, state } = this.#options;
    const template = templates.current(name);
    if (template === null) throw new HeadroomError('NOT_FOUND', `no template is called "${name}"; GET /v1/templates lists them`);
    const hosts = only === null ? state.hostIds().filter((host) => this.#options.makesVms(host)) : [only];
    return Promise.all(hosts.map((host) => this.#checkOn(host, template)));
  }

  async #checkOn(host: HostId, template: KnownTemplate): Promise<TemplateChecked> {
    if (this.#options.state.host(host)?.connected !== true) return { host, ok: false, reason: 'it is not connected' };
    if (!this.#options.makesVms(host))
      return { host, ok: false, reason: 'its agent makes no VMs: its administrator names pools with --build-pool' };
    const { outcome, reason } = await this.#options.checks.check(host, { ...template.build, name: template.name });
    return { host, ok: outcome === 'applied', reason };
  }
}
