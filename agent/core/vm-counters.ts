/**
 * What the host sees of one VM at the fast pace, as cumulative counters, and the rates made of them. Any source may fill
 * the counters (cgroups of a real host, a simulated one); NaN = not told. Pure.
 */
import { NS_PER_SECOND, US_PER_SECOND } from '../../shared/units.ts';
import { clampFraction, createRates } from './rates.ts';

export interface VmCounters {
  /** How many vCPUs stand behind the sums; NaN = unknown. */
  vcpus: number;
  /** CPU time of the vCPU threads, ns. */
  usageNs: number;
  /** CPU time of emulator and I/O threads, ns. */
  overheadNs: number;
  /** Time the vCPU groups were throttled, ns, summed over vCPUs. */
  throttledNs: number;
  /** Time the whole machine's group was throttled, ns, summed over host CPUs. */
  machineThrottledNs: number;
  /** Time the vCPU threads were runnable without a CPU, ns, summed. */
  waitNs: number;
  /** Resident memory of the hypervisor process. A level, not a counter. */
  rssMiB: number;
  /** PSI totals of the VM's group, µs (cgroup v2 only). */
  cpuSomeUs: number;
  memorySomeUs: number;
  memoryFullUs: number;
  ioSomeUs: number;
}

export interface VmFastSample {
  usageCores: number;
  overheadCores: number;
  throttledFraction: number;
  waitFraction: number;
  rssMiB: number;
  cpuSomeFraction: number;
  memorySomeFraction: number;
  memoryFullFraction: number;
  ioSomeFraction: number;
}

const COUNTERS = [
  'usageNs',
  'overheadNs',
  'throttledNs',
  'machineThrottledNs',
  'waitNs',
  'cpuSomeUs',
  'memorySomeUs',
  'memoryFullUs',
  'ioSomeUs',
] as const;

export const NO_COUNTERS: Readonly<VmCounters> = {
  vcpus: Number.NaN,
  usageNs: Number.NaN,
  overheadNs: Number.NaN,
  throttledNs: Number.NaN,
  machineThrottledNs: Number.NaN,
  waitNs: Number.NaN,
  rssMiB: Number.NaN,
  cpuSomeUs: Number.NaN,
  memorySomeUs: Number.NaN,
  memoryFullUs: Number.NaN,
  ioSomeUs: Number.NaN,
};

/** Turns one VM's counters into a sample. `gapMsMax`: readings farther apart give unknown. */
export function createVmRates(gapMsMax: number): (counters: VmCounters, nowMs: number) => VmFastSample {
  const rates = createRates(COUNTERS, { gapMsMax });
  return (counters, nowMs) => {
    const perSecond = rates(counters, nowMs);
    const vcpus = counters.vcpus > 0 ? counters.vcpus : Number.NaN;
    return {
      usageCores: perSecond.usageNs / NS_PER_SECOND,
      overheadCores: perSecond.overheadNs / NS_PER_SECOND,
      throttledFraction: clampFraction(
        larger(perSecond.throttledNs / NS_PER_SECOND / vcpus, perSecond.machineThrottledNs / NS_PER_SECOND / vcpus),
      ),
      waitFraction: clampFraction(perSecond.waitNs / NS_PER_SECOND / vcpus),
      rssMiB: counters.rssMiB,
      cpuSomeFraction: clampFraction(perSecond.cpuSomeUs / US_PER_SECOND),
      memorySomeFraction: clampFraction(perSecond.memorySomeUs / US_PER_SECOND),
      memoryFullFraction: clampFraction(perSecond.memoryFullUs / US_PER_SECOND),
      ioSomeFraction: clampFraction(perSecond.ioSomeUs / US_PER_SECOND),
    };
  };
}

/** The larger of two readings of one thing; an unknown one does not hide the other. */
function larger(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) ? a : Math.max(a, b);
}
