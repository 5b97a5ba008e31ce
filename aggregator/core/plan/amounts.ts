/**
 * Settings and amounts. An amount is what a setting allocates in the resource's headline unit; a CPU weight of 100 (or of
 * the VM's baseline) stands for one core. Input: settings, a VM, a policy; output: amounts, bounds, and settings again.
 */
import type { CpuSetting, Resource, Setting, SettingOf } from '../../../shared/resources.ts';
import { headline, type VmSnapshot } from './plan.ts';
import type { ResourcePolicy } from './policy.ts';

/** Below this share of each vCPU a guest stalls and its watchdogs fire: never allocated less, whoever asks. */
export const CPU_SHARE_PER_VCPU_MIN = 0.2;
/** libvirt's and the kernel's default; what a VM without a known baseline is measured by. */
const WEIGHT_DEFAULT = 100;
/** A guest's network and disk are never squeezed below this share of their ceiling. */
const RATE_FLOOR_SHARE = 0.05;
/** Caps are written in hundredths of a core: finer steps are noise. */
const CAP_STEP_CORES = 0.01;

export interface Bounds {
  floor: number;
  ceiling: number;
}

/** What a guest's own word may raise it to. */
export function guaranteedAmount({ floor, ceiling }: Bounds, { guaranteedFraction }: Pick<ResourcePolicy, 'guaranteedFraction'>): number {
  return Math.max(floor, guaranteedFraction * ceiling);
}

/** How CPU is enforced for this VM at this moment: by weight alone, or by a cap too. */
export type CpuForm = 'weight' | 'cap';

export function weightBase(vm: VmSnapshot): number {
  const { cpu } = vm.baseline;
  return cpu?.resource === 'cpu' && cpu.weight > 0 ? cpu.weight : WEIGHT_DEFAULT;
}

export function baselineCap(vm: VmSnapshot): number | null {
  const { cpu } = vm.baseline;
  return cpu?.resource === 'cpu' ? cpu.capCores : null;
}

/** The cap that weight alone leaves in force: never lower than what is there. null = none. */
export function restingCap(current: CpuSetting, vm: VmSnapshot): number | null {
  const cap = baselineCap(vm);
  return cap === null || current.capCores === null ? null : Math.max(cap, current.capCores);
}

/** Allocation of a setting, headline unit; Infinity = no limit. */
export function amountOf(setting: Setting, vm: VmSnapshot, form: CpuForm): number {
  if (setting.resource === 'cpu')
    return form === 'weight' ? setting.weight / weightBase(vm) : Math.min(vm.vcpus, setting.capCores ?? vm.vcpus);
  return headline(setting, Number.POSITIVE_INFINITY);
}

/** A cap is a quota of each vCPU: with some offline, the same cores need so many times the cap. */
export function spreadOf(vm: VmSnapshot): number {
  return vm.vcpusOnline === undefined || !vm.demand.cpu.vouched ? 1 : vm.vcpus / vm.vcpusOnline.online;
}

/** Least and most the policy and the safety rules allow; null = nothing sensible can be derived. */
export function boundsOf(resource: Resource, vm: VmSnapshot, policy: ResourcePolicy): Bounds | null {
  const baseline = vm.baseline[resource];
  if (resource === 'cpu') {
    const floor = Math.max(policy.floor ?? 0, CPU_SHARE_PER_VCPU_MIN * vm.vcpus);
    const ceiling = Math.min(policy.ceiling ?? baselineCap(vm) ?? vm.vcpus, vm.vcpus);
    return { floor, ceiling: Math.max(floor, ceiling) };
  }
  if (resource === 'memory') {
    const granted = baseline?.resource === 'memory' ? baseline.memoryMiB : null;
    // A balloon cannot give more than the guest booted with.
    const ceiling = Math.min(policy.ceiling ?? granted ?? Number.NaN, vm.bootMemoryMiB);
    return Number.isNaN(ceiling) ? null : { floor: Math.min(policy.floor ?? 0, ceiling), ceiling };
  }
  const granted = baseline ? headline(baseline, Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
  const ceiling = policy.ceiling ?? granted;
  if (!Number.isFinite(ceiling)) return null;
  return { floor: Math.min(policy.floor ?? RATE_FLOOR_SHARE * ceiling, ceiling), ceiling };
}

/**
 * The setting that allocates an amount, in steps that hypervisors can express, rounded up. `spread`: so many times the cores it
 * stands for is a cap of which vCPUs offline leave their part unused; the weight stands for the cores themselves.
 */
export function settingFor(amount: number, current: Setting, vm: VmSnapshot, form: CpuForm, withWeight: boolean, spread = 1): Setting {
  switch (current.resource) {
    case 'cpu':
      return cpuSetting(amount, amount / spread, current, vm, form, withWeight);
    case 'memory':
      return { resource: 'memory', memoryMiB: Math.ceil(amount) };
    case 'network': {
      const each = Math.ceil(amount / 2);
      return { resource: 'network', inboundBytesPerSecond: each, outboundBytesPerSecond: each };
    }
    case 'disk':
      return { resource: 'disk', bytesPerSecond: Math.ceil(amount), iops: current.iops };
  }
}

function cpuSetting(
  amount: number,
  cores: number,
  current: CpuSetting,
  vm: VmSnapshot,
  form: CpuForm,
  withWeight: boolean,
): SettingOf<'cpu'> {
  const weight = withWeight ? Math.max(1, Math.ceil(cores * weightBase(vm))) : current.weight;
  if (form === 'weight') return { resource: 'cpu', weight, capCores: restingCap(current, vm) };
  // Hundredths, rounded up; the epsilon keeps 0.6 from becoming 0.61.
  const capCores = Number((Math.ceil(amount / CAP_STEP_CORES - 1e-6) * CAP_STEP_CORES).toFixed(2));
  return { resource: 'cpu', weight, capCores: Math.min(capCores, vm.vcpus) };
}
