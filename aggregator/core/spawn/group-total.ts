/**
 * What the members of a group want together in one step: the largest total of any window within it. Members that share a load are
 * busy at different moments, and the sum of each one's own peak would be demand that never was. Input: each member's step; output:
 * the total, headline unit, NaN = not known. Pure.
 */
import type { GroupResource } from '../plan/group-policy.ts';
import type { DemandStep } from '../state/demand.ts';

export interface MemberStep {
  /** Null: nothing was told of this step. */
  step: DemandStep | null;
  /** It began to serve within this step: it need not tell anything yet. */
  fresh: boolean;
}

export function groupTotal(members: readonly MemberStep[], resource: GroupResource): number {
  let peaks = 0;
  for (const { step, fresh } of members) {
    const value = step?.points[resource].value ?? Number.NaN;
    if (!Number.isNaN(value)) peaks += value;
    // What one member wanted is unknown, and the total with it.
    else if (!fresh) return Number.NaN;
  }
  const together = resource === 'memory' ? Number.NaN : largestWindow(members, resource);
  return Number.isNaN(together) ? peaks : Math.min(peaks, together);
}

/** NaN: no window was seen of all members. */
function largestWindow(members: readonly MemberStep[], resource: 'cpu' | 'network'): number {
  const count = Math.max(0, ...members.map(({ step }) => step?.windows[resource].length ?? 0));
  let largest = Number.NaN;
  for (let window = 0; window < count; window++) {
    let total = 0;
    for (const { step, fresh } of members) {
      const value = step?.windows[resource][window] ?? Number.NaN;
      total += fresh && Number.isNaN(value) ? 0 : value;
    }
    if (!Number.isNaN(total)) largest = Number.isNaN(largest) ? total : Math.max(largest, total);
  }
  return largest;
}
