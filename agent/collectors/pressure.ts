/**
 * PSI of this machine (/proc/pressure/*): the running totals, made into the share of the last sample's wall time. Kernels
 * without PSI, or with it off (no `psi=1`), give no data.
 */
import { US_PER_MS, US_PER_SECOND } from '../../shared/units.ts';
import { clampFraction, createRates } from '../core/rates.ts';
import { type Collector, noData, reading } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { pressureTotalUs } from './parse.ts';

const TOTALS = ['cpuSome', 'memorySome', 'memoryFull', 'ioSome'] as const;
type Names = Record<(typeof TOTALS)[number], string>;

const GUEST_NAMES: Names = {
  cpuSome: 'vm_pressure.guestCpuSomeFraction',
  memorySome: 'vm_pressure.guestMemorySomeFraction',
  memoryFull: 'vm_pressure.guestMemoryFullFraction',
  ioSome: 'vm_pressure.guestIoSomeFraction',
};
const HOST_NAMES: Names = {
  cpuSome: 'host_pressure.cpuSomeFraction',
  memorySome: 'host_pressure.memorySomeFraction',
  memoryFull: 'host_pressure.memoryFullFraction',
  ioSome: 'host_pressure.ioSomeFraction',
};

/** Running totals of "some", ms: how long something has waited since boot; null = the kernel does not tell. */
export function stalls(files: KernelFiles): Record<'cpu' | 'memory' | 'io', number | null> {
  const total = (name: string): number | null => {
    const text = files.read(`proc/pressure/${name}`);
    const us = text === null ? Number.NaN : pressureTotalUs(text, 'some');
    return Number.isNaN(us) ? null : us / US_PER_MS;
  };
  return { cpu: total('cpu'), memory: total('memory'), io: total('io') };
}

export function createPressure(files: KernelFiles, role: 'guest' | 'host', gapMsMax: number): Collector {
  const names = role === 'guest' ? GUEST_NAMES : HOST_NAMES;
  const rates = createRates(TOTALS, { gapMsMax });
  return {
    name: 'pressure',
    fields: Object.values(names),
    required: [],
    update(nowMs) {
      const cpu = files.read('proc/pressure/cpu');
      const memory = files.read('proc/pressure/memory');
      const io = files.read('proc/pressure/io');
      if (cpu === null && memory === null && io === null) return noData('the kernel tells no pressure (PSI is off or not built in)');
      const perSecond = rates(
        {
          cpuSome: cpu === null ? Number.NaN : pressureTotalUs(cpu, 'some'),
          memorySome: memory === null ? Number.NaN : pressureTotalUs(memory, 'some'),
          memoryFull: memory === null ? Number.NaN : pressureTotalUs(memory, 'full'),
          ioSome: io === null ? Number.NaN : pressureTotalUs(io, 'some'),
        },
        nowMs,
      );
      const values: Record<string, number> = {};
      for (const total of TOTALS) values[names[total]] = clampFraction(perSecond[total] / US_PER_SECOND);
      return reading(values);
    },
  };
}
