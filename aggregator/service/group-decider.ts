/**
 * What each group needs now: its members and their total demand gathered, decided on by the pure core, and put into the book.
 * Input: policy, the fleet as it is, the book; output: the book after it, what changed, and the newest look for people.
 */
import { createHash } from 'node:crypto';
import type { HostId, VmId } from '../../shared/ids.ts';
import type { Prng } from '../../shared/prng.ts';
import type { Forecast } from '../core/forecast/forecaster.ts';
import { freezeAt } from '../core/plan/freeze.ts';
import { GROUP_RESOURCES, type GroupPolicy, type GroupResource, SPAWNED_MAX } from '../core/plan/group-policy.ts';
import type { BootTimes } from '../core/spawn/boot-times.ts';
import type { HostRoom } from '../core/spawn/choose-host.ts';
import { decideGroup, type GroupDecision, type GroupMember } from '../core/spawn/group-plan.ts';
import type { GroupSight, SightHost, SightVm } from '../core/spawn/group-sight.ts';
import { leadStepsOf, unitsOf } from '../core/spawn/group-sizing.ts';
import { hostRooms, memoryOfNew } from '../core/spawn/host-rooms.ts';
import { budgetOf, NEW_GROUP, ordered, type SpawnBook, type SpawnChange, withGroup, withRecord } from '../core/spawn/spawn-book.ts';
import { callBack, giveUp, type SpawnPhase, type SpawnRecord } from '../core/spawn/spawn-record.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import type { GroupDemands } from './group-demand.ts';
import type { SpawnReporter } from './spawn-reporter.ts';
import type { SteadyTime } from './steady-time.ts';
import type { TemplateFitness } from './template-fitness.ts';
import type { KnownTemplate, TemplateKeeper } from './template-keeper.ts';

export interface GroupDeciderOptions {
  time: SteadyTime;
  state: FleetState;
  prng: Prng;
  /** Of this process: ids of VMs are made with it. */
  epoch: number;
  templates: TemplateKeeper;
  demands: GroupDemands;
  fitness: TemplateFitness;
  boots: BootTimes;
  reporter: SpawnReporter;
  /** It is not connected. */
  away: (host: HostId) => boolean;
  stepMs: number;
  /** Of the loop. */
  periodMs: number;
}

/** The newest decision about a group, for people. */
export interface GroupLook {
  decision: GroupDecision;
  atMs: number;
}

/** What is expected of one resource, for people. */
export interface GroupOutlook {
  resource: GroupResource;
  stepMs: number;
  /** Null = not known. */
  now: number | null;
  forecast: Forecast | null;
}

const STARTING: readonly SpawnPhase[] = ['building', 'booting'];
const PARTING: readonly SpawnPhase[] = ['draining', 'stopping', 'stopped'];
const HOUR_MS = 3_600_000;
const OUTLOOK_HOURS = 48;

export class GroupDecider {
  readonly #options: GroupDeciderOptions;
  readonly #looks = new Map<string, GroupLook>();
  #made = 0;

  constructor(options: GroupDeciderOptions) {
    this.#options = options;
  }

  /** Null: nothing was decided yet. */
  lookOf(group: string): GroupLook | null {
    return this.#looks.get(group) ?? null;
  }

  async decide(policy: GroupPolicy, book: SpawnBook, sight: GroupSight): Promise<{ book: SpawnBook; changes: SpawnChange[] }> {
    const { templates, demands } = this.#options;
    const { nowMs } = sight;
    const template = templates.current(policy.template);
    if (policy.mode === 'off' || template === null) {
      this.#looks.delete(policy.name);
      return { book, changes: [] };
    }
    const members = this.#members(policy, book, sight);
    const units = unitsOf(policy, template.build);
    let fresh = units.length > 0;
    const steps = new Map(sight.vms.map(({ id, step }) => [id, step]));
    const serving = [
      ...members.filter(({ healthy }) => healthy).map(({ vm, record }) => ({ step: steps.get(vm) ?? null, sinceMs: record?.sinceMs ?? 0 })),
      ...going(policy, book).map((vm) => ({ step: steps.get(vm) ?? null, sinceMs: null })),
    ];
    const sizing = this.#sizing(template);
    for (const { resource } of units) fresh = (await demands.observe(policy.name, resource, serving, sizing.leadMs)) && fresh;
    const { least, most } = this.#boundsOf(policy, book);
    // Between steps nothing is known anew; too few members are too few whatever they want.
    if (!fresh && members.length >= least) return { book, changes: [] };
    const decision = decideGroup({
      ...{ policy, least, most, members, nowMs, sizing, demands: this.#forecast(policy, sizing.holdSteps, units, fresh) },
      leaving: this.#leaving(policy, book),
      surplusSinceMs: (book.groups[policy.name] ?? NEW_GROUP).surplusSinceMs,
      barred: this.#barred(sight),
      budget: budgetOf(book, policy.name, { perHour: policy.perHour, fleet: this.#options.state.policy.spawnedMax ?? SPAWNED_MAX }, nowMs),
      retryAtMs: (book.groups[policy.name] ?? NEW_GROUP).retryAtMs,
      poolLacks: poolLacks(policy, template, book),
      rooms: this.#rooms(policy, template, book, sight),
      asked: {
        memoryMiB: memoryOfNew(template.build.memoryMiB),
        cores: units.find(({ resource }) => resource === 'cpu')?.unit ?? template.build.vcpus,
        membersPerHostMax: policy.perHost,
      },
    });
    const before = this.#looks.get(policy.name)?.decision;
    if (decision.notDone !== null && decision.notDone !== before?.notDone) {
      this.#options.reporter.notDone(policy.name, `${decision.desired.size} VMs: ${decision.desired.reason}`, decision.notDone);
    }
    this.#looks.set(policy.name, { decision, atMs: nowMs });
    return this.#applied(policy, template, decision, book, nowMs);
  }

  #rooms({ name: group }: GroupPolicy, template: KnownTemplate, { records }: SpawnBook, { hosts }: GroupSight): HostRoom[] {
    const { fitness } = this.#options;
    const makers = hosts.filter(({ connected, makesVms }) => connected && makesVms).map(({ id }) => id);
    fitness.ask(template, makers);
    const lacks = ({ id, probes }: SightHost): string | null =>
      template.asked === null || probes ? fitness.objection(template.id, id) : 'its agent does not know such probes yet';
    return hostRooms({ hosts, records, lacks, group });
  }

  #applied(policy: GroupPolicy, template: KnownTemplate, decision: GroupDecision, from: SpawnBook, nowMs: number) {
    let book = withGroup(from, policy.name, { surplusSinceMs: decision.surplusSinceMs });
    const changes: SpawnChange[] = [];
    const change = (vm: VmId, next: (record: SpawnRecord) => SpawnRecord | null): void => {
      const before = book.records.find((record) => record.vm === vm);
      const after = before === undefined ? null : next(before);
      if (before === undefined || after === null) return;
      book = withRecord(book, after);
      changes.push({ before, after, reason: after.reason });
    };
    for (const { vm, reason } of decision.callBack) change(vm, (record) => callBack(record, reason, nowMs));
    for (const { vm, reason } of decision.retire) change(vm, (record) => giveUp(record, reason, nowMs));
    const { vcpus, memoryMiB, disk } = template.build;
    const orders = [
      ...decision.spawn.map((each) => ({ ...each, spare: false })),
      ...decision.spares.map((each) => ({ ...each, spare: true })),
    ];
    for (const order of orders) {
      const vm = this.#newId();
      book = ordered(book, policy.name, { ...order, vm, vcpus, memoryMiB, pool: disk.pool, template: template.id }, nowMs);
      const record = book.records.at(-1) as SpawnRecord;
      changes.push({ before: record, after: record, reason: order.reason });
    }
    return { book, changes };
  }

  #sizing({ name, readyWithinMs }: KnownTemplate): { leadSteps: number; holdSteps: number; leadMs: number } {
    const { stepMs, periodMs: loopMs, boots } = this.#options;
    const steps = leadStepsOf({ stepMs, bootMs: boots.p95Ms(name), readyWithinMs, loopMs });
    return { ...steps, leadMs: steps.leadSteps * stepMs };
  }

  #forecast(policy: GroupPolicy, holdSteps: number, units: ReturnType<typeof unitsOf>, fresh: boolean) {
    const { demands } = this.#options;
    const horizons = Array.from({ length: holdSteps }, (_, i) => i + 1);
    return units.map(({ resource, unit }) => ({
      ...{ resource, unit },
      now: fresh ? demands.now(policy.name, resource) : null,
      forecast: fresh ? demands.forecast(policy.name, resource, horizons, [1 - policy.shortfallBudget]) : null,
    }));
  }

  #members(policy: GroupPolicy, { records }: SpawnBook, { vms, hosts }: GroupSight): GroupMember[] {
    const { staleAfterMs } = this.#options.state.policy;
    const there = new Set(hosts.filter(({ connected }) => connected).map(({ id }) => id));
    const byId = new Map(vms.map((vm): [VmId, SightVm] => [vm.id, vm]));
    const made = new Set(records.map(({ vm }) => vm));
    const resource = unitsOf(policy, { vcpus: 1, memoryMiB: 1 })[0]?.resource ?? 'cpu';
    const member = (vm: VmId, host: HostId, record: SpawnRecord | null): GroupMember => {
      const seen = byId.get(vm);
      const demand = seen?.demand[resource];
      const serves = record === null || record.phase === 'serving';
      return {
        ...{ vm, host, record, demand: demand?.now ?? null },
        healthy: serves && seen?.state === 'ready' && there.has(host) && (demand?.ageMs ?? Number.POSITIVE_INFINITY) <= staleAfterMs,
      };
    };
    const own = records.filter(
      ({ group, phase, spare }) => group === policy.name && !spare && ['building', 'booting', 'serving'].includes(phase),
    );
    const others = vms.filter((vm) => !made.has(vm.id) && vm.state !== 'stopped' && vm.state !== 'error' && policy.matches(vm));
    return [...own.map((record) => member(record.vm, record.host, record)), ...others.map(({ id, host }) => member(id, host, null))];
  }

  /** What serves soonest first: what still runs, what is suspended, what boots; of these the newest. */
  #leaving({ name, template }: GroupPolicy, { records }: SpawnBook): SpawnRecord[] {
    const id = this.#options.templates.current(template)?.id;
    const out = records.filter((record) => record.group === name && record.template === id && !this.#options.away(record.host));
    const back = out.filter(({ phase }) => phase === 'draining' || phase === 'stopped');
    return back.toSorted((a, b) => nearness(a) - nearness(b) || b.sinceMs - a.sinceMs);
  }

  #boundsOf({ name, least, most }: GroupPolicy, book: SpawnBook): { least: number; most: number } {
    const bounds = book.groups[name]?.bounds ?? null;
    if (bounds === null) return { least, most };
    const lower = Math.min(most, Math.max(least, bounds.least));
    return { least: lower, most: Math.max(lower, Math.min(most, bounds.most)) };
  }

  #barred({ killSwitch, nowMs }: GroupSight): string | null {
    const { policy } = this.#options.state;
    if (killSwitch || policy.killSwitch) return 'the kill switch is on';
    const freeze = freezeAt(nowMs, policy.freezeWindows);
    return freeze === null ? null : `a freeze window is in force: ${freeze.reason}`;
  }

  /** Unlike any other, whatever seed the process began with: epochs and times are in it. */
  #newId(): VmId {
    const { prng, time, epoch } = this.#options;
    const text = `${epoch}/${time.nowMs()}/${++this.#made}/${prng.next()}`;
    const hex = createHash('sha256').update(text).digest('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}` as VmId;
  }

  /** Quantiles of what its members will want together, for people: a few steps, then about an hour apart, to two days. */
  outlook(group: GroupPolicy): GroupOutlook[] {
    const { demands, stepMs } = this.#options;
    const hour = Math.max(1, Math.round(HOUR_MS / stepMs));
    const ahead = [1, 2, 3, 6, ...Array.from({ length: OUTLOOK_HOURS }, (_, i) => (i + 1) * hour)];
    const horizons = [...new Set(ahead)].toSorted((a, b) => a - b);
    const quantiles = [...new Set([0.5, 0.9, 1 - group.shortfallBudget])].toSorted((a, b) => a - b);
    return GROUP_RESOURCES.filter((resource) => group.target[resource] !== undefined).map((resource) => {
      const forecast = demands.forecast(group.name, resource, horizons, quantiles);
      return { resource, stepMs, now: demands.now(group.name, resource), forecast };
    });
  }
}

/** Members that will be stopped and kept, or are, fewer than the template's warm pool asks for. */
function poolLacks({ name }: GroupPolicy, { id, warmPool }: KnownTemplate, { records }: SpawnBook): number {
  const coming = (phase: SpawnPhase, spare: boolean): boolean => PARTING.includes(phase) || (spare && STARTING.includes(phase));
  const kept = records.filter((each) => each.group === name && each.template === id && !each.failed && coming(each.phase, each.spare));
  return Math.max(0, warmPool - kept.length);
}

const nearness = ({ phase, rest }: SpawnRecord): number => (phase === 'draining' ? 0 : rest === 'suspended' ? 1 : 2);

/** What leaves still has its part of the load; it need not tell of it any more. */
function going({ name }: GroupPolicy, { records }: SpawnBook): VmId[] {
  const out = records.filter(({ group, phase, spare }) => group === name && !spare && (phase === 'draining' || phase === 'stopping'));
  return out.map(({ vm }) => vm);
}
