/**
 * What the host sees of one VM at the fast pace, as cumulative counters, and the rates made of them. Any source may fill
 * the counters (cgroups of a real host, a simulated one); NaN = not told. Pure.
 */
import { NS_PER_SECOND, US_PER_SECOND } from '../../shared/units.ts';
import { clampFraction, RateTable } from './rates.ts';

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

const COUNTERS = 9;

/** Turns one VM's counters into a sample. `gapMsMax`: readings farther apart give unknown. */
export function createVmRates(gapMsMax: number): (counters: VmCounters, nowMs: number) => VmFastSample {
  const rates = new RateTable(COUNTERS, { gapMsMax });
  // Each by its own number and name: this runs for every VM at every look.
  return (counters, nowMs) => {
    const vcpus = counters.vcpus > 0 ? counters.vcpus : Number.NaN;
    const throttled = rates.next(2, counters.throttledNs, nowMs) / NS_PER_SECOND / vcpus;
    const machineThrottled = rates.next(3, counters.machineThrottledNs, nowMs) / NS_PER_SECOND / vcpus;
    return {
      usageCores: rates.next(0, counters.usageNs, nowMs) / NS_PER_SECOND,
      overheadCores: rates.next(1, counters.overheadNs, nowMs) / NS_PER_SECOND,
      throttledFraction: clampFraction(larger(throttled, machineThrottled)),
      waitFraction: clampFraction(rates.next(4, counters.waitNs, nowMs) / NS_PER_SECOND / vcpus),
      rssMiB: counters.rssMiB,
      cpuSomeFraction: clampFraction(rates.next(5, counters.cpuSomeUs, nowMs) / US_PER_SECOND),
      memorySomeFraction: clampFraction(rates.next(6, counters.memorySomeUs, nowMs) / US_PER_SECOND),
      memoryFullFraction: clampFraction(rates.next(7, counters.memoryFullUs, nowMs) / US_PER_SECOND),
      ioSomeFraction: clampFraction(rates.next(8, counters.ioSomeUs, nowMs) / US_PER_SECOND),
    };
  };
}

/** The larger of two readings of one thing; an unknown one does not hide the other. */
function larger(a: number, b: number): number {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) ? a : Math.max(a, b);
}
