/**
 * Rules on whether a VM and resource may be touched at all at this moment. Each looks at the snapshot and the policy anew
 * and knows nothing of how the planner came to its step.
 */
import { sameSetting } from '../../../shared/resources.ts';
import type { FleetSnapshot, PlanStep, VmSnapshot } from '../plan/plan.ts';
import { gives, type StepRule, takes } from './lint-rule.ts';

export const eligible: StepRule = ({ step, vm }) => {
  const verdict = vm.eligibility[step.resource];
  return verdict.allowed ? null : `${step.resource} of ${vm.name} must never be changed: ${verdict.reason}`;
};

export const noOtherBalloonManager: StepRule = ({ step, host }) =>
  step.resource === 'memory' && host.balloonManager !== null ? `${host.balloonManager} manages the balloons of ${host.id}` : null;

export const modeAuto: StepRule = ({ step, vm, policy }, { snapshot }) => {
  if (step.mode === 'auto' && policy.mode === 'auto') return null;
  if (step.mode === 'auto' && policy.mode === 'recommend') return undoesHarm(step, vm) ? null : beyondApproval(step, snapshot);
  return `the policy's mode is ${policy.mode}, the step's ${step.mode}: only auto acts`;
};

/** Gives back what a shrink of ours took, and no more. */
function undoesHarm(step: PlanStep, vm: VmSnapshot): boolean {
  const back = vm.rollback[step.resource];
  return back !== undefined && step.direction === 'grow' && !gives(back.to, step.to);
}

/** Where a person decides, what goes farther than they gave leave for. */
function beyondApproval(step: PlanStep, { approvals = [], nowMs }: FleetSnapshot): string | null {
  const given = approvals.filter(({ vm, resource, untilMs }) => vm === step.vm && resource === step.resource && untilMs > nowMs);
  const covers = given.some(({ direction, to }) => direction === step.direction && !(direction === 'grow' ? gives : takes)(to, step.to));
  return covers ? null : 'the policy only recommends, and nobody gave leave for as much';
}

export const killSwitchOff: StepRule = ({ host }, { snapshot, policy }) => {
  if (snapshot.killSwitch || policy.killSwitch) return 'the kill switch of the fleet is on';
  return host.killSwitch ? `the kill switch of host ${host.id} is on` : null;
};

export const running: StepRule = ({ vm, step }) => {
  if (vm.state !== 'ready' && vm.state !== 'launching') return `${vm.name} is ${vm.state}`;
  return vm.state === 'launching' && takes(step.from, step.to) ? `${vm.name} is still launching: nothing is taken from it` : null;
};

export const hostHeard: StepRule = ({ host }, { policy }) => {
  if (!host.connected) return `host ${host.id} is not connected`;
  return host.ageMs <= policy.staleAfterMs ? null : `host ${host.id} was last heard ${host.ageMs} ms ago`;
};

export const freshDemand: StepRule = ({ step, vm }, { policy }) => {
  const { ageMs } = vm.demand[step.resource];
  return ageMs <= policy.staleAfterMs ? null : `the newest sample of ${vm.name} is ${ageMs} ms old`;
};

export const notHeld: StepRule = ({ step, vm }) => {
  const hold = vm.holds.find(({ resource }) => resource === step.resource);
  return hold ? `hands off ${step.resource} of ${vm.name}: ${hold.reason}` : null;
};

export const noJob: StepRule = ({ vm }) => (vm.jobActive ? `${vm.name} has a job under way` : null);

export const nothingPending: StepRule = ({ step, vm }) =>
  vm.pending[step.resource] === undefined ? null : `a command for ${step.resource} of ${vm.name} is still under way`;

/** The step must start from what is in force: a plan on other ground is void. */
export const startsFromCurrent: StepRule = ({ step, vm }) => {
  const current = vm.current[step.resource];
  if (current === undefined) return `what ${vm.name} has of ${step.resource} is unknown`;
  return sameSetting(current, step.from) ? null : 'the step does not start from the value in force';
};

export const saysWhatItDoes: StepRule = ({ step }) => {
  if (step.to.resource !== step.resource || step.from.resource !== step.resource) return 'the settings are of another resource';
  const [taken, given] = [takes(step.from, step.to), gives(step.from, step.to)];
  if (!taken && !given) return 'the step changes nothing';
  if (step.direction === 'grow' ? taken : given) return `the step says ${step.direction}, its settings say otherwise`;
  return step.reason.trim() === '' ? 'the step gives no reason' : null;
};
