/** What the API reads and steers of templates and groups: implemented by the aggregator. Plain data in the API's own words. */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { NetworkProbe } from '../../shared/ready-probe.ts';
import type { GroupMode, GroupResource } from '../core/plan/group-policy.ts';
import type { BootStatistics } from '../core/spawn/boot-times.ts';
import type { DemandView } from '../core/spawn/demand-view.ts';
import type { GroupBounds } from '../core/spawn/spawn-book.ts';
import type { SpawnPhase } from '../core/spawn/spawn-record.ts';
import type { ReadyProbe } from '../core/spawn/template-schema.ts';

export interface TemplateVersionView {
  name: string;
  version: number;
  atMs: number;
  by: string;
  /** SHA-256 of the canonical text, as the hash-chained entry has it. */
  digest: string;
}

export interface TemplateView extends TemplateVersionView {
  description: string;
  software: readonly string[];
  image: string;
  pool: string;
  vcpus: number;
  memoryMiB: number;
  probe: ReadyProbe;
  /** What its host asks of it; null = nothing. */
  asked: NetworkProbe | null;
  readyWithinMs: number;
  warmPool: number;
  /** How long VMs of it took to be ready, per host. */
  boots: BootStatistics[];
}

export interface TemplateApplied {
  name: string;
  /** In force now. */
  version: number;
  changed: boolean;
}

export interface TemplateChecked {
  host: HostId;
  ok: boolean;
  /** What the host lacks, or why it could not be asked. */
  reason: string;
}

export interface GroupMemberView {
  vm: VmId;
  name: string;
  host: HostId;
  template: string;
  phase: SpawnPhase;
  sinceMs: number;
  reason: string;
  failed: boolean;
  /** Made by others and handed over. */
  handed: boolean;
  /** Made for the warm pool. */
  spare: boolean;
  /** It is brought back from where it was; else it boots. */
  suspended: boolean;
}

export interface GroupView {
  name: string;
  template: string;
  mode: GroupMode;
  /** The policy's. */
  min: number;
  max: number;
  /** Set within them by the API; null = none are. */
  bounds: GroupBounds | null;
  /** Of Headroom's making, those on their way in and out included. */
  members: GroupMemberView[];
  /** That serve. */
  serving: number;
  /** Null: nothing was decided yet. */
  desired: number | null;
  reason: string;
  /** Why less is done than should be; null = all is. */
  notDone: string | null;
  decidedAtMs: number | null;
  demand: {
    resource: GroupResource;
    stepMs: number;
    now: number | null;
    quantiles: readonly number[];
    horizons: readonly number[];
    values: number[];
  }[];
}

export interface SpawnService {
  /** Of a group, or null = of the fleet. Throws NOT_FOUND. */
  demand(group: string | null): DemandView;
  groups(): GroupView[];
  /** Within the policy's; null = the policy's again. Throws NOT_FOUND, USAGE. `dryRun` here and below: nothing but that. */
  setGroupBounds(name: string, bounds: { min: number; max: number } | null, by: string, dryRun?: boolean): Promise<GroupView>;
  /** Takes a member back that drains or is stopped. Throws NOT_FOUND, CONFLICT when it is too late. */
  undoMember(name: string, vm: VmId, by: string, dryRun?: boolean): Promise<GroupView>;
  /** A VM made by others may be let go like the group's own. Throws NOT_FOUND, CONFLICT, UNAVAILABLE where its host does not allow it. */
  handOver(name: string, vm: VmId, by: string, dryRun?: boolean): Promise<GroupView>;
  /** It is its owner's again, as it is now. Throws NOT_FOUND, CONFLICT for one that Headroom made. */
  giveBack(name: string, vm: VmId, by: string, dryRun?: boolean): Promise<GroupView>;
  /** Nothing uses it any more. Throws NOT_FOUND. */
  memberDrained(name: string, vm: VmId, dryRun?: boolean): GroupView;

  templates(): TemplateView[];
  /** Null: there is no such template, or version of it. */
  template(name: string, version: number | null): Promise<(TemplateVersionView & { source: string }) | null>;
  /** Newest first. */
  templateVersions(name: string): Promise<TemplateVersionView[]>;
  /** Throws TEMPLATE_INVALID naming line and field, VERSION_CHANGED. */
  applyTemplate(name: string, source: string, by: string, options: { dryRun: boolean; ifVersion: number | null }): Promise<TemplateApplied>;
  /** Asks hosts whether they could make a VM of it; nothing is made. `host` null = every host that makes VMs. Throws NOT_FOUND. */
  checkTemplate(name: string, host: HostId | null): Promise<TemplateChecked[]>;
}
