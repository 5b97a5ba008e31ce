/**
 * The next plan as another policy would make it, for a dry run. Input: the snapshot of this moment, the policy, a generator;
 * output: the steps that would be carried out and why others would not. Nothing is sent, nothing is written down.
 */
import type { Prng } from '../../shared/prng.ts';
import { lintPlan, withoutFindings } from '../core/lint/lint.ts';
import type { FleetSnapshot } from '../core/plan/plan.ts';
import { plan } from '../core/plan/planner.ts';
import type { FleetPolicy } from '../core/plan/policy.ts';
import type { PlanPreview } from '../http/service.ts';

/** Steps a person would still read; the number of all of them is told. */
const STEPS_TOLD_MAX = 200;

export function previewPlan(snapshot: FleetSnapshot, policy: FleetPolicy, epoch: number, prng: Prng): PlanPreview {
  const made = plan(snapshot, policy, { epoch }, prng.stream(String(snapshot.nowMs)));
  const findings = lintPlan(made.plan, snapshot, policy);
  const { steps, notDone } = withoutFindings(made.plan, findings);
  const counts: Record<string, number> = {};
  for (const { constraint } of notDone) counts[constraint] = (counts[constraint] ?? 0) + 1;
  return { steps: steps.slice(0, STEPS_TOLD_MAX), stepsAll: steps.length, notDone: counts };
}
