/**
 * CPU: libvirt's scheduler parameters ↔ weight and cap. The cap is spread over the online vCPUs' own groups (`vcpu_quota`
 * per period and vCPU), so emulator and I/O threads are never capped; `global_quota` is read, since it holds too, and never
 * written. Only what differs is written, and the period in force is kept: whatever is once written stays visible in the
 * live XML (see normal-xml.ts).
 */
import { HeadroomError } from '../../../shared/errors.ts';
import type { CpuSetting } from '../../../shared/resources.ts';
import { sharesV1FromWeight, weightFromSharesV1 } from '../../../shared/units.ts';
import { numberOf, type Params, type TypedParam } from './typed-params.ts';

/** What libvirt reports for "no quota" beside -1 (its VIR_CGROUP_CPU_QUOTA_MAX). */
export const QUOTA_UNLIMITED = 17592186044415;
/** libvirt and the kernel refuse smaller ones. */
const QUOTA_US_MIN = 1000;
const PERIOD_US_DEFAULT = 100_000;
/** cgroup v2's cpu.weight takes this range. */
const WEIGHT_V2_MIN = 1;
const WEIGHT_V2_MAX = 10_000;

export type CgroupVersion = 1 | 2;

/** `cpu_shares` is cgroup v1's shares (1024 = default) or v2's weight (100 = default), as the host's libvirt passes it on. */
export function weightFromShares(shares: number, version: CgroupVersion): number {
  return version === 1 ? weightFromSharesV1(shares) : shares;
}

export function sharesFromWeight(weight: number, version: CgroupVersion): number {
  return version === 1 ? sharesV1FromWeight(weight) : Math.min(WEIGHT_V2_MAX, Math.max(WEIGHT_V2_MIN, Math.round(weight)));
}

export function isUnlimited(quotaUs: number | undefined): boolean {
  return quotaUs === undefined || quotaUs <= 0 || quotaUs >= QUOTA_UNLIMITED;
}

/** Cap in cores of a quota per period, over `count` groups; null = none. */
export function capOf(quotaUs: number | undefined, periodUs: number | undefined, count: number): number | null {
  return quotaUs === undefined || isUnlimited(quotaUs) ? null : (quotaUs / (periodUs || PERIOD_US_DEFAULT)) * count;
}

/** The tighter of two caps. */
export function tighter(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

export function cpuSettingOf(params: Params, vcpus: number, version: CgroupVersion): CpuSetting {
  const shares = numberOf(params, 'cpu_shares');
  if (shares === undefined) throw new HeadroomError('HYPERVISOR_UNSUPPORTED', 'this hypervisor reports no CPU shares');
  const own = capOf(numberOf(params, 'vcpu_quota'), numberOf(params, 'vcpu_period'), vcpus);
  const global = capOf(numberOf(params, 'global_quota'), numberOf(params, 'global_period'), 1);
  return { resource: 'cpu', weight: weightFromShares(shares, version), capCores: tighter(own, global) };
}

/** Parameters that bring `current` to the setting; none when it holds already. */
export function cpuParams(setting: CpuSetting, current: Params, vcpus: number, version: CgroupVersion): TypedParam[] {
  const params: TypedParam[] = [];
  const shares = sharesFromWeight(setting.weight, version);
  if (shares !== numberOf(current, 'cpu_shares')) params.push({ name: 'cpu_shares', type: 'ullong', value: shares });
  const quota = quotaFor(setting.capCores, numberOf(current, 'vcpu_period') || PERIOD_US_DEFAULT, vcpus);
  if (!sameQuota(quota, numberOf(current, 'vcpu_quota'))) params.push({ name: 'vcpu_quota', type: 'llong', value: quota });
  return params;
}

function quotaFor(capCores: number | null, periodUs: number, vcpus: number): number {
  return capCores === null ? -1 : Math.max(QUOTA_US_MIN, Math.round((capCores / vcpus) * periodUs));
}

const sameQuota = (a: number, b: number | undefined): boolean => (isUnlimited(a) && isUnlimited(b)) || a === b;

/** The same parameters in each way in which libvirt tells that there is no quota: by its own sign, and by its largest number. */
export function sameQuotas(params: Params): Params[] {
  const quota = numberOf(params, 'vcpu_quota');
  return isUnlimited(quota) ? [-1, QUOTA_UNLIMITED].map((unlimited) => ({ ...params, vcpu_quota: unlimited })) : [params];
}

/** Only these are ours to write; the others are recorded for whoever reads the journal. */
const OURS: { name: string; type: TypedParam['type'] }[] = [
  { name: 'cpu_shares', type: 'ullong' },
  { name: 'vcpu_period', type: 'ullong' },
  { name: 'vcpu_quota', type: 'llong' },
];

/** Parameters that bring `current` back to the recorded values. */
export function cpuRestoreParams(recorded: Params, current: Params): TypedParam[] {
  const params: TypedParam[] = [];
  for (const { name, type } of OURS) {
    const wanted = numberOf(recorded, name);
    if (wanted === undefined || sameCpuParam(name, wanted, numberOf(current, name))) continue;
    params.push({ name, type, value: name === 'vcpu_quota' && isUnlimited(wanted) ? -1 : wanted });
  }
  return params;
}

function sameCpuParam(name: string, a: number, b: number | undefined): boolean {
  return name === 'vcpu_quota' ? sameQuota(a, b) : a === b;
}

/** Names of the parameters that still differ from the recorded ones. */
export function cpuDifferences(recorded: Params, current: Params): string[] {
  return cpuRestoreParams(recorded, current).map(({ name, value }) => `${name} is ${current[name]} instead of ${value}`);
}
