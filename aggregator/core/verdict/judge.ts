/**
 * Did a change help, harm, or do nothing? Input: the change, what was seen in the steps before and after it, what became of it;
 * output: a verdict with its reason in words. Pure. Harm needs clear evidence: a shrink, pressure after it that was not there
 * before, and a demand that what was taken would have covered; growth cannot harm the VM it is given to.
 */
import type { Resource, Setting } from '../../../shared/resources.ts';
import { headline } from '../plan/plan.ts';
import { amountWords } from '../plan/words.ts';

export const VERDICTS = ['helped', 'harmed', 'nothing', 'unknown'] as const;
export type VerdictKind = (typeof VERDICTS)[number];

export interface Change {
  resource: Resource;
  direction: 'grow' | 'shrink';
  from: Setting;
  to: Setting;
  atMs: number;
  /** Null: not ours (the fast guard, an operator). */
  planId: string | null;
}

/** One finished step, as far as a verdict looks at it. */
export interface EvidenceStep {
  startMs: number;
  /** Headline unit, null = unknown. */
  demand: number | null;
  /** The host saw that the allocation held the VM down. */
  suppressed: boolean;
}

/** Some steps in sum. */
export interface Evidence {
  steps: number;
  suppressed: number;
  /** Null = unknown in all of them. */
  demandMax: number | null;
}

export interface Verdict extends Change {
  verdict: VerdictKind;
  judgedAtMs: number;
  before: Evidence;
  after: Evidence;
  reason: string;
}

/** A balloon this far above its target has not reached it: rounding, and pages in flight. */
const SHORT_OF_TARGET_MIB = 16;
const SHORT_OF_TARGET_SHARE = 0.05;

export function evidenceOf(steps: readonly EvidenceStep[]): Evidence {
  const known = steps.flatMap(({ demand }) => demand ?? []);
  return {
    steps: steps.length,
    suppressed: steps.filter(({ suppressed }) => suppressed).length,
    demandMax: known.length === 0 ? null : Math.max(...known),
  };
}

/** It would have been short with what it had before as well: demand outgrew it, and taking it away is not why. */
export function demandExplains(change: Pick<Change, 'from'>, demand: number | null): boolean {
  return demand !== null && demand > headline(change.from, Number.POSITIVE_INFINITY);
}

/** Memory that was asked back and is still there; null = reached, or nobody can tell. `heldMiB`: the balloon's size as the host sees it. */
export function notReached({ direction, to }: Pick<Change, 'direction' | 'to'>, heldMiB: number | null): string | null {
  if (to.resource !== 'memory' || direction !== 'shrink' || heldMiB === null) return null;
  if (heldMiB <= to.memoryMiB + Math.max(SHORT_OF_TARGET_MIB, SHORT_OF_TARGET_SHARE * to.memoryMiB)) return null;
  return `the guest still holds ${heldMiB.toFixed(0)} MiB of the ${to.memoryMiB.toFixed(0)} MiB asked for`;
}

/** `heldMiB`: of memory, what the guest holds by now, null = unknown or another resource. */
export function judge(change: Change, before: Evidence, after: Evidence, heldMiB: number | null): Pick<Verdict, 'verdict' | 'reason'> {
  if (after.steps === 0) return { verdict: 'unknown', reason: 'no step was seen to its end after it' };
  const short = notReached(change, heldMiB);
  if (short !== null) return { verdict: 'nothing', reason: short };
  return change.direction === 'shrink' ? judgeShrink(change, before, after) : judgeGrowth(change, before, after);
}

function judgeShrink(change: Change, before: Evidence, after: Evidence): Pick<Verdict, 'verdict' | 'reason'> {
  const words = (amount: number): string => amountWords(change.resource, amount);
  if (after.suppressed > 0 && shareOf(after) > shareOf(before)) {
    const held = `it was held down in ${after.suppressed} of ${after.steps} steps after it, in ${before.suppressed} of ${before.steps} before`;
    if (!demandExplains(change, after.demandMax)) return { verdict: 'harmed', reason: held };
    return { verdict: 'nothing', reason: `${held}, but it wants ${words(after.demandMax ?? 0)}, more than it had before` };
  }
  if (after.suppressed > 0) return { verdict: 'nothing', reason: 'it was held down no more often than before' };
  if (after.demandMax === null) return { verdict: 'unknown', reason: 'what it wanted after it is unknown' };
  return { verdict: 'helped', reason: `what was taken was not missed: it wanted ${words(after.demandMax)} at most` };
}

function judgeGrowth(change: Change, before: Evidence, after: Evidence): Pick<Verdict, 'verdict' | 'reason'> {
  const words = (amount: number): string => amountWords(change.resource, amount);
  const had = headline(change.from, Number.POSITIVE_INFINITY);
  if (before.suppressed > 0 && shareOf(after) < shareOf(before)) {
    const now = after.suppressed === 0 ? 'not any more' : `in ${after.suppressed} of ${after.steps} steps after it`;
    return { verdict: 'helped', reason: `it was held down in ${before.suppressed} of ${before.steps} steps before, ${now}` };
  }
  if (after.demandMax === null) return { verdict: 'unknown', reason: 'what it wanted after it is unknown' };
  if (after.demandMax > had)
    return { verdict: 'helped', reason: `it wanted ${words(after.demandMax)}, more than the ${words(had)} it had before` };
  if (after.suppressed > 0) return { verdict: 'nothing', reason: `it is held down as before: ${after.suppressed} of ${after.steps} steps` };
  return { verdict: 'nothing', reason: `it wanted ${words(after.demandMax)} at most, which it had before` };
}

function shareOf({ steps, suppressed }: Evidence): number {
  return steps === 0 ? 0 : suppressed / steps;
}
