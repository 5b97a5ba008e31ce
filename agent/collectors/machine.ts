/** The collectors of one role, in the order they run. Input: the reader, the page size and the own-usage function. */
import { createAppMetrics } from './app-metrics.ts';
import type { Collector } from './collector.ts';
import { createGuestCpu, createHostCpu } from './cpu.ts';
import { createDisk } from './disk.ts';
import type { KernelFiles } from './files.ts';
import { createHealth, type SelfUsage } from './health.ts';
import { createGuestMemory, createHostMemory } from './memory.ts';
import { createNetwork } from './network.ts';
import { pageSizeBytes } from './page-size.ts';
import { createPressure } from './pressure.ts';
import { createGuestThrottle } from './throttle.ts';

export interface MachineCollectorOptions {
  self: () => SelfUsage;
  /** Readings farther apart than this give no rates. */
  gapMsMax: number;
  /** Guest only: the application's own metrics file, relative to the reader's root; null = none. */
  workloadMetrics: string | null;
}

export function createGuestCollectors(files: KernelFiles, options: MachineCollectorOptions): Collector[] {
  const { gapMsMax } = options;
  const collectors = [
    createGuestCpu(files, gapMsMax),
    createGuestThrottle(files, gapMsMax),
    createGuestMemory(files, pageSizeBytes(files), gapMsMax),
    createPressure(files, 'guest', gapMsMax),
    createDisk(files, 'guest', gapMsMax),
    createNetwork(files, 'guest', gapMsMax),
    createHealth(files, 'guest', options.self, gapMsMax),
  ];
  return options.workloadMetrics === null ? collectors : [...collectors, createAppMetrics(files, options.workloadMetrics)];
}

export function createHostCollectors(files: KernelFiles, options: MachineCollectorOptions): Collector[] {
  const { gapMsMax } = options;
  return [
    createHostCpu(files, gapMsMax),
    createHostMemory(files, pageSizeBytes(files), gapMsMax),
    createPressure(files, 'host', gapMsMax),
    createDisk(files, 'host', gapMsMax),
    createNetwork(files, 'host', gapMsMax),
    createHealth(files, 'host', options.self, gapMsMax),
  ];
}
