/**
 * Memory of this machine: /proc/meminfo for levels, /proc/vmstat for swap, refaults, faults and, where the kernel tells,
 * the pages a balloon holds; the working set made of them. Output: Readings in MiB and MiB/s.
 */
import { bytesToMiB, kibToMiB } from '../../shared/units.ts';
import { createRates } from '../core/rates.ts';
import { createWorkingSet } from '../core/working-set.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { numberAfter } from './parse.ts';

const COUNTERS = ['pswpin', 'pswpout', 'pgmajfault', 'pgfault', 'refaults'] as const;

function counters(vmstat: string | null): Record<(typeof COUNTERS)[number], number> {
  if (vmstat === null)
    return { pswpin: Number.NaN, pswpout: Number.NaN, pgmajfault: Number.NaN, pgfault: Number.NaN, refaults: Number.NaN };
  // Kernels before 5.9 count refaults in one number, later ones apart for anonymous and file pages.
  const anon = numberAfter(vmstat, 'workingset_refault_anon');
  const file = numberAfter(vmstat, 'workingset_refault_file');
  const refaults = Number.isNaN(anon + file) ? numberAfter(vmstat, 'workingset_refault') : anon + file;
  return {
    pswpin: numberAfter(vmstat, 'pswpin'),
    pswpout: numberAfter(vmstat, 'pswpout'),
    pgmajfault: numberAfter(vmstat, 'pgmajfault'),
    pgfault: numberAfter(vmstat, 'pgfault'),
    refaults,
  };
}

/** Pages the balloon holds: told as a level by new kernels, as inflated minus deflated by older ones. */
function balloonPages(vmstat: string | null): number {
  if (vmstat === null) return Number.NaN;
  const level = numberAfter(vmstat, 'nr_balloon_pages');
  return Number.isNaN(level) ? numberAfter(vmstat, 'balloon_inflate') - numberAfter(vmstat, 'balloon_deflate') : level;
}

/** `idlePages`: pages untouched since they were last looked at, NaN = not known (yet). */
export function createGuestMemory(files: KernelFiles, pageBytes: number, gapMsMax: number, idlePages: () => number): Collector {
  const workingSetMiB = createWorkingSet();
  const rates = createRates(COUNTERS, { gapMsMax });
  return {
    name: 'memory',
    fields: [
      'vm_memory.guestTotalMiB',
      'vm_memory.guestAvailableMiB',
      'vm_memory.guestBalloonMiB',
      'vm_memory.guestSwapUsedMiB',
      'vm_memory.guestSwapInMiBPerSecond',
      'vm_memory.guestSwapOutMiBPerSecond',
      'vm_memory.guestRefaultsPerSecond',
      'vm_memory.guestMajorFaultsPerSecond',
      'vm_memory.guestPageFaultsPerSecond',
      'vm_memory.guestIdleMiB',
      'vm_memory.guestWorkingSetMiB',
    ],
    required: ['vm_memory.guestTotalMiB', 'vm_memory.guestAvailableMiB'],
    update(nowMs) {
      const meminfo = files.read('proc/meminfo');
      if (meminfo === null) return noData('/proc/meminfo is not there');
      const vmstat = files.read('proc/vmstat');
      const perSecond = rates(counters(vmstat), nowMs);
      const totalMiB = kibToMiB(numberAfter(meminfo, 'MemTotal'));
      const availableMiB = kibToMiB(numberAfter(meminfo, 'MemAvailable'));
      const freeMiB = kibToMiB(numberAfter(meminfo, 'MemFree'));
      const idleMiB = bytesToMiB(idlePages() * pageBytes);
      const refaultMiBPerSecond = bytesToMiB(perSecond.refaults * pageBytes);
      return reading({
        'vm_memory.guestTotalMiB': totalMiB,
        'vm_memory.guestAvailableMiB': availableMiB,
        'vm_memory.guestBalloonMiB': bytesToMiB(balloonPages(vmstat) * pageBytes),
        'vm_memory.guestSwapUsedMiB': kibToMiB(numberAfter(meminfo, 'SwapTotal') - numberAfter(meminfo, 'SwapFree')),
        'vm_memory.guestSwapInMiBPerSecond': bytesToMiB(perSecond.pswpin * pageBytes),
        'vm_memory.guestSwapOutMiBPerSecond': bytesToMiB(perSecond.pswpout * pageBytes),
        'vm_memory.guestRefaultsPerSecond': perSecond.refaults,
        'vm_memory.guestMajorFaultsPerSecond': perSecond.pgmajfault,
        'vm_memory.guestPageFaultsPerSecond': perSecond.pgfault,
        'vm_memory.guestIdleMiB': idleMiB,
        'vm_memory.guestWorkingSetMiB': workingSetMiB({ totalMiB, availableMiB, freeMiB, idleMiB, refaultMiBPerSecond }, nowMs),
      });
    },
  };
}

export function createHostMemory(files: KernelFiles, pageBytes: number, gapMsMax: number): Collector {
  const rates = createRates(COUNTERS, { gapMsMax });
  return {
    name: 'memory',
    fields: [
      'host_memory.totalMiB',
      'host_memory.availableMiB',
      'host_memory.swapTotalMiB',
      'host_memory.swapUsedMiB',
      'host_memory.swapInMiBPerSecond',
      'host_memory.swapOutMiBPerSecond',
    ],
    required: ['host_memory.totalMiB', 'host_memory.availableMiB'],
    update(nowMs) {
      const meminfo = files.read('proc/meminfo');
      if (meminfo === null) return noData('/proc/meminfo is not there');
      const perSecond = rates(counters(files.read('proc/vmstat')), nowMs);
      const swapTotalKib = numberAfter(meminfo, 'SwapTotal');
      return reading({
        'host_memory.totalMiB': kibToMiB(numberAfter(meminfo, 'MemTotal')),
        'host_memory.availableMiB': kibToMiB(numberAfter(meminfo, 'MemAvailable')),
        'host_memory.swapTotalMiB': kibToMiB(swapTotalKib),
        'host_memory.swapUsedMiB': kibToMiB(swapTotalKib - numberAfter(meminfo, 'SwapFree')),
        'host_memory.swapInMiBPerSecond': bytesToMiB(perSecond.pswpin * pageBytes),
        'host_memory.swapOutMiBPerSecond': bytesToMiB(perSecond.pswpout * pageBytes),
      });
    },
  };
}
