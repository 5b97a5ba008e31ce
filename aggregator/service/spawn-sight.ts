/**
 * What is seen of VMs that Headroom makes, and what holds for them: hosts that come and go, live state, hosts' answers, whoever
 * drains them. Input: state, policy, answers; output: for each record what its next moment rests on.
 */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { FrameOf } from '../../shared/protocol/frames.ts';
import type { Outcome } from '../../shared/resources.ts';
import type { GroupSight, SightVm } from '../core/spawn/group-sight.ts';
import type { SpawnPhase, SpawnRecord, SpawnSeen, SpawnTerms } from '../core/spawn/spawn-record.ts';
import type { FleetState } from '../core/state/fleet-state.ts';
import { type KnownTemplate, type TemplateKeeper, templateName } from './template-keeper.ts';

interface Answer {
  generation: number;
  action: string;
  outcome: Outcome;
  reason: string;
}

/** A host that is away so long has lost what was being made there, and what served there is replaced. */
const HOST_LOST_MS = 300_000;
/** A frame may be lost; hosts answer repeats from memory. */
const RETRY_MS = 5000;
/** Where the policy no longer says anything of a VM's group: as a cautious one would. */
const TERMS_DEFAULT = { drainMs: 60_000, graceMs: 90_000, ignores: 'leave', undoMs: 600_000 } as const;
const READY_WITHIN_MS = 600_000;
/** The order whose answer ends a phase. */
const ANSWERED: Partial<Record<SpawnPhase, string>> = { building: 'build', booting: 'probe', removing: 'remove' };
const REST_ANSWERED: Partial<Record<SpawnPhase, string>> = { building: 'resume', stopping: 'suspend' };
const HANDED_ANSWERED: Partial<Record<SpawnPhase, string>> = { building: 'adopt', removing: 'release' };

export class SpawnSight {
  readonly #options: { state: FleetState; templates: TemplateKeeper };
  readonly #answers = new Map<VmId, Answer>();
  readonly #drained = new Set<VmId>();
  readonly #awaySinceMs = new Map<HostId, number>();
  /** As last looked at. */
  #vms: ReadonlyMap<VmId, SightVm> = new Map();
  /** Hosts that suspend VMs they made. */
  #suspenders: ReadonlySet<HostId> = new Set();

  constructor(options: { state: FleetState; templates: TemplateKeeper }) {
    this.#options = options;
  }

  away(host: HostId): boolean {
    return this.#awaySinceMs.has(host);
  }

  /** Of one of these records; false: it is of none. */
  noteAnswer(records: readonly SpawnRecord[], host: HostId, result: FrameOf<'build-result'>): boolean {
    const record = records.find(({ vm }) => vm === result.vm);
    if (record === undefined || record.host !== host || record.orderId !== result.orderId) return false;
    const { action, outcome, reason } = result;
    this.#answers.set(record.vm, { generation: result.pair.generation, action, outcome, reason });
    return true;
  }

  noteDrained(vm: VmId): void {
    this.#drained.add(vm);
  }

  /** Its phase changed, or nothing is left of it. */
  changed(before: SpawnRecord, after: SpawnRecord | null): void {
    if (after?.phase !== before.phase) this.#drained.delete(before.vm);
    if (after === null) this.#answers.delete(before.vm);
  }

  drainMs(group: string): number {
    return this.#options.state.policy.groups?.find(({ name }) => name === group)?.drainMs ?? TERMS_DEFAULT.drainMs;
  }

  note({ hosts, vms }: GroupSight, records: readonly SpawnRecord[], nowMs: number): void {
    this.#vms = new Map(vms.map((vm) => [vm.id, vm]));
    this.#suspenders = new Set(hosts.filter(({ suspends }) => suspends === true).map(({ id }) => id));
    const there = new Set(hosts.filter(({ connected }) => connected).map(({ id }) => id));
    for (const { host } of records) {
      if (there.has(host)) this.#awaySinceMs.delete(host);
      else if (!this.#awaySinceMs.has(host)) this.#awaySinceMs.set(host, nowMs);
    }
  }

  async templatesOf(records: readonly SpawnRecord[]): Promise<ReadonlyMap<string, KnownTemplate>> {
    const known = new Map<string, KnownTemplate>();
    for (const id of new Set(records.map(({ template }) => template))) {
      const template = await this.#options.templates.byId(id);
      if (template !== null) known.set(id, template);
    }
    return known;
  }

  seen(record: SpawnRecord, templates: ReadonlyMap<string, KnownTemplate>): SpawnSeen {
    const { vm, host, phase, generation, template } = record;
    const hostAwaySinceMs = this.#awaySinceMs.get(host) ?? null;
    const known = this.#vms.get(vm);
    const here = known?.host === host ? known : undefined;
    const answer = this.#answers.get(vm);
    const { probe = 'guest-agent', asked = null } = templates.get(template) ?? {};
    const answered = record.rest !== undefined && REST_ANSWERED[phase] !== undefined ? REST_ANSWERED : ANSWERED;
    const wanted = (record.handed ? HANDED_ANSWERED : answered)[phase];
    const newest = answer?.generation === generation && answer.action === wanted ? answer : null;
    const booted = record.handed || probe === 'booted' || here?.guestAgent === true;
    // Once it served, a host that is there and does not know it has lost it.
    const lost = here === undefined && hostAwaySinceMs === null && ['serving', 'draining', 'stopping'].includes(phase);
    return {
      hostConnected: hostAwaySinceMs === null,
      hostAwaySinceMs,
      state: here?.state ?? (lost ? 'stopped' : null),
      ready: here !== undefined && (asked === null ? booted : newest?.outcome === 'applied'),
      unreached: phase === 'booting' && newest !== null && newest.outcome !== 'applied' ? newest.reason : null,
      answer: newest,
      drained: this.#drained.has(vm),
    };
  }

  terms(record: SpawnRecord, records: readonly SpawnRecord[], templates: ReadonlyMap<string, KnownTemplate>): SpawnTerms {
    const group = this.#options.state.policy.groups?.find(({ name }) => name === record.group);
    const { drainMs, graceMs, ignores, undoMs } = group ?? TERMS_DEFAULT;
    const { readyWithinMs = READY_WITHIN_MS, asked = null } = templates.get(record.template) ?? {};
    const kept = { ...{ drainMs, graceMs, ignores, readyWithinMs }, probed: asked !== null, hostLostMs: HOST_LOST_MS, retryMs: RETRY_MS };
    const askedFor = group?.warmBy === 'resume' && !record.handed && this.#joinsWarmPool(record, records, templates);
    const able = this.#suspenders.has(record.host);
    const suspension = {
      suspends: askedFor && able,
      cannotSuspend: askedFor && !able ? `host ${record.host} suspends no VMs (snapshotDir)` : '',
    };
    return { ...kept, ...suspension, undoMs, pooled: this.#inWarmPool(record, records, templates) };
  }

  /** It will be kept once it rests: fewer do than the template asks for. */
  #joinsWarmPool(record: SpawnRecord, records: readonly SpawnRecord[], templates: ReadonlyMap<string, KnownTemplate>): boolean {
    const { group, template } = record;
    const resting = records.filter(
      (each) =>
        each.vm !== record.vm &&
        each.group === group &&
        each.template === template &&
        (each.phase === 'stopped' || each.phase === 'stopping'),
    );
    return resting.length < this.#kept(record, templates);
  }

  /** Members of its template that its group keeps. */
  #kept({ group, template }: SpawnRecord, templates: ReadonlyMap<string, KnownTemplate>): number {
    const wanted = this.#options.state.policy.groups?.some(({ name, template: of }) => name === group && of === templateName(template));
    const current = this.#options.templates.current(templateName(template))?.id === template;
    return wanted === true && current ? (templates.get(template)?.warmPool ?? 0) : 0;
  }

  /** The newest stopped members stay, as many as the template says. */
  #inWarmPool(record: SpawnRecord, records: readonly SpawnRecord[], templates: ReadonlyMap<string, KnownTemplate>): boolean {
    const { vm, group } = record;
    const kept = this.#kept(record, templates);
    if (kept === 0) return false;
    const stopped = records.filter((each) => each.group === group && each.phase === 'stopped');
    return stopped
      .toSorted((a, b) => b.sinceMs - a.sinceMs)
      .slice(0, kept)
      .some((each) => each.vm === vm);
  }
}
