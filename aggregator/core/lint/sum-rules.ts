/**
 * Rules on sums: what all VMs of a host may come to hold at any instant, in whatever order steps are carried out, lost or
 * repeated. A shrink of the same plan therefore frees nothing, and a growth counts from the moment it is sent.
 */
import type { HostSnapshot, PlanStep, VmSnapshot } from '../plan/plan.ts';
import { gives, type LintContext, type PlanRule, releasesCap, settingOf } from './lint-rule.ts';

/** Beside the guest's memory, where the host has not measured it: as much as a QEMU with a few devices takes. */
const assumedOverheadMiB = (bootMemoryMiB: number): number => 48 + 0.02 * bootMemoryMiB;
/** Growths are whole MiB. */
const TOLERANCE_MIB = 1.5;
const TOLERANCE_CORES = 0.02;

interface Exposure {
  vm: VmSnapshot;
  beforeMiB: number;
  afterMiB: number;
  overheadMiB: number;
}

/** Most that the VM may hold, before and after the plan's growth of it. */
function exposure(vm: VmSnapshot, steps: readonly PlanStep[]): Exposure {
  const overheadMiB = vm.overheadMiB ?? assumedOverheadMiB(vm.bootMemoryMiB);
  if (vm.state === 'stopped' || vm.state === 'error') return { vm, beforeMiB: 0, afterMiB: 0, overheadMiB: 0 };
  const current = settingOf(vm.current.memory, 'memory')?.memoryMiB;
  const balloon = vm.memory.balloonMiB ?? undefined;
  const unknown = current === undefined && balloon === undefined;
  const resident = Math.min((vm.memory.rssMiB ?? 0) - overheadMiB, vm.bootMemoryMiB);
  const beforeMiB = Math.max(
    current ?? 0,
    balloon ?? 0,
    settingOf(vm.pending.memory, 'memory')?.memoryMiB ?? 0,
    resident,
    unknown ? vm.bootMemoryMiB : 0,
  );
  const targets = steps.filter(({ vm: id }) => id === vm.id).map(({ to }) => settingOf(to, 'memory')?.memoryMiB ?? 0);
  return { vm, beforeMiB, afterMiB: Math.max(beforeMiB, ...targets), overheadMiB };
}

/** Σ (exposure + overhead) plus what the K largest would take back if they rebooted together. */
function committed(exposures: readonly Exposure[], which: 'beforeMiB' | 'afterMiB', rebootTogether: number): number {
  let sum = 0;
  const reboots: number[] = [];
  for (const each of exposures) {
    sum += each[which] + each.overheadMiB;
    reboots.push(each[which] > 0 ? Math.max(0, each.vm.bootMemoryMiB - each[which]) : 0);
  }
  reboots.sort((a, b) => b - a);
  return reboots.slice(0, rebootTogether).reduce((total, share) => total + share, sum);
}

function byHost(context: LintContext): Map<HostSnapshot, VmSnapshot[]> {
  const groups = new Map<HostSnapshot, VmSnapshot[]>();
  for (const vm of context.snapshot.vms) {
    const host = context.hosts.get(vm.host);
    if (!host) continue;
    const group = groups.get(host);
    if (group) group.push(vm);
    else groups.set(host, [vm]);
  }
  return groups;
}

export const memoryOfHost: PlanRule = (steps, context) => {
  const findings: { step: number | null; message: string }[] = [];
  const { policy } = context;
  for (const [host, vms] of byHost(context)) {
    const growing = steps.filter(({ step }) => step.host === host.id && step.resource === 'memory' && gives(step.from, step.to));
    if (growing.length === 0) continue;
    const exposures = vms.map((vm) =>
      exposure(
        vm,
        growing.map(({ step }) => step),
      ),
    );
    const before = committed(exposures, 'beforeMiB', policy.rebootTogether);
    const after = committed(exposures, 'afterMiB', policy.rebootTogether);
    const room = host.memoryMiB - policy.reserve.memoryMiB - host.guardReserve.memoryMiB;
    if (after > room + TOLERANCE_MIB && after > before + TOLERANCE_MIB) {
      const message = `host ${host.id} could come to hold ${after.toFixed(0)} MiB of ${room.toFixed(0)} MiB`;
      findings.push(...growing.map(({ index }) => ({ step: index, message })));
    }
    const asked = exposures.reduce((sum, { beforeMiB, afterMiB }) => sum + afterMiB - beforeMiB, 0);
    const free = (host.availableMiB ?? 0) - policy.reserve.memoryMiB - host.guardReserve.memoryMiB;
    if (asked > Math.max(0, free) + TOLERANCE_MIB) {
      const message = `host ${host.id} has ${free.toFixed(0)} MiB free above its reserve, the plan gives out ${asked.toFixed(0)} MiB`;
      findings.push(...growing.map(({ index }) => ({ step: index, message })));
    }
  }
  return findings;
};

export const memoryOfNumaNode: PlanRule = (steps, context) => {
  const findings: { step: number | null; message: string }[] = [];
  for (const [host, vms] of byHost(context)) {
    for (const node of host.numaNodes) {
      const bound = vms.filter(({ numaNode }) => numaNode === node.id);
      const ids = new Set(bound.map(({ id }) => id));
      const growing = steps.filter(({ step }) => ids.has(step.vm) && step.resource === 'memory' && gives(step.from, step.to));
      if (growing.length === 0) continue;
      const exposures = bound.map((vm) =>
        exposure(
          vm,
          growing.map(({ step }) => step),
        ),
      );
      const [before, after] = [committed(exposures, 'beforeMiB', 0), committed(exposures, 'afterMiB', 0)];
      const room = node.memoryMiB * (1 - context.policy.reserve.memoryMiB / host.memoryMiB);
      if (after <= room + TOLERANCE_MIB || after <= before + TOLERANCE_MIB) continue;
      const message = `NUMA node ${node.id} of ${host.id} could come to hold ${after.toFixed(0)} MiB of ${room.toFixed(0)} MiB`;
      findings.push(...growing.map(({ index }) => ({ step: index, message })));
    }
  }
  return findings;
};

/** Caps that are raised must fit, with all other caps of the host, into its CPU times the overcommitment allowed. */
export const cpuOfHost: PlanRule = (steps, context) => {
  const findings: { step: number | null; message: string }[] = [];
  const { policy } = context;
  for (const [host, vms] of byHost(context)) {
    const growing = steps.filter(({ step, vm }) => step.host === host.id && step.resource === 'cpu' && raisesCap(step, vm));
    if (growing.length === 0) continue;
    const targets = new Map(growing.map(({ step }) => [step.vm, settingOf(step.to, 'cpu')?.capCores ?? 0]));
    let sum = 0;
    for (const vm of vms) {
      // What does not run uses no CPU.
      if (vm.state === 'stopped' || vm.state === 'error' || vm.state === 'paused') continue;
      const caps = [settingOf(vm.current.cpu, 'cpu')?.capCores, settingOf(vm.pending.cpu, 'cpu')?.capCores, targets.get(vm.id)];
      sum += Math.max(0, ...caps.map((cap) => cap ?? 0));
    }
    const room = policy.cpuOvercommit * (host.cpuCores - policy.reserve.cpuCores);
    if (sum <= room + TOLERANCE_CORES) continue;
    const message = `the caps of host ${host.id} would add up to ${sum.toFixed(2)} of ${room.toFixed(2)} cores`;
    findings.push(...growing.filter(({ step, vm }) => !short(vm, step)).map(({ index }) => ({ step: index, message })));
  }
  return findings;
};

/** Going back to the administrator's own cap is no gift of ours, whatever their caps add up to. */
function raisesCap(step: PlanStep, vm: VmSnapshot): boolean {
  const [from, to] = [settingOf(step.from, 'cpu'), settingOf(step.to, 'cpu')];
  if (to === null || to.capCores === null || to.capCores === from?.capCores) return false;
  return gives(step.from, step.to) && !releasesCap(step, vm);
}

/** A VM that is throttled now is worse off by its cap than its neighbours by the sum: weights share what there is. */
function short(vm: VmSnapshot, step: PlanStep): boolean {
  return vm.demand[step.resource].suppressed && vm.demand[step.resource].vouched;
}

/** What the fast guard may hand out must fit beside everything that is granted. */
export const guardGrants: PlanRule = (steps, context) => {
  const findings: { step: number | null; message: string }[] = [];
  const { policy, plan } = context;
  const groups = byHost(context);
  for (const grant of plan.grants) {
    const host = context.hosts.get(grant.host);
    if (!host) {
      findings.push({ step: null, message: `a lease for host ${grant.host}, which is unknown` });
      continue;
    }
    const growing = steps.filter(({ step }) => step.host === host.id && step.resource === 'memory').map(({ step }) => step);
    const exposures = (groups.get(host) ?? []).map((vm) => exposure(vm, growing));
    const after = committed(exposures, 'afterMiB', policy.rebootTogether) + grant.reserveMiB;
    if (grant.reserveMiB > TOLERANCE_MIB && after > host.memoryMiB - policy.reserve.memoryMiB + TOLERANCE_MIB) {
      findings.push({
        step: null,
        message: `the guard of host ${host.id} could hand out ${grant.reserveMiB.toFixed(0)} MiB that are not free`,
      });
    }
    for (const allowance of grant.allowances) findings.push(...allowanceFindings(allowance, host, context));
  }
  return findings;
};

function allowanceFindings(
  allowance: LintContext['plan']['grants'][number]['allowances'][number],
  host: HostSnapshot,
  { vms }: LintContext,
): { step: null; message: string }[] {
  const vm = vms.get(allowance.vm);
  if (!vm || vm.host !== host.id) return [{ step: null, message: `an allowance for VM ${allowance.vm}, which is not on host ${host.id}` }];
  const findings: { step: null; message: string }[] = [];
  if (allowance.cpuCeilingCores !== null && allowance.cpuCeilingCores > vm.vcpus + TOLERANCE_CORES) {
    findings.push({
      step: null,
      message: `the guard may raise ${vm.name} to ${allowance.cpuCeilingCores} cores, it has ${vm.vcpus} vCPUs`,
    });
  }
  if (allowance.memoryCeilingMiB !== null && allowance.memoryCeilingMiB > vm.bootMemoryMiB + TOLERANCE_MIB) {
    findings.push({
      step: null,
      message: `the guard may raise ${vm.name} to ${allowance.memoryCeilingMiB} MiB, it booted with ${vm.bootMemoryMiB}`,
    });
  }
  for (const [resource, ceiling] of [
    ['cpu', allowance.cpuCeilingCores],
    ['memory', allowance.memoryCeilingMiB],
  ] as const) {
    const verdict = vm.eligibility[resource];
    if (ceiling !== null && !verdict.allowed)
      findings.push({ step: null, message: `the guard may change ${resource} of ${vm.name}: ${verdict.reason}` });
  }
  return findings;
}
