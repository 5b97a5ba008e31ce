/**
 * CPU of this machine: /proc/stat's first line and the runnable tasks of /proc/loadavg. A guest reports shares of its own
 * CPU time, a host reports cores. Output: Readings; the first has no rates.
 */
import { clampFraction, createRates } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { leadingNumber, listCount, numbers } from './parse.ts';

/** /proc/stat counts in ticks of USER_HZ, which is 100 on every architecture Linux has an x86-64 or arm64 port for. */
const TICKS_PER_SECOND = 100;

interface CpuTicks extends Record<string, number> {
  user: number;
  system: number;
  idle: number;
  iowait: number;
  steal: number;
}
const STATES = ['user', 'system', 'idle', 'iowait', 'steal'] as const;

/** Ticks by state; guest time is already part of user time in Linux's accounting and is not added again. */
function parseStat(text: string): CpuTicks {
  const end = text.indexOf('\n');
  const [, user = Number.NaN, nice = 0, system = Number.NaN, idle = Number.NaN, iowait = 0, irq = 0, softirq = 0, steal = Number.NaN] =
    numbers(end < 0 ? text : text.slice(0, end));
  return { user: user + nice, system: system + irq + softirq, idle, iowait, steal };
}

/** Runnable tasks by /proc/loadavg (`0.28 0.26 0.19 3/95 7637`), less the one that reads it. */
function parseRunQueue(text: string | null): number {
  const slash = text?.indexOf('/') ?? -1;
  if (text === null || slash < 0) return Number.NaN;
  return Math.max(0, leadingNumber(text, text.lastIndexOf(' ', slash) + 1) - 1);
}

export function createGuestCpu(files: KernelFiles, gapMsMax: number): Collector {
  const rates = createRates(STATES, { gapMsMax });
  return {
    name: 'cpu',
    fields: [
      'vm_cpu.guestUserFraction',
      'vm_cpu.guestSystemFraction',
      'vm_cpu.guestIowaitFraction',
      'vm_cpu.guestStealFraction',
      'vm_cpu.guestRunQueue',
      'vm_cpu.guestVcpusOnline',
    ],
    required: ['vm_cpu.guestRunQueue'],
    update(nowMs) {
      const text = files.read('proc/stat');
      if (text === null) return noData('/proc/stat is not there');
      const { user, system, idle, iowait, steal } = rates(parseStat(text), nowMs);
      const total = user + system + idle + iowait + (Number.isNaN(steal) ? 0 : steal);
      const share = (part: number): number => (total > 0 ? clampFraction(part / total) : Number.NaN);
      const online = files.read('sys/devices/system/cpu/online');
      return reading({
        'vm_cpu.guestUserFraction': share(user),
        'vm_cpu.guestSystemFraction': share(system),
        'vm_cpu.guestIowaitFraction': share(iowait),
        'vm_cpu.guestStealFraction': share(steal),
        'vm_cpu.guestRunQueue': parseRunQueue(files.read('proc/loadavg')),
        'vm_cpu.guestVcpusOnline': online === null ? Number.NaN : listCount(online),
      });
    },
  };
}

export function createHostCpu(files: KernelFiles, gapMsMax: number): Collector {
  const rates = createRates(STATES, { gapMsMax });
  return {
    name: 'cpu',
    fields: [
      'host_cpu.usageCores',
      'host_cpu.userCores',
      'host_cpu.systemCores',
      'host_cpu.iowaitCores',
      'host_cpu.stealCores',
      'host_cpu.runQueue',
    ],
    required: ['host_cpu.runQueue'],
    update(nowMs) {
      const text = files.read('proc/stat');
      if (text === null) return noData('/proc/stat is not there');
      const ticks = rates(parseStat(text), nowMs);
      const cores = (ticksPerSecond: number): number => ticksPerSecond / TICKS_PER_SECOND;
      return reading({
        'host_cpu.usageCores': cores(ticks.user + ticks.system),
        'host_cpu.userCores': cores(ticks.user),
        'host_cpu.systemCores': cores(ticks.system),
        'host_cpu.iowaitCores': cores(ticks.iowait),
        'host_cpu.stealCores': cores(ticks.steal),
        'host_cpu.runQueue': parseRunQueue(files.read('proc/loadavg')),
      });
    },
  };
}
