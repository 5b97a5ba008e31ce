/**
 * What the guest itself costs before its workload does anything: kernel, agent, idle runtimes. Input: readings taken once a
 * second while the workload rests; output: its base in the terms of an allocation (cores of the host, MiB of the balloon),
 * so that offered load = base + pattern can be held against what was granted.
 */
import type { GuestMemory } from './guest-figures.ts';

export interface GuestReading {
  monotonicMs: number;
  busySeconds: number;
  memory: GuestMemory;
}

export interface GuestBase {
  cores: number;
  memoryMiB: number;
}

/** Until then guests that boot together still slow each other down and start-up work distorts the figures. */
export const SETTLE_MS = 15_000;
/** Readings behind the base: enough that half of them may fall into somebody else's boot. */
export const BASE_READINGS = 25;

const quantile = (values: readonly number[], share: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * share)] ?? 0;
};
/** An emulated guest that has to wait for its host counts the wait as busy time: its quiet seconds tell what it costs. */
const QUIET_SHARE = 0.25;

/**
 * `reservedMiB`: what the kernel kept for itself at boot, outside MemTotal. The balloon may move meanwhile: what is in use
 * is MemTotal less MemAvailable at any size of it.
 */
export function baseOf(readings: readonly GuestReading[], reservedMiB: number): GuestBase {
  const rates: number[] = [];
  for (let i = 1; i < readings.length; i++) {
    const [before, after] = [readings[i - 1], readings[i]];
    if (before && after && after.monotonicMs > before.monotonicMs) {
      rates.push((after.busySeconds - before.busySeconds) / ((after.monotonicMs - before.monotonicMs) / 1000));
    }
  }
  const usedMiB = readings.map(({ memory }) => memory.totalMiB - memory.availableMiB);
  return { cores: quantile(rates, QUIET_SHARE), memoryMiB: reservedMiB + quantile(usedMiB, 0.5) };
}
