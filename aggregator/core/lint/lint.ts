/**
 * The independent lint: looks at a finished plan with other code than the planner's and strikes out what breaks a safety
 * rule. Input: plan, snapshot, policy; output: findings, and the plan without the steps they are about. A finding on the
 * plan as a whole (step null) voids all of it. A finding is a bug of the planner: it is counted, told and never ignored.
 */
import type { FleetSnapshot, LintFinding, NotDone, Plan } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import * as care from './care-rules.ts';
import { notTakenDuringIncident } from './incident-rules.ts';
import type { LintContext, LintedStep, PlanRule, StepRule } from './lint-rule.ts';
import * as loans from './loan-rules.ts';
import * as asked from './policy-rules.ts';
import { blastRadius, cooledDown, oneStepEach, outsideFreeze, stepLimit } from './rate-rules.ts';
import * as standing from './standing-rules.ts';
import { cpuOfHost, guardGrants, memoryOfHost, memoryOfNumaNode } from './sum-rules.ts';
import * as values from './value-rules.ts';
import { lintVcpus } from './vcpu-rules.ts';

/** By name, as findings and the audit tell them. */
export const STEP_RULES: Readonly<Record<string, StepRule>> = {
  eligibility: standing.eligible,
  'balloon-manager': standing.noOtherBalloonManager,
  mode: standing.modeAuto,
  'kill-switch': standing.killSwitchOff,
  state: standing.running,
  'host-heard': standing.hostHeard,
  'fresh-demand': standing.freshDemand,
  hold: standing.notHeld,
  job: standing.noJob,
  pending: standing.nothingPending,
  'from-current': standing.startsFromCurrent,
  direction: standing.saysWhatItDoes,
  'cap-minimum': values.capNotTooLow,
  'cap-vcpus': values.capSuitsVcpus,
  'cap-asked': values.capAsked,
  weight: values.weightPositive,
  bounds: values.withinBounds,
  rates: values.ratesWithinBounds,
  'working-set': values.aboveWorkingSet,
  pressure: values.notTakenUnderPressure,
  'host-pressure': values.notTakenUnderHostPressure,
  'grow-only': values.growOnlyKept,
  anomaly: notTakenDuringIncident,
  grounds: values.takenOnGoodGrounds,
  claimed: values.claimedWithinGuarantee,
  'step-limit': stepLimit,
  cooldown: cooledDown,
  freeze: outsideFreeze,
  maintenance: asked.outsideMaintenance,
  'policy-trial': asked.trialOver,
  guarantee: asked.guaranteeKept,
  confirmed: care.lastShrinkConfirmed,
  margin: care.marginKept,
  'dead-band': care.outsideDeadBand,
  reach: care.forecastReaches,
  'cap-needed': care.capNeeded,
  infeasible: care.notInfeasible,
  'bounds-sent': care.boundsSent,
  loan: loans.loanGranted,
  lent: loans.lentKept,
};

export const PLAN_RULES: Readonly<Record<string, PlanRule>> = {
  'one-step-each': oneStepEach,
  'blast-radius': blastRadius,
  'host-memory': memoryOfHost,
  'numa-memory': memoryOfNumaNode,
  'host-cpu': cpuOfHost,
  'guard-grants': guardGrants,
  canary: care.canariesWell,
  borrowed: loans.borrowedWithinCeiling,
};

export function lintPlan(plan: Plan, snapshot: FleetSnapshot, policy: FleetPolicy): LintFinding[] {
  const context: LintContext = {
    plan,
    snapshot,
    policy,
    vms: new Map(snapshot.vms.map((vm) => [vm.id, vm])),
    hosts: new Map(snapshot.hosts.map((host) => [host.id, host])),
  };
  const findings: LintFinding[] = [];
  const known: (LintedStep & { index: number })[] = [];
  for (const [index, step] of plan.steps.entries()) {
    const vm = context.vms.get(step.vm);
    const host = context.hosts.get(step.host);
    if (!vm || !host || vm.host !== step.host) {
      findings.push({ rule: 'known', message: `VM ${step.vm} is not known on host ${step.host}`, step: index });
      continue;
    }
    const linted = { step, vm, host, policy: policy.resolve(vm, step.resource), index };
    known.push(linted);
    for (const [rule, check] of Object.entries(STEP_RULES)) {
      const message = check(linted, context);
      if (message !== null) findings.push({ rule, message, step: index });
    }
  }
  findings.push(...lintVcpus(context, known));
  for (const [rule, check] of Object.entries(PLAN_RULES)) {
    for (const { step, message } of check(known, context)) findings.push({ rule, message, step });
  }
  return findings;
}

/** What may be carried out: the plan without struck steps, which move to `notDone`. A finding on the whole leaves nothing. */
export function withoutFindings(plan: Plan, findings: readonly LintFinding[]): Plan {
  if (findings.length === 0) return plan;
  const whole = findings.find(({ step, vcpuStep }) => step === null && vcpuStep === undefined);
  const struck = new Map<number, LintFinding>();
  for (const [index] of plan.steps.entries()) {
    const finding = whole ?? findings.find(({ step }) => step === index);
    if (finding) struck.set(index, finding);
  }
  const notDone: NotDone[] = [...struck].map(([index, { rule, message }]) => {
    const step = plan.steps[index]!;
    return { vm: step.vm, resource: step.resource, constraint: 'lint', reason: `struck by the ${rule} rule: ${message}`, wouldBe: step.to };
  });
  const { vcpuSteps, ...rest } = plan;
  const left = whole ? [] : (vcpuSteps ?? []).filter((_, index) => findings.every(({ vcpuStep }) => vcpuStep !== index));
  return {
    ...rest,
    ...(left.length === 0 ? {} : { vcpuSteps: left }),
    steps: plan.steps.filter((_, index) => !struck.has(index)),
    notDone: [...plan.notDone, ...notDone],
    // Leases are renewed all the same (renewal shrinks nothing), with nothing for the guards to hand out.
    grants: whole ? plan.grants.map((grant) => ({ ...grant, reserveCores: 0, reserveMiB: 0, allowances: [] })) : plan.grants,
  };
}
