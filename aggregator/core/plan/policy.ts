/**
 * What an administrator asks, resolved for one VM and resource. The file format (selectors, defaults, inheritance) is
 * parsed and validated in policy-file.ts; the planner and the lint see only this.
 */
import type { Mode, Resource } from '../../../shared/resources.ts';
import type { AnomalyPolicies } from './anomaly-policy.ts';
import type { GroupPolicies } from './group-policy.ts';
import type { VmSnapshot } from './plan.ts';
import type { SuspendRule } from './suspend-rule.ts';

/** How a CPU allocation is enforced. Caps on an idle host are harm without gain, so weight alone is the default. */
export const CPU_ENFORCEMENTS = ['weight', 'cap-when-contended', 'cap-always'] as const;
export type CpuEnforcement = (typeof CPU_ENFORCEMENTS)[number];

export const STARTUP_KINDS = ['fixed', 'predicted'] as const;
export type StartupKind = (typeof STARTUP_KINDS)[number];

export interface ResourcePolicy {
  mode: Mode;
  /** Headline unit (cores, MiB, bytes/s); null = derived: floor from the safety rules, ceiling from the baseline. */
  floor: number | null;
  ceiling: number | null;
  /** Target share of steps in which demand may exceed the allocation, e.g. 0.01. */
  violationBudget: number;
  /** Added on top of the predicted quantile, as a share of it. */
  marginFraction: number;
  /** Largest change in one plan, as a share of the current allocation; growth on vouched pressure is exempt. */
  stepLimitGrowFraction: number;
  stepLimitShrinkFraction: number;
  cooldownGrowMs: number;
  cooldownShrinkMs: number;
  /** Shrink only when the target is below the current allocation by more than this share. */
  deadBandFraction: number;
  /** How far ahead demand must be covered, ms: actuation time plus a plan period at least. */
  leadMs: number;
  /** A shrink must hold for this long by the forecast, ms. */
  shrinkHorizonMs: number;
  growOnly: boolean;
  /** Memory: the floor includes the highest working set of this window. */
  workingSetWindowMs: number;
  cpuEnforcement: CpuEnforcement;
  /** Which forecaster decides: `aggregate` by default; `last-value` is the control. */
  forecaster: string;
  /** Larger goes first when room is short. */
  priority: number;
  /** Share of the baseline (or of the ceiling, where there is none) that claimed signals may raise it to. */
  guaranteedFraction: number;
  /** Share of the ceiling that may be taken away in favour of others; the rest is granted whatever demand there is. */
  oversubscribedFraction: number;
  /** While it launches: at least this share of the ceiling, before any demand is seen; 0 = none. */
  startupBoostFraction: number;
  /** Of CPU, while it launches: the share above, or what boots like it took, where any were seen. */
  startup: StartupKind;
  /** Goes first; while a canary cools down after a harmful shrink, others are not shrunk. */
  canary: boolean;
}

export interface WhenShort {
  /** From VMs of lower priority, down to their floors, for so long. */
  borrow: boolean;
  loanTermMs: number;
  /** Another host is proposed. */
  migrate: boolean;
  /** New caps on a host without enough CPU lie below demand, of the least important first. */
  throttle: boolean;
}

export interface FleetPolicy extends AnomalyPolicies, GroupPolicies {
  version: number;
  /** VMs changed in one plan; per host and plan; per sliding window. */
  blastRadius: { vmsPerPlan: number; vmsPerHostPerPlan: number; vmsPerWindow: number; windowMs: number };
  /** Per host: kept free of any allocation. */
  reserve: { cpuCores: number; memoryMiB: number };
  /** Σ of caps and expected demand may reach this multiple of a host's CPU: all want their worst moment at once rarely. */
  cpuOvercommit: number;
  /** The K largest VMs of a host that might reboot together and hold their full boot memory. */
  rebootTogether: number;
  /** Samples older than this move nothing. */
  staleAfterMs: number;
  leaseMs: number;
  freezeWindows: readonly { fromMinuteOfWeek: number; toMinuteOfWeek: number; timeZone: string; reason: string }[];
  /** Maintenance: the VMs meant are left as they are between two moments. Absent = none. */
  suspensions?: readonly {
    fromMs: number;
    toMs: number;
    timeZone: string;
    reason: string;
    /** What it means, as written; `matches` is the same, ready to be asked. */
    match: object;
    matches: (vm: Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>) => boolean;
  }[];
  /** Agreements on service: shown, and decide nothing. Absent = none. */
  slas?: readonly {
    name: string;
    resource: Resource;
    /** Share of steps in which demand must be covered, e.g. 0.999. */
    objective: number;
    windowMs: number;
    match: object;
    matches: (vm: Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>) => boolean;
  }[];
  /** A share of the fleet goes first, alone for `soakMs` after a new policy. Absent = only what rules name. */
  canary?: { share: number; soakMs: number };
  /** VMs that may be suspended and made ready; the first that means a VM holds. Absent = none. */
  suspendRules?: readonly SuspendRule[];
  /** What is done where a host lacks room for a VM. Absent = as by default. */
  whenShort?: WhenShort;
  /** When this policy took force, UTC ms; absent = long ago. */
  takenAtMs?: number;
  killSwitch: boolean;
  /** The policy for one VM and resource, and the name of the rule that gave it. */
  resolve(vm: Pick<VmSnapshot, 'id' | 'name' | 'host' | 'labels'>, resource: Resource): ResourcePolicy & { rule: string };
}
