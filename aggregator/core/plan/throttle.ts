/**
 * Throttling: caps that are set anew on a host whose CPU is promised beyond what there is. The least important are held
 * below what they want, equals by the same share of it, none below its floor. Input: proposals and rooms; output: the same
 * proposals, some with a lower target.
 */
import type { HostRooms } from './allot.ts';
import { cpuLoadOf } from './cpu-room.ts';
import type { PlanContext, Proposal } from './planning.ts';
import { whenShort } from './policy-defaults.ts';
import { amountWords } from './words.ts';

export function throttle(proposals: readonly Proposal[], rooms: ReadonlyMap<string, HostRooms>, context: PlanContext): readonly Proposal[] {
  if (!whenShort(context.policy).throttle) return proposals;
  const fresh = Map.groupBy(proposals.filter(setsFirstCap), ({ subject }) => subject.host.id);
  const held = new Map<Proposal, Proposal>();
  for (const [host, own] of fresh) {
    const room = rooms.get(host)?.cpu;
    if (room === undefined) continue;
    const saved = own.reduce((sum, { subject, target }) => sum + cpuLoadOf(subject.vm) - target, 0);
    let excess = room.committedCores - saved - room.usableCores;
    for (const [, equals] of [...Map.groupBy(own, ({ subject }) => subject.policy.priority)].sort(([a], [b]) => a - b)) {
      if (excess <= 0) break;
      excess -= hold(equals, excess, held);
    }
  }
  return held.size === 0 ? proposals : proposals.map((proposal) => held.get(proposal) ?? proposal);
}

function setsFirstCap({ subject, direction }: Proposal): boolean {
  const { current, form } = subject;
  return direction === 'shrink' && form === 'cap' && current.resource === 'cpu' && current.capCores === null;
}

function hold(equals: readonly Proposal[], excess: number, held: Map<Proposal, Proposal>): number {
  const spare = (proposal: Proposal): number => Math.max(0, proposal.target - leastOf(proposal));
  const all = equals.reduce((sum, proposal) => sum + spare(proposal), 0);
  if (all <= 0) return 0;
  const share = Math.min(1, excess / all);
  for (const proposal of equals) {
    const target = proposal.target - share * spare(proposal);
    const note = `held below the ${amountWords('cpu', proposal.target)} it wants: host ${proposal.subject.host.id} has not enough CPU`;
    held.set(proposal, { ...proposal, target, constraint: 'throttle', notes: [...proposal.notes, note] });
  }
  return share * all;
}

function leastOf({ subject }: Proposal): number {
  const { amount, bounds, policy } = subject;
  const kept = (1 - policy.oversubscribedFraction) * bounds.ceiling;
  return Math.max(bounds.floor, kept, amount * (1 - policy.stepLimitShrinkFraction));
}
