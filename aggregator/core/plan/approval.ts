/**
 * A person's leave for one recommended change. Input: a proposal, the approvals in force; output: what of the proposal they cover.
 * Whatever the forecast wants by now, no more is done than the person saw, and never the other way round. Pure.
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

/** The proposal as far as it is approved; null = nobody approved of it. */
export function approvedPart(proposal: Proposal, { approvals = [], nowMs }: FleetSnapshot): Proposal | null {
  const { subject, direction, target } = proposal;
  const approval = approvals.find(({ vm, resource }) => vm === subject.vm.id && resource === subject.resource);
  if (approval === undefined || approval.direction !== direction || approval.untilMs <= nowMs) return null;
  const limit = amountOf(approval.to, subject.vm, subject.form);
  const within = direction === 'grow' ? Math.min(target, limit) : Math.max(target, limit);
  const changes = direction === 'grow' ? within > subject.amount || subject.capToLift : within < subject.amount;
  return changes ? { ...proposal, target: within, approvedBy: approval.by } : null;
}
