/**
 * How long this machine's own root cgroup was throttled, as a share of time and mean over CPUs: a guest that is itself a
 * container inside a quota sees it here, most guests have no such file and give no data.
 */
import { NS_PER_SECOND } from '../../shared/units.ts';
import { clampFraction, createRate } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { listCount, numberAfter } from './parse.ts';

const FIELD = 'vm_cpu.guestThrottledFraction';
const V2 = 'sys/fs/cgroup/cpu.stat';
const V1 = ['sys/fs/cgroup/cpu/cpu.stat', 'sys/fs/cgroup/cpu,cpuacct/cpu.stat'];

/** Throttled ns since boot by either version's file, NaN when neither tells. */
function throttledNs(files: KernelFiles): number {
  const v2 = numberAfter(files.read(V2) ?? '', 'throttled_usec') * 1000;
  if (!Number.isNaN(v2)) return v2;
  for (const path of V1) {
    const v1 = numberAfter(files.read(path) ?? '', 'throttled_time');
    if (!Number.isNaN(v1)) return v1;
  }
  return Number.NaN;
}

export function createGuestThrottle(files: KernelFiles, gapMsMax: number): Collector {
  const rate = createRate({ gapMsMax });
  return {
    name: 'throttle',
    fields: [FIELD],
    required: [],
    update(nowMs) {
      const total = throttledNs(files);
      if (Number.isNaN(total)) return noData('the root cgroup tells no throttling');
      const cpus = listCount(files.read('sys/devices/system/cpu/online') ?? '');
      return reading({ [FIELD]: clampFraction(rate.next(total, nowMs) / NS_PER_SECOND / cpus) });
    },
  };
}
