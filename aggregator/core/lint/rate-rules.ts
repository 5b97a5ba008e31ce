/** Rules on pace: how much at once, how often, how many, and when not at all. */
import type { CpuSetting, DiskSetting, NetworkSetting } from '../../../shared/resources.ts';
import type { FleetSnapshot, VmSnapshot } from '../plan/plan.ts';
import type { FleetPolicy } from '../plan/policy.ts';
import { growsByIncident } from './incident-rules.ts';
import { gives, type LintedStep, type PlanRule, releasesCap, type StepRule, settingOf, takes } from './lint-rule.ts';

/** No cap below a fifth of each vCPU: a guest stalls there. */
const CAP_PER_VCPU_MIN = 0.2;
/** The kernel's default weight, where no baseline tells another. */
const WEIGHT_DEFAULT = 100;
/** Settings are rounded up to whole MiB and hundredths of a core; a step limit means the value before rounding. */
const ROUNDING = { cpu: 0.011, memory: 1.01, network: 2, disk: 1 } as const;

interface Measured {
  from: number;
  to: number;
  rounding: number;
}

/**
 * The part of a setting that a step limit is about; null = no share can be formed. What lies above what the policy grants at
 * most, or the baseline where the policy is silent, is not the VM's to lose in small steps.
 */
function measure({ step, vm, policy }: LintedStep): Measured | null {
  const { from, to } = step;
  const { baseline } = vm;
  if (from.resource === 'memory' && to.resource === 'memory') {
    const granted = policy.ceiling ?? settingOf(baseline.memory, 'memory')?.memoryMiB ?? Number.POSITIVE_INFINITY;
    return { from: Math.min(from.memoryMiB, granted, vm.bootMemoryMiB), to: to.memoryMiB, rounding: ROUNDING.memory };
  }
  if (from.resource === 'cpu' && to.resource === 'cpu') {
    const granted = policy.ceiling ?? settingOf(baseline.cpu, 'cpu')?.capCores ?? Number.POSITIVE_INFINITY;
    // Never less than a guest needs to run at all, whatever its definition says.
    const least = Math.max(policy.floor ?? 0, CAP_PER_VCPU_MIN * vm.vcpus);
    return measureCpu(from, to, vm, Math.min(Math.max(granted, least), vm.vcpus));
  }
  if (from.resource === 'network' && to.resource === 'network') {
    const granted = policy.ceiling ?? networkRate(settingOf(baseline.network, 'network'));
    return finite({ from: Math.min(networkRate(from), granted), to: networkRate(to), rounding: ROUNDING.network });
  }
  if (from.resource === 'disk' && to.resource === 'disk') {
    const granted = policy.ceiling ?? diskRate(settingOf(baseline.disk, 'disk'));
    return finite({ from: Math.min(diskRate(from), granted), to: diskRate(to), rounding: ROUNDING.disk });
  }
  return null;
}

/** Both ways together, bytes/s; what is not limited or not known has no end. */
const networkRate = (setting: NetworkSetting | null | undefined): number =>
  (setting?.inboundBytesPerSecond ?? Number.POSITIVE_INFINITY) + (setting?.outboundBytesPerSecond ?? Number.POSITIVE_INFINITY);

const diskRate = (setting: DiskSetting | null | undefined): number => setting?.bytesPerSecond ?? Number.POSITIVE_INFINITY;

function measureCpu(from: CpuSetting, to: CpuSetting, vm: VmSnapshot, ceilingCores: number): Measured {
  if (from.capCores === to.capCores) {
    // By weight: as many weights as the baseline has stand for one core.
    const perCore = settingOf(vm.baseline.cpu, 'cpu')?.weight ?? WEIGHT_DEFAULT;
    return { from: Math.min(from.weight, ceilingCores * perCore), to: to.weight, rounding: 1 };
  }
  const cores = (cap: number | null): number => Math.min(vm.vcpus, cap ?? vm.vcpus);
  return { from: Math.min(cores(from.capCores), ceilingCores), to: cores(to.capCores), rounding: ROUNDING.cpu };
}

function finite(measured: Measured): Measured | null {
  return Number.isFinite(measured.from) && Number.isFinite(measured.to) ? measured : null;
}

/** The host sees that the VM is short, or a harmful shrink is taken back: growth then waits for nothing. */
function urgent({ step, vm }: LintedStep): boolean {
  const demand = vm.demand[step.resource];
  const short = demand.suppressed || (step.resource === 'memory' && vm.memory.pressure);
  return (short && demand.vouched) || vm.rollback[step.resource] !== undefined;
}

export const stepLimit: StepRule = (linted, { policy: fleet }) => {
  const { policy, step, vm } = linted;
  const measured = measure(linted);
  if (measured === null || releasesCap(step, vm)) return null;
  const { from, to, rounding } = measured;
  if (from - to > policy.stepLimitShrinkFraction * from + rounding) return `takes ${(from - to).toFixed(2)} of ${from.toFixed(2)} at once`;
  if (to - from > policy.stepLimitGrowFraction * from + rounding && !urgent(linted) && !growsByIncident(linted, fleet))
    return `adds ${(to - from).toFixed(2)} to ${from.toFixed(2)} at once`;
  return null;
};

export const cooledDown: StepRule = (linted, { snapshot, policy: fleet }) => {
  const { step, policy, vm } = linted;
  const last = vm.lastChange[step.resource];
  const shrinks = takes(step.from, step.to);
  if (shrinks && (vm.coolUntilMs[step.resource] ?? 0) > snapshot.nowMs) return 'it cools down after a change that did harm';
  if (last === undefined) return null;
  const sinceMs = snapshot.nowMs - last.atMs;
  if (shrinks && sinceMs < policy.cooldownShrinkMs)
    return `the last change was ${sinceMs} ms ago, shrinking waits ${policy.cooldownShrinkMs} ms`;
  return gives(step.from, step.to) && !urgent(linted) && !growsByIncident(linted, fleet) && sinceMs < policy.cooldownGrowMs
    ? `the last change was ${sinceMs} ms ago, growing waits ${policy.cooldownGrowMs} ms`
    : null;
};

export const outsideFreeze: StepRule = (_linted, { snapshot, policy }) => {
  for (const window of policy.freezeWindows) {
    const minute = minuteOfWeekIn(window.timeZone, snapshot.nowMs);
    const { fromMinuteOfWeek: from, toMinuteOfWeek: to } = window;
    const inside = from < to ? from <= minute && minute < to : from <= minute || minute < to;
    if (inside) return `a freeze window is in force: ${window.reason}`;
  }
  return null;
};

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const calendars = new Map<string, Intl.DateTimeFormat>();

function minuteOfWeekIn(timeZone: string, atMs: number): number {
  let calendar = calendars.get(timeZone);
  if (!calendar) {
    calendar = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'long', hour: 'numeric', minute: 'numeric', hour12: false });
    calendars.set(timeZone, calendar);
  }
  let minute = 0;
  for (const { type, value } of calendar.formatToParts(atMs)) {
    if (type === 'weekday') minute += WEEKDAYS.indexOf(value) * 1440;
    else if (type === 'hour') minute += (Number(value) % 24) * 60;
    else if (type === 'minute') minute += Number(value);
  }
  return minute;
}

/** No more VMs at once, per host and per window than the blast radius says. Steps beyond it are the findings. */
export const blastRadius: PlanRule = (steps, { snapshot, policy }) => {
  const findings: { step: number | null; message: string }[] = [];
  const seen = new Set<string>();
  const perHost = new Map<string, Set<string>>();
  const window = changedLately(snapshot, policy);
  for (const { index, step } of steps) {
    const here = perHost.get(step.host) ?? new Set<string>();
    perHost.set(step.host, here);
    const fresh = !seen.has(step.vm);
    if (fresh && seen.size >= policy.blastRadius.vmsPerPlan) {
      findings.push({ step: index, message: `more than ${policy.blastRadius.vmsPerPlan} VMs in one plan` });
    } else if (!here.has(step.vm) && here.size >= policy.blastRadius.vmsPerHostPerPlan) {
      findings.push({ step: index, message: `more than ${policy.blastRadius.vmsPerHostPerPlan} VMs of host ${step.host} in one plan` });
    } else if (!window.has(step.vm) && window.size >= policy.blastRadius.vmsPerWindow) {
      findings.push({ step: index, message: `more than ${policy.blastRadius.vmsPerWindow} VMs within ${policy.blastRadius.windowMs} ms` });
    } else {
      seen.add(step.vm);
      here.add(step.vm);
      window.add(step.vm);
    }
  }
  return findings;
};

function changedLately(snapshot: FleetSnapshot, policy: FleetPolicy): Set<string> {
  const sinceMs = snapshot.nowMs - policy.blastRadius.windowMs;
  return new Set(snapshot.recentChanges.filter(({ atMs }) => atMs > sinceMs).map(({ vm }) => vm));
}

/** One VM and resource is changed once in a plan. */
export const oneStepEach: PlanRule = (steps) => {
  const seen = new Set<string>();
  return steps.flatMap(({ index, step }) => {
    const key = `${step.vm} ${step.resource}`;
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [{ step: index, message: `a second step for ${step.resource} of ${step.vmName}` }];
  });
};
