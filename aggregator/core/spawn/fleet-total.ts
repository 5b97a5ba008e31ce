/**
 * What all VMs of a fleet wanted in one step, added up. Unlike a group's total it decides nothing: it is shown, so that a few silent VMs
 * do not make it unknown. Input: their newest steps; output: the step and the total, headline unit, NaN = not known. Pure.
 */
import type { GroupResource } from '../plan/group-policy.ts';
import type { DemandStep } from '../state/demand.ts';

/** Those that told it stand for the others, if there are so many. */
const TOLD_SHARE_MIN = 0.9;

export function fleetTotal(steps: readonly (DemandStep | null)[], resource: GroupResource): { startMs: number; total: number } {
  const startMs = Math.max(...steps.map((step) => step?.startMs ?? Number.NEGATIVE_INFINITY));
  const told = steps.flatMap((step) => (step?.startMs === startMs ? (step.points[resource].value ?? []) : []));
  if (told.length === 0 || told.length < TOLD_SHARE_MIN * steps.length) return { startMs, total: Number.NaN };
  return { startMs, total: (told.reduce((sum, value) => sum + value, 0) * steps.length) / told.length };
}
