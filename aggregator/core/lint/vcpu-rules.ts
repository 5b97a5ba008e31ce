/**
 * Rules on vCPUs that guests are to take on or offline. Each step is held against the rules of any CPU change, as a change of so
 * many cores, and against rules of its own. Input: plan, snapshot, policy; output: findings. Knows nothing of the planner.
 */
import type { LintFinding, PlanStep, VcpuStep, VmSnapshot } from '../plan/plan.ts';
import { forecastReaches } from './care-rules.ts';
import { notTakenDuringIncident } from './incident-rules.ts';
import { type LintContext, type LintedStep, type StepRule, settingOf } from './lint-rule.ts';
import { guaranteeKept, outsideMaintenance, trialOver } from './policy-rules.ts';
import { blastRadius, outsideFreeze } from './rate-rules.ts';
import * as standing from './standing-rules.ts';
import * as values from './value-rules.ts';

interface LintedVcpus {
  step: VcpuStep;
  vm: VmSnapshot;
  linted: LintedStep;
}

type VcpuRule = (linted: LintedVcpus, context: LintContext) => string | null;

/** The label with which an administrator allows it, and its word. */
const LABEL = 'vcpus';
const LABEL_ALLOWS = 'allow';
/** Times of rest after a change of their number. */
const RESTS = 12;
/** A fifth of each vCPU of the definition is everybody's floor. */
const SHARE_PER_VCPU_MIN = 0.2;
const EPSILON = 1e-6;

const labelled: VcpuRule = ({ vm }) => (vm.labels[LABEL] === LABEL_ALLOWS ? null : `${vm.name} is not labelled ${LABEL}=${LABEL_ALLOWS}`);

const known: VcpuRule = ({ step, vm }) => {
  if (vm.vcpusOnline === undefined) return `no guest agent of ${vm.name} can put vCPUs back`;
  return vm.vcpusOnline.online === step.from ? null : `it starts from ${step.from} online, ${vm.vcpusOnline.online} are`;
};

const sound: VcpuRule = ({ step, vm }) => {
  if (!Number.isInteger(step.to) || step.to < 1 || step.to > vm.vcpus || step.of !== vm.vcpus) return `${step.to} of ${vm.vcpus} vCPUs`;
  if (step.to === step.from) return 'the step changes nothing';
  return step.reason.trim() === '' ? 'the step gives no reason' : null;
};

/** Fewer than the policy's floor, or than it wants now, or than a fifth of all of them, is too few. */
const enough: VcpuRule = ({ step, vm, linted }) => {
  if (step.to >= step.from) return null;
  const { now, forecast } = vm.demand.cpu;
  const first = forecast === null ? 0 : (forecast.values[forecast.quantiles.length - 1] ?? 0);
  const wanted = Math.min(vm.vcpus, Math.max(now ?? vm.vcpus, Math.min(first, vm.vcpus)));
  if (step.to < wanted - EPSILON) return `${step.to} vCPUs are fewer than the ${wanted.toFixed(2)} cores it wants`;
  const floor = Math.min(vm.vcpus, Math.max(linted.policy.floor ?? 0, SHARE_PER_VCPU_MIN * vm.vcpus));
  return step.to < floor - EPSILON ? `${step.to} vCPUs are fewer than its floor of ${floor.toFixed(2)} cores` : null;
};

/** A cap is a quota of each vCPU: those left online must be able to run what it wants now. */
const underCap: VcpuRule = ({ step, vm }, { plan }) => {
  if (step.to >= step.from) return null;
  const now = vm.demand.cpu.now ?? vm.vcpus;
  const own = plan.steps.filter(({ vm: id, resource }) => id === vm.id && resource === 'cpu').map(({ to }) => to);
  for (const setting of [vm.current.cpu, ...own]) {
    const cap = settingOf(setting, 'cpu')?.capCores ?? null;
    if (cap !== null && (cap * step.to) / vm.vcpus < now - EPSILON) {
      return `under a cap of ${cap} cores, ${step.to} of its ${vm.vcpus} vCPUs run less than the ${now.toFixed(2)} cores it wants now`;
    }
  }
  return null;
};

const rested: VcpuRule = ({ step, vm, linted }, { snapshot }) => {
  if (step.to >= step.from || vm.vcpusOnline === undefined) return null;
  const sinceMs = snapshot.nowMs - vm.vcpusOnline.sinceMs;
  const restMs = RESTS * linted.policy.cooldownShrinkMs;
  return sinceMs < restMs ? `their number changed ${sinceMs} ms ago; taking waits ${restMs} ms` : null;
};

/** After harm there is a rest, and what did it is not left at half. */
const cooled: VcpuRule = ({ step, vm }, { snapshot }) => {
  if (step.to >= step.from || vm.vcpusOnline === undefined) return null;
  const { coolUntilMs = 0, rollback } = vm.vcpusOnline;
  if (rollback !== undefined) return `taking the last did harm: ${rollback.to} are to be online again`;
  return coolUntilMs > snapshot.nowMs ? `taking the last did harm: no other before another ${coolUntilMs - snapshot.nowMs} ms` : null;
};

const reached: VcpuRule = ({ step, vm }, { snapshot }) => {
  const tried = vm.vcpusOnline?.infeasible;
  if (step.to >= step.from || tried === undefined || tried.untilMs <= snapshot.nowMs || step.to > tried.target) return null;
  return `${tried.target} online were tried and not reached: ${tried.reason}`;
};

/** Where a person decides, fewer only as far as they gave leave for; what was taken may come back. */
const allowed: VcpuRule = ({ step, vm, linted }, context) => {
  if (step.mode !== 'auto' || linted.policy.mode !== 'recommend') return standing.modeAuto(linted, context);
  if (step.to >= step.from) return null;
  const { vcpuApprovals = [], nowMs } = context.snapshot;
  const covered = vcpuApprovals.some((leave) => leave.vm === vm.id && leave.untilMs > nowMs && leave.to <= step.to);
  return covered ? null : `the policy only recommends, and nobody gave leave for ${step.to} vCPUs online`;
};

/** Rules of its own, and those of any CPU change that hold for cores as well. */
export const VCPU_RULES: Readonly<Record<string, VcpuRule>> = {
  'vcpus-labelled': labelled,
  'vcpus-known': known,
  'vcpus-sound': sound,
  'vcpus-enough': enough,
  'vcpus-under-cap': underCap,
  'vcpus-rested': rested,
  'vcpus-cooled': cooled,
  'vcpus-reached': reached,
  'host-heard': of(standing.hostHeard),
  eligibility: unlessBack(standing.eligible),
  mode: unlessGivenUp(allowed),
  'kill-switch': of(standing.killSwitchOff),
  state: of(standing.running),
  'fresh-demand': unlessBack(standing.freshDemand),
  hold: of(standing.notHeld),
  job: of(standing.noJob),
  'grow-only': of(values.growOnlyKept),
  anomaly: of(notTakenDuringIncident),
  pressure: of(values.notTakenUnderPressure),
  grounds: of(values.takenOnGoodGrounds),
  guarantee: of(guaranteeKept),
  reach: of(forecastReaches),
  freeze: unlessBack(outsideFreeze),
  maintenance: unlessBack(outsideMaintenance),
  'policy-trial': of(trialOver),
};

function of(rule: StepRule): VcpuRule {
  return ({ linted }, context) => rule(linted, context);
}

/** What is put back because the policy has it so waits for none of these. */
function unlessBack(rule: StepRule): VcpuRule {
  return unlessGivenUp(of(rule));
}

function unlessGivenUp(rule: VcpuRule): VcpuRule {
  return (about, context) => (about.step.to === about.step.of && about.step.mode !== 'auto' ? null : rule(about, context));
}

export function lintVcpus(context: LintContext, changed: readonly (LintedStep & { index: number })[]): LintFinding[] {
  const findings: LintFinding[] = [];
  const places: (LintedStep & { index: number })[] = [];
  const seen = new Set<string>();
  for (const [vcpuStep, step] of (context.plan.vcpuSteps ?? []).entries()) {
    const vm = context.vms.get(step.vm);
    const host = context.hosts.get(step.host);
    const find = (rule: string, message: string): void => void findings.push({ rule, message, step: null, vcpuStep });
    if (!vm || !host || vm.host !== step.host) {
      find('known', `VM ${step.vm} is not known on host ${step.host}`);
      continue;
    }
    if (seen.has(step.vm)) find('one-step-each', `a second number of vCPUs for ${step.vmName}`);
    seen.add(step.vm);
    const linted = { step: asCores(step), vm, host, policy: context.policy.resolve(vm, 'cpu') };
    places.push({ ...linted, index: context.plan.steps.length + vcpuStep });
    for (const [rule, check] of Object.entries(VCPU_RULES)) {
      const message = check({ step, vm, linted }, context);
      if (message !== null) find(rule, message);
    }
  }
  // Counted after the plan's other steps: a VM that one of them changes already costs nothing more.
  for (const { step, message } of blastRadius([...changed, ...places], context)) {
    const vcpuStep = (step ?? 0) - context.plan.steps.length;
    if (vcpuStep >= 0) findings.push({ rule: 'blast-radius', message, step: null, vcpuStep });
  }
  return findings;
}

/** The same as a change of so many cores. */
function asCores({ vm, vmName, host, from, to, of: all, mode, constraint, reason, predictedDemand }: VcpuStep): PlanStep {
  const cores = (capCores: number) => ({ resource: 'cpu', weight: 100, capCores }) as const;
  return {
    ...{ vm, vmName, host, resource: 'cpu', direction: to > from ? 'grow' : 'shrink', from: cores(from), to: cores(to) },
    ...{ floor: 0, ceiling: all, mode, constraint, reason, predictedDemand, model: 'none' },
  };
}
