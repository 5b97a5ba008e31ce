/**
 * A person's leave for one recommended change. Input: a proposal, the approvals in force; output: what of the proposal they cover.
 * Whatever the forecast wants by now, no more is done than the person saw, and never the other way round; but for a shrink that did
 * harm, which is undone without asking again. Pure.
 */
import type { VmId } from '../../../shared/ids.ts';
import type { Resource, Setting } from '../../../shared/resources.ts';
import { amountOf } from './amounts.ts';
import type { FleetSnapshot } from './plan.ts';
import type { Proposal } from './planning.ts';

export interface Approval {
  vm: VmId;
  resource: Resource;
  direction: 'grow' | 'shrink';
  /** As far as this, as the person saw it. */
  to: Setting;
  by: string;
  atMs: number;
  /** What could not be done by then is to be looked at again. */
  untilMs: number;
}

/** So few vCPUs online as a person saw; bringing them back needs no leave: it undoes what leave was given for. */
export interface VcpuApproval {
  vm: VmId;
  to: number;
  by: string;
  atMs: number;
  untilMs: number;
}

/** Who stands for giving back what a shrink took: leave to take is leave to undo. */
const WITH_THE_SHRINK = 'whoever approved the shrink';

/** The proposal as far as it is approved; null = nobody approved of it. */
export function approvedPart(proposal: Proposal, snapshot: FleetSnapshot): Proposal | null {
  const { subject, direction, target } = proposal;
  const leave = leaveFor(proposal, snapshot);
  if (leave === null) return null;
  const limit = amountOf(leave.to, subject.vm, subject.form);
  const within = direction === 'grow' ? Math.min(target, limit) : Math.max(target, limit);
  const changes = direction === 'grow' ? within > subject.amount || subject.capToLift : within < subject.amount;
  return changes ? { ...proposal, target: within, approvedBy: leave.by } : null;
}

function leaveFor({ subject, direction }: Proposal, { approvals = [], nowMs }: FleetSnapshot): Pick<Approval, 'to' | 'by'> | null {
  const approval = approvals.find(({ vm, resource }) => vm === subject.vm.id && resource === subject.resource);
  if (approval !== undefined && approval.direction === direction && approval.untilMs > nowMs) return approval;
  // A shrink that did harm is not left to do more until somebody is awake.
  const back = direction === 'grow' ? subject.vm.rollback[subject.resource] : undefined;
  return back === undefined ? null : { to: back.to, by: WITH_THE_SHRINK };
}
