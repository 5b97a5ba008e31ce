/** The words the planner's stages pass to each other: what is looked at, what it needs, what is proposed. Plain data. */
import type { VmId } from '../../../shared/ids.ts';
import type { Resource, Setting } from '../../../shared/resources.ts';
import type { Bounds, CpuForm } from './amounts.ts';
import type { Loans } from './loan.ts';
import type { Constraint, FleetSnapshot, HostSnapshot, NotDone, VmSnapshot } from './plan.ts';
import type { FleetPolicy, ResourcePolicy } from './policy.ts';
import type { Owed } from './repayment.ts';

export interface PlanContext {
  snapshot: FleetSnapshot;
  policy: FleetPolicy;
  hosts: ReadonlyMap<string, HostSnapshot>;
  /** Hosts whose CPU is, or is about to be, wanted by more than there is: why, in words. */
  contended: ReadonlyMap<string, string>;
  /** Resources in which a canary cools down after a harmful shrink, and its name. */
  canaryCooling: ReadonlyMap<Resource, string>;
  /** By host: cores that caps may still grow by, for each VM with vCPUs offline. */
  spreadRoom: ReadonlyMap<string, number>;
  /** What VMs lend each other. */
  loans: Loans;
  /** What borrowers are to give back in this plan. */
  owed: Owed;
}

/** One VM and resource that may be changed now. */
export interface Subject {
  vm: VmSnapshot;
  host: HostSnapshot;
  resource: Resource;
  policy: ResourcePolicy & { rule: string };
  current: Setting;
  /** What is allocated now, headline unit. */
  amount: number;
  bounds: Bounds;
  form: CpuForm;
  /** A cap of ours that should no longer be there. */
  capToLift: boolean;
}

export interface Refusal {
  constraint: Constraint;
  reason: string;
}

/** What demand asks for. Amounts in the headline unit. */
export interface Need {
  /** To be covered within the lead. */
  lead: number;
  /** To be covered for as long as a shrink must hold; null = no ground to shrink on. */
  hold: number | null;
  /** Demand behind `lead`, without margin, and the end of the step in which it is expected. */
  demand: number;
  byMs: number | null;
  model: string;
  /** In words: what is expected, and by whom; and, for a shrink, how little for how long. */
  because: string;
  holdBecause: string;
  /** Why it may only grow, null = it may shrink. */
  growOnly: Refusal | null;
  /** CPU of a VM whose vCPUs may go on and offline: how many it is to have online, and by how much its cap is higher than `lead` would be. */
  vcpus?: { online: number; spread: number };
  /** The host sees that it is short now: growth is exempt from step limits and cooldowns. */
  urgent: boolean;
  constraint: Constraint;
}

export interface Proposal {
  subject: Subject;
  need: Need;
  direction: 'grow' | 'shrink';
  target: number;
  constraint: Constraint;
  /** What held the target back or pushed it, in words, in the order it happened. */
  notes: readonly string[];
  /** Whose leave it has, where the policy only recommends. */
  approvedBy?: string;
}

export type Outcome = { kind: 'proposal'; proposal: Proposal } | { kind: 'not-done'; notDone: NotDone };

export function notDone(vm: VmId, resource: Resource, refusal: Refusal, wouldBe: Setting | null = null): NotDone {
  return { vm, resource, constraint: refusal.constraint, reason: refusal.reason, wouldBe };
}
