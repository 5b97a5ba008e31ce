/**
 * A plan as the ledger keeps it: who decided (build, epoch, policy), on which inputs, and for each step what it rests on beside
 * its own words: the model with its version and the forecast's band at the moment the step was made for. Plan, findings,
 * snapshot in; an entry out. Outcomes and verdicts follow as entries of their own, by the plan's name.
 */
import type { FleetSnapshot, ForecastView, LintFinding, Plan, PlanStep } from '../core/plan/plan.ts';
import type { LedgerBody } from '../store/ledger-store.ts';

export interface Decider {
  /** The build: models are of it as well, and a model of another build is never taken over. */
  version: string;
  epoch: number;
  /** Version of the policy in force. */
  policy: number;
}

/** What a step rests on. */
interface Grounds {
  model: string;
  modelVersion: string;
  confidence: number;
  /** The forecast for one step: quantiles and their values, headline unit. */
  band: { fromMs: number; toMs: number; quantiles: readonly number[]; values: readonly number[] };
}

/** Proposals not carried out that an entry names one by one; the rest is in the plan's digest. */
const NOT_DONE_KEPT_MAX = 500;

/** Null: nothing was decided that is worth an entry. */
export function planEntry(plan: Plan, findings: readonly LintFinding[], snapshot: FleetSnapshot, by: Decider): LedgerBody | null {
  const held = plan.notDone.filter(({ wouldBe }) => wouldBe !== null);
  const vcpus = plan.vcpuSteps ?? [];
  const recommended = plan.vcpusRecommended ?? [];
  const nothing = [plan.steps, vcpus, findings, held, recommended].every(({ length }) => length === 0);
  if (nothing) return null;
  const changed = new Set(plan.steps.map(({ vm }) => vm));
  const vms = new Map(snapshot.vms.filter(({ id }) => changed.has(id)).map((vm) => [vm.id, vm]));
  const steps = plan.steps.map((step) => {
    const forecast = vms.get(step.vm)?.demand[step.resource].forecast ?? null;
    return { ...step, grounds: forecast === null ? null : groundsOf(step, forecast, by.version) };
  });
  const { id: planId, inputsDigest } = plan;
  return {
    kind: 'plan',
    planId,
    by,
    inputsDigest,
    steps: [...steps, ...vcpus],
    notDone: [...held, ...recommended].slice(0, NOT_DONE_KEPT_MAX),
    lintRejections: [...findings],
  };
}

/** The step of the forecast that the decision was made for; where it is for now, the next one. */
function groundsOf({ expectedByMs }: PlanStep, forecast: ForecastView, version: string): Grounds {
  const { model, confidence, fromMs, stepMs, horizons, quantiles, values } = forecast;
  const wanted = expectedByMs === undefined ? 1 : (expectedByMs - fromMs) / stepMs;
  const found = horizons.findIndex((horizon) => horizon >= wanted);
  const i = found < 0 ? horizons.length - 1 : found;
  const endMs = fromMs + (horizons[i] ?? 1) * stepMs;
  const width = quantiles.length;
  const band = { fromMs: endMs - stepMs, toMs: endMs, quantiles: [...quantiles], values: [...values.slice(i * width, (i + 1) * width)] };
  return { model, modelVersion: version, confidence, band };
}
