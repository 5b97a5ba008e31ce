/**
 * Made demand for simulated VMs: pure functions of time, the same for the same seed, without state, so that any moment can
 * be asked in any order. Shapes follow what VM traces show: a level, a day of modest amplitude, bursts that dominate, a
 * noise that is small beside both, and some VMs that hardly ever do anything.
 */
import type { Prng } from '../shared/prng.ts';

export const WORKLOAD_KINDS = ['daily', 'batch', 'bursty', 'idle', 'steady'] as const;
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number];

export interface Workload {
  kind: WorkloadKind;
  /** CPU demand, cores, at simulated time `atMs` (UTC ms). */
  cpuCores(atMs: number): number;
  /** Memory the guest needs resident to run well, MiB. */
  workingSetMiB(atMs: number): number;
}

export interface WorkloadSize {
  vcpus: number;
  memoryMiB: number;
  /** Length of this workload's day, ms. */
  dayMs: number;
}

/** Bursts and noise are drawn anew for each slot of this length. */
const SLOT_MS = 60_000;
/**
 * Memory follows load over so many slots, as processes start, read and cache: a working set is the mean of the levels of the
 * last five minutes, and so rises in a straight line however suddenly load does. With the swing below it grows by at most
 * 22 % of the VM's size in five minutes. Active memory of business VMs rose by more than 18 % of the VM's size in one of a
 * hundred steps of five minutes and by more than 37 % in one of a thousand (22 VMs of GWA-T-12 Bitbrains "Rnd", 91 days,
 * 554,000 steps). A guest that takes a quarter of its memory between two looks of any guard is out of memory on every
 * host that lends: no real machine could pass such a test.
 */
const MEMORY_SLOTS = 5;
const MEMORY_SWING_MAX = 0.25;

/** A draw in [0, 1) for slot `index`: an integer hash (Wellons' lowbias32), so that time can be asked in any order. */
function draw(seed: number, index: number): number {
  let x = (seed ^ Math.imul(index, 0x9e3779b1)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97) >>> 0;
  return ((x ^ (x >>> 15)) >>> 0) / 4294967296;
}

/** Share of the VM's size, 0..1, by kind. */
function shape(kind: WorkloadKind, seed: number, phase: number, atMs: number, dayMs: number): number {
  const day = (atMs / dayMs + phase) % 1;
  const slot = Math.floor(atMs / SLOT_MS);
  const noise = 0.03 * (draw(seed, slot) - 0.5);
  switch (kind) {
    case 'daily':
      return 0.25 + 0.2 * Math.sin(2 * Math.PI * day) + noise;
    case 'batch':
      return (day < 0.15 ? 0.8 : 0.08) + noise;
    case 'bursty':
      return (draw(seed + 1, Math.floor(slot / 5)) < 0.04 ? 0.9 : 0.12) + noise;
    case 'idle':
      return (draw(seed + 2, Math.floor(slot / 10)) < 0.005 ? 0.5 : 0.02) + noise / 3;
    case 'steady':
      return 0.35 + noise;
  }
}

export function createWorkload(random: Prng, size: WorkloadSize): Workload {
  const kind = WORKLOAD_KINDS[random.below(WORKLOAD_KINDS.length)]!;
  const seed = random.below(2 ** 31);
  const phase = random.next();
  const memoryBase = 0.2 + 0.2 * random.next();
  const memorySwing = MEMORY_SWING_MAX * random.next();
  const level = (atMs: number): number => Math.min(1, Math.max(0.005, shape(kind, seed, phase, atMs, size.dayMs)));
  const memoryLevel = slidingMean((slot) => level(slot * SLOT_MS));
  return {
    kind,
    cpuCores: (atMs) => size.vcpus * level(atMs),
    workingSetMiB: (atMs) => size.memoryMiB * (memoryBase + memorySwing * memoryLevel(atMs)),
  };
}

/** The mean over the last `MEMORY_SLOTS` slots, the oldest leaving as the newest comes; sums are kept for the slot asked last. */
function slidingMean(levelOf: (slot: number) => number): (atMs: number) => number {
  let known = Number.NaN;
  let inner = 0;
  let oldest = 0;
  let newest = 0;
  return (atMs) => {
    const slot = Math.floor(atMs / SLOT_MS);
    if (slot !== known) {
      known = slot;
      oldest = levelOf(slot - MEMORY_SLOTS);
      newest = levelOf(slot);
      inner = 0;
      for (let back = 1; back < MEMORY_SLOTS; back++) inner += levelOf(slot - back);
    }
    const share = atMs / SLOT_MS - slot;
    return (inner + (1 - share) * oldest + share * newest) / MEMORY_SLOTS;
  };
}
