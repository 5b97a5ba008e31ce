/**
 * The collectors of one role, in the order they run: those of every sample, and the slow ones (per-process, sessions, GPUs,
 * NUMA nodes). Input: the reader and what cannot be read from files; output: lists of collectors.
 */
import type { Collector } from './collector.ts';
import { createGuestCpu, createHostCpu } from './cpu.ts';
import { createDisk } from './disk.ts';
import type { KernelFiles } from './files.ts';
import { createGpu } from './gpu.ts';
import { createHealth, type SelfUsage } from './health.ts';
import { createKsm } from './ksm.ts';
import { createGuestMemory, createHostMemory } from './memory.ts';
import { createNetwork } from './network.ts';
import { createNuma } from './numa.ts';
import { pageSizeBytes } from './page-size.ts';
import { createPressure } from './pressure.ts';
import { createProcesses } from './processes.ts';
import { createGuestThrottle } from './throttle.ts';
import { createUsers } from './users.ts';

export interface MachineCollectorOptions {
  self: () => SelfUsage;
  /** Readings farther apart than this give no rates. */
  gapMsMax: number;
}

export interface GuestCollectorOptions extends MachineCollectorOptions {
  /** Pages idle for a whole round, NaN = not known; called once a sample. */
  idlePages: () => number;
}

export interface SlowGuestOptions {
  gapMsMax: number;
  wallMs: () => number;
  /** Runs nvidia-smi; only called where its driver lists a device. */
  askNvidia: () => Promise<string>;
}

export function createGuestCollectors(files: KernelFiles, options: GuestCollectorOptions): Collector[] {
  const { gapMsMax } = options;
  return [
    createGuestCpu(files, gapMsMax),
    createGuestThrottle(files, gapMsMax),
    createGuestMemory(files, pageSizeBytes(files), gapMsMax, options.idlePages),
    createPressure(files, 'guest', gapMsMax),
    createDisk(files, 'guest', gapMsMax),
    createNetwork(files, 'guest', gapMsMax),
    createHealth(files, 'guest', options.self, gapMsMax),
  ];
}

export function createSlowGuestCollectors(files: KernelFiles, { gapMsMax, wallMs, askNvidia }: SlowGuestOptions): Collector[] {
  return [createProcesses(files, pageSizeBytes(files), gapMsMax), createUsers(files, wallMs), createGpu(files, askNvidia)];
}

export function createHostCollectors(files: KernelFiles, options: MachineCollectorOptions): Collector[] {
  const { gapMsMax } = options;
  return [
    createHostCpu(files, gapMsMax),
    createHostMemory(files, pageSizeBytes(files), gapMsMax),
    createPressure(files, 'host', gapMsMax),
    createDisk(files, 'host', gapMsMax),
    createNetwork(files, 'host', gapMsMax),
    createKsm(files, pageSizeBytes(files)),
    createHealth(files, 'host', options.self, gapMsMax),
  ];
}

export function createSlowHostCollectors(files: KernelFiles, gapMsMax: number): Collector[] {
  return [createNuma(files, gapMsMax)];
}
