/**
 * How many vCPUs guests are to have online, once caps are allotted. Input: context and allotment; output: steps for guest
 * agents. What was taken is put back where the policy no longer allows it; where it only recommends, none is taken without
 * somebody's leave, and what was taken comes back without: that undoes it.
 */
import type { Allotment } from './allot.ts';
import { isCanary, trialEndsMs } from './canaries.ts';
import { solveCpu, vcpusFor } from './cpu-solve.ts';
import { freezeAt } from './freeze.ts';
import { gateOfReturn } from './gates.ts';
import type { VcpuStep, VmSnapshot } from './plan.ts';
import type { Need, PlanContext, Subject } from './planning.ts';
import { look } from './propose.ts';
import { problemOf } from './vcpus-online.ts';
import { amountWords, timeWords } from './words.ts';

export interface VcpuSteps {
  steps: VcpuStep[];
  /** What would be taken with somebody's leave. */
  recommended: VcpuStep[];
}

export function vcpuStepsOf(context: PlanContext, allotment: Pick<Allotment, 'steps' | 'blast'>): VcpuSteps {
  const { snapshot, policy } = context;
  const frozen = freezeAt(snapshot.nowMs, policy.freezeWindows) !== null;
  const caps = new Map(allotment.steps.flatMap(({ vm, to }) => (to.resource === 'cpu' ? [[vm, to.capCores] as const] : [])));
  const made: VcpuSteps = { steps: [], recommended: [] };
  for (const vm of snapshot.vms) {
    if (vm.vcpusOnline === undefined) continue;
    const step = givenUp(vm, context) ?? (frozen ? null : wanted(vm, context, caps.get(vm.id)));
    if (step?.mode === 'recommend') made.recommended.push(step);
    if (step === null || step.mode === 'recommend' || allotment.blast.refusal(vm) !== null) continue;
    allotment.blast.take(vm);
    made.steps.push(step);
  }
  return made;
}

/** The policy no longer has it changed by us: everything comes back. */
function givenUp(vm: VmSnapshot, context: PlanContext): VcpuStep | null {
  const own = context.policy.resolve(vm, 'cpu');
  const { online } = vm.vcpusOnline!;
  if (own.mode === 'auto' || own.mode === 'recommend' || online >= vm.vcpus || gateOfReturn(vm, 'cpu', own, context) !== null) return null;
  const reason = `all ${vm.vcpus} vCPUs are brought online again because the policy's mode is ${own.mode}`;
  return { ...about(vm, vm.vcpus), mode: own.mode, constraint: 'mode', reason, predictedDemand: vm.demand.cpu.now ?? 0 };
}

function wanted(vm: VmSnapshot, context: PlanContext, planned: number | null | undefined): VcpuStep | null {
  const looked = look(vm, 'cpu', context);
  if (looked === null || 'kind' in looked) return null;
  const { subject, need } = looked;
  const to = targetOf(subject, need, context, planned);
  const { online, rollback } = vm.vcpusOnline!;
  if (to === online || (to < online && onTrial(subject, context))) return null;
  const step = (target: number): VcpuStep => ({
    ...about(vm, target),
    mode: 'auto',
    constraint: rollback === undefined ? need.constraint : 'rollback',
    reason: words(subject, need, context, target),
    predictedDemand: need.demand,
  });
  return to > online || subject.policy.mode === 'auto' ? step(to) : withLeave(vm, step, to, context);
}

/** As far as somebody gave leave for, and no farther than is wanted by now; else it is only recommended. */
function withLeave(vm: VmSnapshot, step: (to: number) => VcpuStep, to: number, { snapshot }: PlanContext): VcpuStep {
  const leave = snapshot.vcpuApprovals?.find((each) => each.vm === vm.id && each.untilMs > snapshot.nowMs);
  const target = Math.max(to, leave?.to ?? 0);
  if (leave === undefined || target >= vm.vcpusOnline!.online) {
    const would = step(to);
    return { ...would, mode: 'recommend', constraint: 'mode', reason: `recommended only: ${would.reason}` };
  }
  const done = step(target);
  return { ...done, reason: `approved by ${leave.by}: ${done.reason}`, approvedBy: leave.by };
}

/** What is taken must fit the cap in force and the one the plan writes; growth comes with the latter. */
function targetOf(subject: Subject, need: Need, context: PlanContext, planned: number | null | undefined): number {
  const { online } = subject.vm.vcpusOnline!;
  const goal = need.vcpus?.online ?? online;
  const problem = problemOf(subject, { ...need, lead: need.lead / (need.vcpus?.spread ?? 1) }, context);
  const caps = [problem.capCores, planned === undefined ? problem.capCores : planned];
  if (goal < online) return Math.min(online, vcpusFor(problem, goal, caps));
  return solveCpu({ ...problem, capCores: caps[1] ?? null, caps: false, mayTake: false }).vcpus;
}

function onTrial({ vm, policy: own }: Subject, { policy, snapshot, canaryCooling }: PlanContext): boolean {
  if (isCanary(vm.id, own, policy)) return false;
  return trialEndsMs(policy, snapshot.nowMs) !== null || canaryCooling.has('cpu');
}

function about(vm: VmSnapshot, to: number): Pick<VcpuStep, 'vm' | 'vmName' | 'host' | 'from' | 'to' | 'of'> {
  return { vm: vm.id, vmName: vm.name, host: vm.host, from: vm.vcpusOnline!.online, to, of: vm.vcpus };
}

function words({ vm }: Subject, need: Need, { snapshot }: PlanContext, to: number): string {
  const { online, rollback } = vm.vcpusOnline!;
  const at = timeWords(snapshot.nowMs);
  const because = rollback === undefined ? need.because : `taking them did harm: ${rollback.reason}`;
  if (to > online) return `${to - online} of ${vm.vcpus} vCPUs brought online again at ${at} because ${because}`;
  const why = need.holdBecause === '' ? `no more than ${amountWords('cpu', need.demand)} is expected to be wanted` : need.holdBecause;
  return `${online - to} of ${vm.vcpus} vCPUs taken offline at ${at} because ${why}`;
}
