/**
 * Is the CPU of a host contended, or about to be? Input: the host and its VMs' demand; output: why, in words, or null.
 * Caps "when contended" bind only then: on an idle host they would be harm without gain.
 */
import type { HostSnapshot, VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';
import { percentWords } from './words.ts';

/** Someone waited for a CPU in this share of the time: a host at ease shows one or two per cent. */
const CPU_PRESSURE_MIN = 0.1;
/** In use this far, the next burst finds no room. */
const USAGE_SHARE_MIN = 0.9;

/** Cores a VM is expected to want in its next step: the highest level forecast, else what it wants now; null = unknown. */
export function expectedCores(vm: VmSnapshot): number | null {
  if (vm.state === 'stopped' || vm.state === 'error' || vm.state === 'paused') return 0;
  const { forecast, now } = vm.demand.cpu;
  const highest = forecast?.values[forecast.quantiles.length - 1];
  const expected = highest === undefined ? now : Math.max(highest, now ?? 0);
  return expected === null ? null : Math.min(expected, vm.vcpus);
}

export function contentionOf(host: HostSnapshot, vms: readonly VmSnapshot[], policy: FleetPolicy): string | null {
  const { cpuPressureFraction, usageCores, cpuCores } = host;
  if (cpuPressureFraction !== null && cpuPressureFraction >= CPU_PRESSURE_MIN) {
    return `something waited for a CPU of ${host.id} in ${percentWords(Number(cpuPressureFraction.toFixed(3)))} of the time`;
  }
  const capacity = cpuCores - policy.reserve.cpuCores;
  if (usageCores !== null && usageCores >= USAGE_SHARE_MIN * capacity) {
    return `${usageCores.toFixed(2)} of ${capacity.toFixed(2)} cores of ${host.id} are in use`;
  }
  const expected = vms.reduce((sum, vm) => sum + (expectedCores(vm) ?? 0), 0);
  if (expected <= capacity) return null;
  return `${expected.toFixed(2)} cores are expected to be wanted on ${host.id}, which has ${capacity.toFixed(2)}`;
}
