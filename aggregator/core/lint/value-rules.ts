/** Rules on the values of one step: bounds, floors under memory, what may be taken and on what grounds. */
import { gives, type LintedStep, releasesCap, type StepRule, settingOf, takes } from './lint-rule.ts';

/** ARCHITECTURE rule 1 of safety: no cap below a fifth of each vCPU. */
const CAP_PER_VCPU_MIN = 0.2;
/** Settings are whole MiB, hundredths of a core: half of that is rounding. */
const ROUNDING = { cores: 0.006, mib: 1.001 };
/** Under this a forecast carries no shrink. */
const CONFIDENCE_MIN = 0.2;
const CLUSTER_CLASS = 'cluster';

export const capNotTooLow: StepRule = ({ step, vm }) => {
  const cap = settingOf(step.to, 'cpu')?.capCores ?? null;
  const least = CAP_PER_VCPU_MIN * vm.vcpus;
  return cap !== null && cap < least - 1e-9 ? `a cap of ${cap} cores is below ${least} for ${vm.vcpus} vCPUs` : null;
};

/** A cap is a quota of each vCPU: those online must be able to run what it wants now before others' part goes. */
export const capSuitsVcpus: StepRule = ({ step, vm }) => {
  const cap = settingOf(step.to, 'cpu')?.capCores ?? null;
  const { now, vouched } = vm.demand.cpu;
  if (vm.vcpusOnline === undefined || cap === null || now === null || !vouched || step.loan !== undefined) return null;
  // Held below what it wants for want of CPU on its host: that is said, and meant.
  if (!takes(step.from, step.to) || step.constraint === 'throttle') return null;
  const runs = (cap * vm.vcpusOnline.online) / vm.vcpus;
  const least = Math.min(now, vm.vcpusOnline.online, (Math.min(step.ceiling, vm.vcpus) * vm.vcpusOnline.online) / vm.vcpus);
  return runs < least - ROUNDING.cores
    ? `a cap of ${cap} cores leaves ${runs.toFixed(2)} to its ${vm.vcpusOnline.online} vCPUs online, which want ${now.toFixed(2)}`
    : null;
};

/** A cap other than the baseline's needs a policy that asks for caps. */
export const capAsked: StepRule = ({ step, vm, policy }) => {
  const [from, to] = [settingOf(step.from, 'cpu'), settingOf(step.to, 'cpu')];
  // A cap that stays where it is was not asked for now.
  if (!to || to.capCores === null || to.capCores === from?.capCores || policy.cpuEnforcement !== 'weight') return null;
  const baseline = settingOf(vm.baseline.cpu, 'cpu')?.capCores ?? null;
  return to.capCores === baseline ? null : 'the policy enforces CPU by weight, the step sets a cap';
};

export const weightPositive: StepRule = ({ step }) => {
  const to = settingOf(step.to, 'cpu');
  return to && !(to.weight >= 1 && to.weight <= 10_000) ? `weight ${to.weight} is outside 1..10000` : null;
};

export const withinBounds: StepRule = ({ step, vm, policy }) => {
  const memory = settingOf(step.to, 'memory');
  if (memory) {
    const ceiling = Math.min(policy.ceiling ?? settingOf(vm.baseline.memory, 'memory')?.memoryMiB ?? vm.bootMemoryMiB, vm.bootMemoryMiB);
    if (memory.memoryMiB > ceiling + ROUNDING.mib) return `${memory.memoryMiB} MiB is above the ceiling of ${ceiling} MiB`;
    const floor = Math.min(policy.floor ?? 0, ceiling);
    return memory.memoryMiB < floor - ROUNDING.mib && takes(step.from, step.to)
      ? `${memory.memoryMiB} MiB is below the floor of ${floor} MiB`
      : null;
  }
  const cap = settingOf(step.to, 'cpu')?.capCores ?? null;
  // A cap that stays, or is let go of, is not what this step gives: its weight is.
  if (cap === null || cap === settingOf(step.from, 'cpu')?.capCores || releasesCap(step, vm)) return null;
  if (cap > vm.vcpus + ROUNDING.cores) return `a cap of ${cap} cores is above the ${vm.vcpus} vCPUs`;
  const least = Math.max(policy.floor ?? 0, CAP_PER_VCPU_MIN * vm.vcpus);
  if (policy.ceiling !== null && cap > Math.max(policy.ceiling, least) + ROUNDING.cores)
    return `a cap of ${cap} cores is above the ceiling of ${policy.ceiling}`;
  const floor = Math.min(policy.floor ?? 0, policy.ceiling ?? vm.vcpus);
  return cap < floor - ROUNDING.cores && takes(step.from, step.to) ? `a cap of ${cap} cores is below the floor of ${floor}` : null;
};

/** Network and disk: a limit under what the policy's floor allows, or over its ceiling. */
export const ratesWithinBounds: StepRule = ({ step, policy }) => {
  const network = settingOf(step.to, 'network');
  const disk = settingOf(step.to, 'disk');
  if (!network && !disk) return null;
  const total = network
    ? (network.inboundBytesPerSecond ?? Number.POSITIVE_INFINITY) + (network.outboundBytesPerSecond ?? Number.POSITIVE_INFINITY)
    : (disk?.bytesPerSecond ?? Number.POSITIVE_INFINITY);
  if (policy.floor !== null && total < policy.floor - 1) return `${total} bytes/s is below the floor of ${policy.floor}`;
  // Two limits, each rounded up.
  return policy.ceiling !== null && Number.isFinite(total) && total > policy.ceiling + 2
    ? `${total} bytes/s is above the ceiling of ${policy.ceiling}`
    : null;
};

/** Memory is never taken below what the guest works with, nor below what it worked with lately. */
export const aboveWorkingSet: StepRule = ({ step, vm }) => {
  const to = settingOf(step.to, 'memory');
  if (!to || !takes(step.from, step.to)) return null;
  const { workingSetMiB, workingSetPeakMiB, balloonMiB } = vm.memory;
  if (workingSetMiB === null || workingSetPeakMiB === null || balloonMiB === null) return 'the working set is unknown: nothing is taken';
  const least = Math.max(workingSetMiB, workingSetPeakMiB);
  return to.memoryMiB < least - ROUNDING.mib
    ? `${to.memoryMiB} MiB is below the working set's recent peak of ${least.toFixed(0)} MiB`
    : null;
};

export const notTakenUnderPressure: StepRule = ({ step, vm }) => {
  if (!takes(step.from, step.to)) return null;
  // CPU is lent to the more important (the loan has rules of its own): who lends runs slower, and does not die of it.
  if (step.resource === 'cpu' && step.loan !== undefined) return null;
  if (vm.demand[step.resource].suppressed) return `${vm.name} is being held down by its allocation`;
  return step.resource === 'memory' && vm.memory.pressure ? `${vm.name} is short of memory` : null;
};

export const notTakenUnderHostPressure: StepRule = ({ step, host }, { policy }) => {
  if (step.resource !== 'memory' || !takes(step.from, step.to)) return null;
  if (host.swapping) return `host ${host.id} swaps: inflating a balloon would make it worse`;
  if (host.availableMiB === null) return `what host ${host.id} has available is unknown`;
  return host.availableMiB < policy.reserve.memoryMiB ? `host ${host.id} has less available than its reserve` : null;
};

export const growOnlyKept: StepRule = ({ step, vm, policy }) => {
  if (!takes(step.from, step.to)) return null;
  if (policy.growOnly) return 'the policy only grows';
  return vm.labels.class === CLUSTER_CLASS ? 'quorum services (class cluster) only grow' : null;
};

/** Only a vouched demand and a trusted forecast take anything away. */
export const takenOnGoodGrounds: StepRule = ({ step, vm }) => {
  if (!takes(step.from, step.to)) return null;
  const { forecast, now, vouched } = vm.demand[step.resource];
  if (!vouched) return 'a claimed signal never shrinks';
  if (now === null) return 'present demand is unknown';
  if (forecast === null) return 'there is no forecast';
  return forecast.confidence < CONFIDENCE_MIN ? `the forecast's confidence is ${forecast.confidence}` : null;
};

/** A tenant's claim raises a VM to its guaranteed share at most; what no cap may go below is everybody's. */
export const claimedWithinGuarantee: StepRule = ({ step, vm, policy }) => {
  if (vm.demand[step.resource].vouched || !gives(step.from, step.to) || releasesCap(step, vm)) return null;
  const share = guaranteed({ step, vm, policy });
  if (share === null) return null;
  const [amount, unit, rounding] = claimedAmount(step, vm);
  return amount > share + rounding ? `claimed demand would raise it to ${amount} ${unit}, its guarantee is ${share}` : null;
};

/** Where the cap stays, a weight is what is given: as many weights as the baseline has stand for one core. */
function claimedAmount(step: LintedStep['step'], vm: LintedStep['vm']): [number, string, rounding: number] {
  const from = settingOf(step.from, 'cpu');
  const to = settingOf(step.to, 'cpu');
  if (!from || !to) return [...amountOf(step.to), ROUNDING.mib];
  if (from.capCores !== to.capCores) return [...amountOf(step.to), 2 * ROUNDING.cores];
  // Weights are whole.
  const perCore = settingOf(vm.baseline.cpu, 'cpu')?.weight ?? 100;
  return [to.weight / perCore, 'cores', 1 / perCore + ROUNDING.cores];
}

/** A share of the ceiling: of CPU all its vCPUs where the policy has no lower one, of the others what the baseline grants. */
function guaranteed({ step, vm, policy }: Pick<LintedStep, 'step' | 'vm' | 'policy'>): number | null {
  const floor = policy.floor ?? 0;
  if (step.resource === 'cpu') {
    const ceiling = Math.min(policy.ceiling ?? vm.vcpus, vm.vcpus);
    return Math.max(ceiling * policy.guaranteedFraction, floor, CAP_PER_VCPU_MIN * vm.vcpus);
  }
  const baseline = vm.baseline[step.resource];
  const [granted] = baseline ? amountOf(baseline) : [Number.POSITIVE_INFINITY];
  const ceiling = Number.isFinite(granted) ? granted : policy.ceiling;
  return ceiling === null ? null : Math.max(ceiling * policy.guaranteedFraction, floor);
}

function amountOf(setting: LintedStep['step']['to']): [number, string] {
  switch (setting.resource) {
    case 'cpu':
      return [setting.capCores ?? Number.POSITIVE_INFINITY, 'cores'];
    case 'memory':
      return [setting.memoryMiB, 'MiB'];
    case 'network':
      return [
        (setting.inboundBytesPerSecond ?? Number.POSITIVE_INFINITY) + (setting.outboundBytesPerSecond ?? Number.POSITIVE_INFINITY),
        'bytes/s',
      ];
    case 'disk':
      return [setting.bytesPerSecond ?? Number.POSITIVE_INFINITY, 'bytes/s'];
  }
}
