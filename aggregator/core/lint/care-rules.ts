/** Rules of care: what is not wrong by its value but still too soon, too little, on too short a view, or without need. */
import { gives, type LintedStep, type PlanRule, releasesCap, type StepRule, settingOf, takes } from './lint-rule.ts';
import { drawn } from './policy-rules.ts';

/** Resident memory this far above what is granted: the last shrink was not given back yet. */
const UNCONFIRMED_MIB = 64;
const UNCONFIRMED_SHARE = 0.05;
/** What a guest keeps above its working set at any shrink. */
const WORKING_SET_MARGIN_MIB = 24;
const WORKING_SET_MARGIN_SHARE = 0.05;
/** Settings are whole MiB. */
const ROUNDING_MIB = 1.01;
/** A host is contended when something waits for a CPU this often, or so much of its CPU is in use. */
const PRESSURE_MIN = 0.1;
const USAGE_SHARE_MIN = 0.9;

/** A shrink counts once the host sees it: before that, nothing more is taken. */
export const lastShrinkConfirmed: StepRule = ({ step, vm }) => {
  const from = settingOf(step.from, 'memory');
  if (!from || !takes(step.from, step.to)) return null;
  if (vm.memory.rssMiB === null) return 'its resident memory is unknown';
  const overhead = vm.overheadMiB ?? 48 + 0.02 * vm.bootMemoryMiB;
  const beyond = vm.memory.rssMiB - overhead - from.memoryMiB;
  const allowed = Math.max(UNCONFIRMED_MIB, UNCONFIRMED_SHARE * from.memoryMiB);
  return beyond > allowed + ROUNDING_MIB ? `the host still sees ${beyond.toFixed(0)} MiB more than it is granted` : null;
};

export const marginKept: StepRule = ({ step, vm }) => {
  const to = settingOf(step.to, 'memory');
  const { workingSetMiB } = vm.memory;
  if (!to || !takes(step.from, step.to) || workingSetMiB === null) return null;
  const least = workingSetMiB + Math.max(WORKING_SET_MARGIN_MIB, WORKING_SET_MARGIN_SHARE * workingSetMiB);
  return to.memoryMiB < least - ROUNDING_MIB
    ? `${to.memoryMiB} MiB leave less than its margin above ${workingSetMiB.toFixed(0)} MiB`
    : null;
};

/** Too little to be worth a change. Letting go of a cap always is. */
export const outsideDeadBand: StepRule = ({ step, vm, policy }) => {
  if (!takes(step.from, step.to)) return null;
  const [from, to] = shares(step, vm);
  if (!Number.isFinite(from)) return null;
  return to > from * (1 - policy.deadBandFraction) + roundingOf(step)
    ? `it takes ${(((from - to) / from) * 100).toFixed(1)} %, the dead band is ${policy.deadBandFraction * 100} %`
    : null;
};

function shares(step: LintedStep['step'], vm: LintedStep['vm']): [number, number] {
  const of = (setting: LintedStep['step']['to']): number => {
    switch (setting.resource) {
      case 'cpu':
        return setting.capCores ?? vm.vcpus;
      case 'memory':
        return setting.memoryMiB;
      case 'network':
        return (setting.inboundBytesPerSecond ?? Number.POSITIVE_INFINITY) + (setting.outboundBytesPerSecond ?? Number.POSITIVE_INFINITY);
      case 'disk':
        return setting.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    }
  };
  const { from, to } = step;
  if (from.resource === 'cpu' && to.resource === 'cpu' && from.capCores === to.capCores) return [from.weight, to.weight];
  return [of(from), of(to)];
}

function roundingOf({ from, to }: LintedStep['step']): number {
  const weights = from.resource === 'cpu' && to.resource === 'cpu' && from.capCores === to.capCores;
  return weights ? 1 : from.resource === 'cpu' ? 0.011 : 2;
}

/** What was tried and not reached is not tried again until its rest is over; who is short now is exempt. */
export const notInfeasible: StepRule = ({ step, vm }, { snapshot }) => {
  const known = vm.infeasible?.[step.resource];
  if (known === undefined || known.untilMs <= snapshot.nowMs) return null;
  const demand = vm.demand[step.resource];
  if (vm.memory.pressure || demand.suppressed || vm.rollback[step.resource] !== undefined || vm.incident !== undefined) return null;
  const [, to] = shares(step, vm);
  const asFar =
    known.direction === 'shrink' ? takes(step.from, step.to) && to <= known.target : gives(step.from, step.to) && to >= known.target;
  return asFar ? `${known.target} was tried and not reached: ${known.reason}` : null;
};

/** A shrink rests on a forecast of all the time it must hold. */
export const forecastReaches: StepRule = ({ step, vm, policy }, { snapshot }) => {
  const { forecast } = vm.demand[step.resource];
  if (!takes(step.from, step.to) || forecast === null) return null;
  const untilMs = snapshot.nowMs + Math.max(policy.leadMs, policy.shrinkHorizonMs);
  const endMs = forecast.fromMs + Math.max(...forecast.horizons) * forecast.stepMs;
  return endMs >= untilMs ? null : `the forecast ends ${untilMs - endMs} ms before the shrink may be taken back`;
};

/** A canary that was harmed: others are not shrunk until it has cooled down. */
export const canariesWell: PlanRule = (steps, { snapshot, policy }) =>
  steps.flatMap(({ index, step, policy: own }) => {
    if (own.canary || !takes(step.from, step.to) || drawn(step.vm, policy.canary?.share ?? 0)) return [];
    const harmed = snapshot.vms.find(
      (vm) =>
        (vm.coolUntilMs[step.resource] ?? 0) > snapshot.nowMs &&
        (policy.resolve(vm, step.resource).canary || drawn(vm.id, policy.canary?.share ?? 0)),
    );
    return harmed ? [{ step: index, message: `the canary ${harmed.name} cools down after a harmful shrink` }] : [];
  });

/** Caps "when contended" come only where the host is contended. */
export const capNeeded: StepRule = ({ step, vm, host, policy: own }, { snapshot, policy }) => {
  const from = settingOf(step.from, 'cpu');
  const to = settingOf(step.to, 'cpu');
  if (!from || !to || own.cpuEnforcement !== 'cap-when-contended' || to.capCores === null || to.capCores === from.capCores) return null;
  // Back to what the administrator's own definition grants.
  if (releasesCap(step, vm)) return null;
  const cores = host.cpuCores - policy.reserve.cpuCores;
  if ((host.cpuPressureFraction ?? 0) >= PRESSURE_MIN || (host.usageCores ?? 0) >= USAGE_SHARE_MIN * cores) return null;
  let wanted = 0;
  for (const vm of snapshot.vms) {
    if (vm.host !== host.id || vm.state === 'stopped' || vm.state === 'error' || vm.state === 'paused') continue;
    const { forecast, now } = vm.demand.cpu;
    wanted += Math.min(vm.vcpus, Math.max(now ?? 0, forecast?.values[forecast.quantiles.length - 1] ?? 0));
  }
  return wanted > cores - 1e-6 ? null : `host ${host.id} is not contended: ${wanted.toFixed(2)} of ${cores.toFixed(2)} cores are expected`;
};

/** Bounds sent along must not let the agent's guard accept what the policy would not. */
export const boundsSent: StepRule = ({ step, vm, policy }) => {
  if (!(step.floor >= 0 && step.ceiling >= step.floor)) return `it sends bounds of ${step.floor} and ${step.ceiling}`;
  if (step.resource === 'memory' && step.ceiling > Math.min(policy.ceiling ?? vm.bootMemoryMiB, vm.bootMemoryMiB) + ROUNDING_MIB) {
    return `it sends a ceiling of ${step.ceiling} MiB`;
  }
  if (step.resource === 'cpu' && step.ceiling > vm.vcpus + 0.011) return `it sends a ceiling of ${step.ceiling} cores`;
  return gives(step.from, step.to) || step.floor >= Math.min(policy.floor ?? 0, step.ceiling) - 1e-6
    ? null
    : `it sends a floor of ${step.floor}`;
};
