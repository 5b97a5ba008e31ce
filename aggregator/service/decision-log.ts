/**
 * The plans of late and, per VM and resource, the last thing decided or not done. Plans, findings and outcomes in; views for
 * the API out. The ledger keeps everything; this is what can be shown at once.
 */
import type { VmId } from '../../shared/ids.ts';
import type { Resource } from '../../shared/resources.ts';
import type { LintFinding, Plan } from '../core/plan/plan.ts';
import type { VmVerdict } from '../core/state/fleet-state.ts';
import type { StepOutcome } from '../execute/executor.ts';
import type { VcpuOutcome } from '../execute/vcpu-orders.ts';
import type { PlanView, ResourceView, VcpuView } from '../http/service.ts';

const PLANS_MAX = 200;
/** Things not done in all plans remembered: plans of the largest fleets hold tens of thousands each. */
const ENTRIES_MAX = 200_000;

type Decision = NonNullable<ResourceView['lastDecision']>;

export class DecisionLog {
  #plans: PlanView[] = [];
  readonly #last = new Map<string, Decision>();
  readonly #vcpus = new Map<VmId, { atMs: number; reason: string }>();
  readonly #verdicts = new Map<string, NonNullable<ResourceView['lastVerdict']>>();
  readonly #vcpuVerdicts = new Map<VmId, NonNullable<VcpuView['lastVerdict']>>();

  /** `plan`: as the planner made it, for its steps' numbers; `carriedOut`: what the lint left of it. */
  addPlan(carriedOut: Plan, findings: readonly LintFinding[]): void {
    this.#plans.push({ ...carriedOut, lint: [...findings], outcomes: [], verdicts: [] });
    while (this.#plans.length > 1 && (this.#plans.length > PLANS_MAX || this.#entries() > ENTRIES_MAX)) this.#plans.shift();
    const { id: planId, nowMs: atMs } = carriedOut;
    for (const { vm, resource, reason, constraint } of carriedOut.notDone)
      this.#note(vm, resource, { atMs, planId, done: false, reason, constraint, outcome: null });
    for (const { vm, resource, reason, constraint } of carriedOut.steps)
      this.#note(vm, resource, { atMs, planId, done: true, reason, constraint, outcome: null });
  }

  addOutcome({ planId, index, step, outcome, reason }: StepOutcome): void {
    this.plan(planId)?.outcomes.push({ step: index, outcome, reason });
    const decision = this.#last.get(`${step.vm}/${step.resource}`);
    if (decision?.planId !== planId) return;
    decision.outcome = outcome === 'applied' ? 'applied' : `${outcome}: ${reason}`;
    decision.done = outcome === 'applied';
  }

  addVerdict({ vm, resource, planId, verdict, reason, judgedAtMs, atMs, direction, vcpus }: VmVerdict): void {
    const judged = { verdict, reason, judgedAtMs, changedAtMs: atMs, direction, planId };
    const plan = planId === null ? null : this.plan(planId);
    if (vcpus !== undefined) {
      this.#vcpuVerdicts.set(vm, { ...judged, ...vcpus });
      const vcpuStep = plan?.vcpuSteps?.findIndex((each) => each.vm === vm) ?? -1;
      if (plan !== null && vcpuStep >= 0) plan.vcpuVerdicts = [...(plan.vcpuVerdicts ?? []), { vcpuStep, verdict, reason }];
      return;
    }
    this.#verdicts.set(`${vm}/${resource}`, judged);
    const step = plan?.steps.findIndex((each) => each.vm === vm && each.resource === resource) ?? -1;
    if (step >= 0) plan?.verdicts.push({ step, verdict, reason });
  }

  addVcpuOutcome({ planId, step, outcome, reason }: VcpuOutcome, atMs: number): void {
    const plan = this.plan(planId);
    const vcpuStep = plan?.vcpuSteps?.findIndex(({ vm }) => vm === step.vm) ?? -1;
    if (plan !== null && vcpuStep >= 0) plan.vcpuOutcomes = [...(plan.vcpuOutcomes ?? []), { vcpuStep, outcome, reason }];
    const words = outcome === 'applied' ? step.reason : `${step.reason} (${outcome}: ${reason})`;
    this.#vcpus.set(step.vm, { atMs, reason: words });
  }

  /** The last thing done about how many of its vCPUs are online. */
  lastVcpus(vm: VmId): { atMs: number; reason: string } | null {
    return this.#vcpus.get(vm) ?? null;
  }

  lastVcpuVerdict(vm: VmId): NonNullable<VcpuView['lastVerdict']> | null {
    return this.#vcpuVerdicts.get(vm) ?? null;
  }

  lastVerdict(vm: VmId, resource: Resource): ResourceView['lastVerdict'] {
    return this.#verdicts.get(`${vm}/${resource}`) ?? null;
  }

  last(vm: VmId, resource: Resource): Decision | null {
    return this.#last.get(`${vm}/${resource}`) ?? null;
  }

  forget(vm: VmId, resources: readonly Resource[]): void {
    this.#vcpus.delete(vm);
    this.#vcpuVerdicts.delete(vm);
    for (const resource of resources) {
      this.#last.delete(`${vm}/${resource}`);
      this.#verdicts.delete(`${vm}/${resource}`);
    }
  }

  /** Newest first. */
  plans(limit: number): PlanView[] {
    return this.#plans.slice(-limit).reverse();
  }

  plan(id: string): PlanView | null {
    return this.#plans.findLast((plan) => plan.id === id) ?? null;
  }

  #entries(): number {
    return this.#plans.reduce((sum, plan) => sum + plan.notDone.length, 0);
  }

  #note(vm: VmId, resource: Resource, decision: Decision): void {
    this.#last.set(`${vm}/${resource}`, decision);
  }
}
