/** What the API reads and steers of suspended VMs: implemented by the aggregator. Plain data in the API's own words. */
import type { HostId, VmId } from '../../shared/ids.ts';
import type { DiskState, SuspendAction, SuspendPhase, SuspendRecipe, TierKind } from '../../shared/protocol/suspend-frames.ts';

export interface ResumePredictionView {
  /** Resumes it rests on. */
  resumes: number;
  /** Of the coming hours, the likeliest moment and how likely a resume is within `withinMs` of now. */
  probability: number;
  withinMs: number;
  /** Null: none is expected within the next day. */
  likeliestAtMs: number | null;
  text: string;
}

export interface SuspensionView {
  vm: VmId;
  name: string;
  host: HostId;
  phase: SuspendPhase;
  recipe: SuspendRecipe;
  reason: string;
  snapshot: string | null;
  sinceMs: number;
  memoryBytes: number;
  filledBytes: number;
  resumes: number;
  predictedChunks: number;
  hitRate: number | null;
  wasteRate: number | null;
  problems: string[];
  /** The host its chunks still come from; the one it may be brought back on. */
  from?: string;
  lentTo?: string;
  /** Disks that its host alone sees; absent = none is known. */
  disks?: { target: string; bytes: number; state: DiskState; leftBytes?: number; restMs?: number; hitRate?: number; wasteRate?: number }[];
  /** When somebody will want it; null = nothing is known yet. */
  prediction: ResumePredictionView | null;
  /** How it is made ready, learnt from what it cost; null = its policy does not ask for that. */
  tuning: { share: number; leadMs: number; suspensions: number; text: string } | null;
}

export interface SuspendOrderView {
  id: string;
  action: SuspendAction;
  vm: VmId | null;
  vmName: string | null;
  host: HostId;
  by: string;
  askedAtMs: number;
  /** `tried`: its host would be asked; nothing was. */
  state: 'working' | 'ended' | 'tried';
  progress: { doneBytes: number; totalBytes: number; restMs: number | null } | null;
  /** Of what is made ready: larger goes first, then what is due earlier; null = of anything else. */
  priority: number | null;
  /** Null: whenever it is. */
  dueAtMs: number | null;
  /** More urgent ones on its host that it stands behind. */
  ahead: number;
  /** Null: it is under way. */
  outcome: string | null;
  reason: string;
  endedAtMs: number | null;
  /** The order that came of it: a VM that is brought back on another host is lent there first. */
  followedBy: string | null;
  /** Of one whose host was chosen (`any`): why this host, and why not the others, best first; null = its host was named, or its own. */
  placement: { host: HostId; reason: string; others: { host: HostId; reason: string }[] } | null;
  /** By name: ms and bytes. */
  measured: Record<string, string | number>;
}

/** A host's place for snapshots' chunks, as the host measured it. */
export interface SnapshotTierView {
  name: string;
  /** ram: copies of what was read lately; disk: takes what is written; leaving: read and emptied; away: it should be there. */
  kind: TierKind;
  /** Null: no limit was set. */
  capacityBytes: number | null;
  usedBytes: number;
  /** Null: it was not used yet. */
  readBytesPerSecond: number | null;
  writeBytesPerSecond: number | null;
  problem: string | null;
}

export interface SnapshotStoreView {
  host: HostId;
  storedBytes: number;
  /** Quickest first; none = one place, without a limit. */
  tiers: SnapshotTierView[];
}

export interface PrefetchTerms {
  holdMs: number;
  /** Null: as fast as it goes. */
  bytesPerSecondMax: number | null;
  /** Not ready by then it is given up; null = whenever it is. */
  deadlineMs?: number | null;
  /** Of several the highest goes first, of these the one that is due first; null = the VM's own by the policy. */
  priority?: number | null;
  /** Of what it is predicted to touch first, the likeliest, by mass; absent = all of it. */
  share?: number;
  to?: string | null;
}

export interface SuspendService {
  /** VMs that are suspended, or live on a snapshot. */
  suspensions(): SuspensionView[];
  /** Of every host that keeps snapshots. */
  stores(): SnapshotStoreView[];
  /** Under way, then ended, newest first. */
  orders(): SuspendOrderView[];
  /** Null: there is no such order, or no longer. */
  order(id: string): SuspendOrderView | null;
  /** Throws UNAVAILABLE where the host cannot, CONFLICT while another order for the VM is under way. `dryRun`: nothing but that. */
  suspend(vm: VmId, by: string, dryRun?: boolean): SuspendOrderView;
  /** On the host it was suspended on, or another: by name, or `any`: with room now and by forecast, to which least must move. */
  resume(vm: VmId, by: string, to?: string | null, dryRun?: boolean): SuspendOrderView;
  /** What it will touch first is fetched, and it waits paused for so long at most. `to` as for `resume`. */
  prefetch(vm: VmId, terms: PrefetchTerms, by: string, dryRun?: boolean): SuspendOrderView;
  release(vm: VmId, by: string, dryRun?: boolean): SuspendOrderView;
  verify(vm: VmId, by: string, dryRun?: boolean): SuspendOrderView;
  /** On one host, or on all that keep snapshots. */
  collect(host: HostId | null, by: string, dryRun?: boolean): SuspendOrderView[];
}
