/**
 * What the members of a group want together in one step: the largest total of any window within it. Members that share a load are
 * busy at different moments, and the sum of each one's own peak would be demand that never was. One that began to serve lately
 * counts for no more than the others do on average: what it does beyond that is its own start, and would call for yet another.
 * (Kubernetes' HorizontalPodAutoscaler leaves pods out while they start, for the same reason.) Only what hosts saw
 * counts: a guest's word makes no VM. Input: each member's step; output: the total, headline unit, NaN = not known. Pure.
 */
import type { GroupResource } from '../plan/group-policy.ts';
import type { DemandPoint, DemandStep } from '../state/demand.ts';

/** Of a member's step what a total is made of. */
export interface MemberDemand extends Pick<DemandStep, 'startMs' | 'windows' | 'memoryClaimed'> {
  points: { memory: Pick<DemandPoint, 'value'> };
}

export interface MemberStep {
  /** Null: nothing was told of this step. */
  step: MemberDemand | null;
  /** It began to serve within this step, or is leaving: it need not tell anything. */
  mayBeSilent: boolean;
  /** It began to serve lately. */
  starting: boolean;
}

export function groupTotal(members: readonly MemberStep[], resource: GroupResource): number {
  if (resource === 'memory') {
    return total(members, ({ points, memoryClaimed }) => (memoryClaimed ? Number.NaN : (points.memory.value ?? Number.NaN)), false);
  }
  const peaks = total(members, (step) => peakOf(step.windows[resource]), true);
  if (Number.isNaN(peaks)) return peaks;
  const windows = Math.max(0, ...members.map(({ step }) => step?.windows[resource].length ?? 0));
  let together = Number.NaN;
  for (let window = 0; window < windows; window++) {
    const here = total(members, (step) => step.windows[resource][window] ?? Number.NaN, true);
    if (!(here <= together)) together = Number.isNaN(here) ? together : here;
  }
  // No window may have been seen of all members.
  return Number.isNaN(together) ? peaks : Math.min(peaks, together);
}

/** What one member wanted is unknown, and the total with it; unless it need not tell. `bounded`: what starts counts as the others do. */
function total(members: readonly MemberStep[], told: (step: MemberDemand) => number, bounded: boolean): number {
  let settled = 0;
  let settledCount = 0;
  const starting: number[] = [];
  for (const member of members) {
    const value = member.step === null ? Number.NaN : told(member.step);
    if (Number.isNaN(value)) {
      if (member.mayBeSilent) continue;
      return Number.NaN;
    }
    if (member.starting && bounded) {
      starting.push(value);
    } else {
      settled += value;
      settledCount++;
    }
  }
  const mean = settledCount === 0 ? Number.POSITIVE_INFINITY : settled / settledCount;
  return settled + starting.reduce((sum, value) => sum + Math.min(value, mean), 0);
}

function peakOf(windows: Float64Array): number {
  return windows.reduce((peak, value) => (Number.isNaN(value) ? peak : Number.isNaN(peak) ? value : Math.max(peak, value)), Number.NaN);
}
