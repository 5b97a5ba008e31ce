/** What an administrator asks of groups of VMs, as decisions read it: words alone. The file's part of it is in policy-groups.ts. */
import type { VmSnapshot } from './plan.ts';

/** off: only shown; recommend: told what would be done; auto: done. */
export const GROUP_MODES = ['off', 'recommend', 'auto'] as const;
export type GroupMode = (typeof GROUP_MODES)[number];

/** Resources whose total demand says how many members there should be. */
export const GROUP_RESOURCES = ['cpu', 'memory', 'network'] as const;
export type GroupResource = (typeof GROUP_RESOURCES)[number];

export const WARM_BY = ['boot', 'resume'] as const;
export type WarmBy = (typeof WARM_BY)[number];

export interface GroupPolicy {
  name: string;
  mode: GroupMode;
  /** Name of the template that members are made from. */
  template: string;
  least: number;
  most: number;
  /** To which a member is to be used: shares of its vCPUs and memory, bytes/s of network. */
  target: Partial<Record<GroupResource, number>>;
  /** Share of steps in which demand may exceed what the members serve, e.g. 0.04. */
  shortfallBudget: number;
  /** Members that one host may have. */
  perHost: number;
  /** Members made within an hour. */
  perHour: number;
  /** Fewer must have been enough for so long before any is taken away. */
  idleMs: number;
  /** Time for what uses a member to leave it. */
  drainMs: number;
  /** Time for its guest to shut down by itself. */
  graceMs: number;
  /** A guest that ignores the request to shut down: ended by force, or left to serve. */
  ignores: 'force' | 'leave';
  /** Time in which a stopped member can be called back. */
  undoMs: number;
  /** What becomes of its disk then. */
  storage: 'delete' | 'keep';
  /** What the warm pool keeps: VMs that are shut down and boot, or suspended ones that are brought back. */
  warmBy: WarmBy;
  /** VMs that Headroom did not make and that serve with it: counted, and never ended. */
  match: object | null;
  matches: (vm: Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>) => boolean;
}

export interface GroupPolicies {
  /** Absent = none. */
  groups?: readonly GroupPolicy[];
  /** VMs of Headroom's making there may be in the fleet; absent = as by default. */
  spawnedMax?: number;
}

export const SPAWNED_MAX = 100;
