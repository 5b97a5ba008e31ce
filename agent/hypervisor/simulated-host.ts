/**
 * The simulated host's physics: time moves in whole ticks on a fixed grid, so that the same seed and calls give the same
 * world however often it is looked at. Each tick shares the cores by weight, moves memory and I/O of every VM, and keeps
 * the oracles (was the host ever out of memory?). VMs and time in; their new state out.
 */
import { BYTES_PER_MIB } from '../../shared/units.ts';
import { bookCpu, bookIo, bookMemory, type CpuTick, capped, demandOf, freshCores, holdsMemory, type SimulatedVm } from './simulated-vm.ts';

export interface HostMemory {
  totalMiB: number;
  availableMiB: number;
  swapTotalMiB: number;
  swapUsedMiB: number;
}

export interface HostOracle {
  /** Ticks in which VMs held more than memory and swap together. */
  hostOomTicks: number;
  /** Ticks in which the host had to swap. */
  hostSwapTicks: number;
  /** Ticks in which a guest's OOM killer would have acted, all VMs. */
  guestOomTicks: number;
  /** Core-milliseconds of demand that VMs never got. */
  unmetCoreMs: number;
}

/** Wants that add up to less than this share of the cores are all met, whatever rounding does. */
const ENOUGH_SHARE = 1 - 1e-9;

/**
 * Fair shares: cores are dealt out in proportion to weight, nobody gets more than it wants, and what one leaves goes to the
 * others. `wants` and `weights` per VM in, cores per VM out.
 */
export function shareCores(cores: number, wants: readonly number[], weights: readonly number[]): number[] {
  const granted = wants.map(() => 0);
  let left = cores;
  let open = wants.map((_, i) => i).filter((i) => (wants[i] as number) > 0);
  while (open.length > 0 && left > 1e-12) {
    const weightSum = open.reduce((sum, i) => sum + (weights[i] as number), 0);
    const full = open.filter((i) => (wants[i] as number) <= (left * (weights[i] as number)) / weightSum);
    if (full.length === 0) {
      for (const i of open) granted[i] = (left * (weights[i] as number)) / weightSum;
      return granted;
    }
    for (const i of full) {
      granted[i] = wants[i] as number;
      left -= wants[i] as number;
    }
    open = open.filter((i) => !full.includes(i));
  }
  return granted;
}

export function tick(vms: readonly SimulatedVm[], cores: number, wallMs: number, nowMs: number, tickMs: number): void {
  const ticks = vms.map((vm) => cpuTickOf(vm, wallMs, tickMs));
  let wanted = 0;
  for (let i = 0; i < ticks.length; i++) wanted += ticks[i]!.capped;
  // Nearly always there is enough for all; near the edge it is dealt out as ever.
  if (!(wanted < ENOUGH_SHARE * cores)) {
    const granted = shareCores(
      cores,
      ticks.map(({ capped }) => capped),
      vms.map(({ cpu }) => cpu.weight),
    );
    for (let i = 0; i < ticks.length; i++) ticks[i]!.granted = granted[i]!;
  }
  for (let i = 0; i < vms.length; i++) {
    const vm = vms[i]!;
    bookCpu(vm, ticks[i]!, tickMs);
    bookMemory(vm, wallMs, nowMs, tickMs);
    bookIo(vm, wallMs, tickMs);
  }
}

/** Granted what its own cap lets through: so it is while there is enough for all. */
function cpuTickOf(vm: SimulatedVm, wallMs: number, tickMs: number): CpuTick {
  const fresh = freshCores(vm, wallMs);
  const demand = demandOf(vm, fresh, tickMs);
  const { runnable, capped: through } = capped(vm, demand);
  return { fresh, demand, runnable, capped: through, granted: through };
}

/** Memory as /proc/meminfo would have it: what VMs hold beyond it lies in swap. */
export function hostMemory(vms: Iterable<SimulatedVm>, totalMiB: number, swapTotalMiB: number, ownMiB: number): HostMemory {
  let held = ownMiB;
  for (const vm of vms) if (holdsMemory(vm)) held += vm.counters.rssMiB;
  return { totalMiB, availableMiB: Math.max(0, totalMiB - held), swapTotalMiB, swapUsedMiB: Math.max(0, held - totalMiB) };
}

/** Requests of 64 KiB: for I/O counters. */
export const requestsOf = (bytes: number): number => Math.floor(bytes / (BYTES_PER_MIB / 16));
