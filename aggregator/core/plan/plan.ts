/**
 * What goes into a decision and what comes out: plain data, no behaviour. The planner, the independent lint, the executor,
 * backtest, simulation and API all speak these types.
 */
import type { HostId, VmId } from '../../../shared/ids.ts';
import type { EligibilityMap, Mode, Pair, Resource, Setting, VmState } from '../../../shared/resources.ts';
import type { IncidentKind } from '../anomaly/incident.ts';
import type { BootPrediction } from '../lifecycle/boot-profiles.ts';
import type { Approval, VcpuApproval } from './approval.ts';
import type { Loan } from './loan.ts';
import type { Shortage } from './shortage.ts';

/** Demand seen and expected of one resource of one VM, in its headline unit (cores, MiB, bytes/s). */
export interface DemandView {
  /** Estimated demand now (latest finished step), null = unknown. */
  now: number | null;
  /** Age of the newest sample behind it, by our monotonic clock; Infinity = there never was one. */
  ageMs: number;
  /** Mean usage of the latest finished step, null = unknown. */
  usage: number | null;
  /** The host itself saw what `now` rests on. Claimed demand raises a VM only to its guaranteed share, and never shrinks it. */
  vouched: boolean;
  /** Demand was held down by the allocation (throttled, PSI, swap) in the last step. */
  suppressed: boolean;
  forecast: ForecastView | null;
}

export interface ForecastView {
  model: string;
  stepMs: number;
  /** Start of the step that horizon 1 covers. */
  fromMs: number;
  quantiles: readonly number[];
  horizons: readonly number[];
  /** [horizons × quantiles]. */
  values: readonly number[];
  confidence: number;
  explanation: string;
}

export interface Hold {
  resource: Resource;
  reason: string;
  /** Remaining, null = until lifted. */
  forMs: number | null;
}

/** Something is wrong with a VM now, and nothing known explains it. */
export interface VmIncident {
  kind: IncidentKind;
  sinceMs: number;
  /** What it shows in most; null = in nothing that is allocated. */
  resource: Resource | null;
  /** The host itself sees it; otherwise it rests on the guest's word. */
  vouched: boolean;
}

export interface VcpusOnline {
  online: number;
  /** Of the last change. */
  sinceMs: number;
  /** None is taken offline before then: the last time did harm. Absent = no such rest. */
  coolUntilMs?: number;
  /** Taking some did harm: so many are to be online again, and what was seen. */
  rollback?: { to: number; reason: string };
  /** So few were tried and not reached. */
  infeasible?: { target: number; reason: string; untilMs: number };
}

export interface VmSnapshot {
  id: VmId;
  name: string;
  host: HostId;
  state: VmState;
  labels: Readonly<Record<string, string>>;
  vcpus: number;
  /** How many of them are online in the guest as far as we changed that; absent = their number is not to be changed. */
  vcpusOnline?: VcpusOnline;
  bootMemoryMiB: number;
  overheadMiB: number | null;
  /** The NUMA node that holds all its memory, null = not bound to one, or not told. */
  numaNode: number | null;
  osFamily: string | null;
  eligibility: EligibilityMap;
  baseline: Partial<Record<Resource, Setting>>;
  /** In force as the host last read it back; absent = unknown, and then nothing is changed. */
  current: Partial<Record<Resource, Setting>>;
  /** A command under way: its target. Sums count the larger of current and pending. */
  pending: Partial<Record<Resource, Setting>>;
  pairs: Partial<Record<Resource, Pair>>;
  holds: readonly Hold[];
  jobActive: boolean;
  demand: Record<Resource, DemandView>;
  /** Memory as the host vouches for it. */
  memory: {
    /** Balloon size now, null = unknown. */
    balloonMiB: number | null;
    /** Working set: balloon minus available. */
    workingSetMiB: number | null;
    /** Highest working set within the policy's recent window, from the state's history. */
    workingSetPeakMiB: number | null;
    rssMiB: number | null;
    pressure: boolean;
  };
  /** Last change that was applied, per resource. */
  lastChange: Partial<Record<Resource, { atMs: number; direction: 'grow' | 'shrink' }>>;
  /** Verdict cool-downs and the like, per resource, UTC ms. */
  coolUntilMs: Partial<Record<Resource, number>>;
  /** What somebody in the guest expects to need; absent = nobody said anything. Claimed. */
  hints?: readonly { resource: Resource; amount: number; fromMs: number; untilMs: number }[];
  /** Shares of time, 0..1, in which it waited: for a CPU that others had, for memory or disk. Absent = not told. */
  strain?: { steal?: number; stealClaimed?: boolean; pressure?: number };
  /** Absent = nothing is wrong as far as is known. */
  incident?: VmIncident;
  /** It launches, and this is what its boot is expected to take; absent = nothing like it was ever seen to boot. */
  boot?: BootPrediction;
  /** Targets that were tried and not reached: nothing as far or farther is tried until then. Absent = none. */
  infeasible?: Partial<Record<Resource, { direction: 'grow' | 'shrink'; target: number; reason: string; untilMs: number }>>;
  /** A shrink that did harm: what it should get back, and what was seen. */
  rollback: Partial<Record<Resource, { to: Setting; reason: string }>>;
}

export interface HostSnapshot {
  id: HostId;
  connected: boolean;
  /** Age of its newest sample by our monotonic clock. */
  ageMs: number;
  cpuCores: number;
  /** CPU in use by everything on the host, null = unknown. */
  usageCores: number | null;
  /** PSI "some" of the host's CPU, 0..1, null = unknown. */
  cpuPressureFraction: number | null;
  memoryMiB: number;
  availableMiB: number | null;
  swapping: boolean;
  numaNodes: readonly { id: number; memoryMiB: number }[];
  balloonManager: string | null;
  killSwitch: boolean;
  epoch: number;
  /** Most the fast guard there may still hand out from leases sent so far: not free for anything else. */
  guardReserve: { cores: number; memoryMiB: number };
}

export interface FleetSnapshot {
  nowMs: number;
  hosts: readonly HostSnapshot[];
  vms: readonly VmSnapshot[];
  /** VMs changed by earlier plans within the sliding windows, newest last: for blast radius. */
  recentChanges: readonly { vm: VmId; host: HostId; atMs: number }[];
  killSwitch: boolean;
  /** What VMs lend each other now; absent = nothing. */
  loans?: readonly Loan[];
  /** Recommended changes that somebody gave leave for; absent = none. */
  approvals?: readonly Approval[];
  /** The same of how many vCPUs are online; absent = none. */
  vcpuApprovals?: readonly VcpuApproval[];
}

/** The rule that bound the decision, machine-readable; `reason` says it in words. */
export type Constraint =
  | 'forecast'
  | 'floor'
  | 'ceiling'
  | 'step-limit'
  | 'cooldown'
  | 'hysteresis'
  | 'capacity'
  | 'eligibility'
  | 'mode'
  | 'hold'
  | 'kill-switch'
  | 'stale'
  | 'unknown'
  | 'state'
  | 'blast-radius'
  | 'canary'
  | 'freeze-window'
  | 'maintenance'
  | 'startup'
  | 'guaranteed'
  | 'working-set'
  | 'in-use'
  | 'pressure'
  | 'low-confidence'
  | 'host-pressure'
  | 'job'
  | 'pending'
  | 'claimed'
  | 'unconfirmed'
  | 'rollback'
  | 'infeasible'
  | 'anomaly'
  | 'lent'
  | 'repayment'
  | 'throttle'
  | 'lint';

export interface PlanStep {
  vm: VmId;
  vmName: string;
  host: HostId;
  resource: Resource;
  direction: 'grow' | 'shrink';
  from: Setting;
  to: Setting;
  /** Policy bounds in the headline unit, sent along for the agent's guard. */
  floor: number;
  ceiling: number;
  mode: Mode;
  constraint: Constraint;
  reason: string;
  /** End of the step in which that demand is expected, UTC ms; absent where it is wanted now. */
  expectedByMs?: number;
  /** Demand quantile that was aimed at, headline unit. */
  predictedDemand: number;
  model: string;
  /** The loan for which this shrink makes room. */
  loan?: string;
  /** Whose leave it has, where the policy only recommends. */
  approvedBy?: string;
}

/** So many of a VM's vCPUs online in its guest, carried out by its guest agent. */
export interface VcpuStep {
  vm: VmId;
  vmName: string;
  host: HostId;
  from: number;
  to: number;
  /** Of its definition. As many again means: whatever was online before we changed it. */
  of: number;
  mode: Mode;
  constraint: Constraint;
  reason: string;
  predictedDemand: number;
  /** Whose leave it has, where the policy only recommends. */
  approvedBy?: string;
}

/** A change that would have been made, or was looked for, and why it was not. */
export interface NotDone {
  vm: VmId;
  resource: Resource;
  constraint: Constraint;
  reason: string;
  /** What it would have been (mode recommend, blast radius, …), null when there was nothing to propose. */
  wouldBe: Setting | null;
}

/** Per host: lease renewal and what the fast guard may do until the next one. */
export interface HostGrant {
  host: HostId;
  reserveCores: number;
  reserveMiB: number;
  allowances: { vm: VmId; cpuCeilingCores: number | null; memoryCeilingMiB: number | null }[];
}

export interface Plan {
  id: string;
  nowMs: number;
  /** Shrinks first. Every step is safe on its own and in any order with the others. */
  steps: PlanStep[];
  /** Absent = none. Sent before the steps: what grows is there when its cap rises. */
  vcpuSteps?: VcpuStep[];
  /** Fewer vCPUs online that the policy only recommends, and nobody gave leave for. Absent = none. */
  vcpusRecommended?: VcpuStep[];
  notDone: NotDone[];
  grants: HostGrant[];
  /** Digest of snapshot and policies, for the audit. */
  inputsDigest: string;
  /** Opened by this plan: each has a step of its lender. Absent = none. */
  loans?: Loan[];
  /** VMs that found no room on their host, and what is done about it. Absent = none. */
  shortages?: Shortage[];
}

export interface LintFinding {
  rule: string;
  message: string;
  /** Index into `steps`; null = the plan as a whole, which is then not executed at all. */
  step: number | null;
  /** Index into `vcpuSteps`, with `step` null: that one is struck, nothing else. */
  vcpuStep?: number;
}

/** The allocation of a setting in its headline unit: cores, MiB, bytes/s; `uncapped` stands in where there is no limit. */
export function headline(setting: Setting, uncapped: number): number {
  switch (setting.resource) {
    case 'cpu':
      return setting.capCores ?? uncapped;
    case 'memory':
      return setting.memoryMiB;
    case 'network':
      return setting.inboundBytesPerSecond === null && setting.outboundBytesPerSecond === null
        ? uncapped
        : (setting.inboundBytesPerSecond ?? 0) + (setting.outboundBytesPerSecond ?? 0);
    case 'disk':
      return setting.bytesPerSecond ?? uncapped;
  }
}
