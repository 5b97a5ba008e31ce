/**
 * The fast guard: one pure function, run by the host agent on what the host itself sees, between plans and without an
 * aggregator. It grows CPU at once when a cap throttles, and gives balloon memory back under pressure, within the per-VM
 * ceilings and the per-host reserve of the last lease frame, so that sums hold locally. It never shrinks anything.
 */
import type { VmId } from './ids.ts';

export interface GuardVm {
  vm: VmId;
  /** Enforced cap, null = none (then there is nothing to grow). */
  capCores: number | null;
  /** Usage over the last sample, cores; null = unknown. */
  usageCores: number | null;
  /** Share of the last sample's wall time that the vCPUs were throttled, 0..1; null = unknown. */
  throttledFraction: number | null;
  cpuCeilingCores: number | null;
  /** Balloon size now and its target, MiB; null = unknown or memory is not ours. */
  balloonMiB: number | null;
  targetMiB: number | null;
  /** Guest's MemAvailable by balloon statistics, MiB; null = unknown. */
  availableMiB: number | null;
  /**
   * While its balloon inflates, and some time after: memory it will have available once that is over and the host could have
   * reacted, MiB, by how fast it grows; null = no inflation, or unknown.
   */
  foreseenMiB: number | null;
  /** Its balloon inflates, and its driver has stopped telling: a guest without memory does not get around to it. */
  silent: boolean;
  /** PSI some/full of the VM's cgroup or swap-in seen by the host, 0..1; null = unknown. */
  memoryPressureFraction: number | null;
  swapInMiBPerSecond: number | null;
  memoryCeilingMiB: number | null;
}

export interface GuardInput {
  vms: readonly GuardVm[];
  /** What may still be handed out until the next lease frame. */
  reserveCores: number;
  reserveMiB: number;
}

export type GuardAction =
  | { vm: VmId; resource: 'cpu'; capCores: number; reason: string }
  | { vm: VmId; resource: 'memory'; memoryMiB: number; reason: string };

export interface GuardOutput {
  actions: GuardAction[];
  /** What is left of the reserves after the actions. */
  reserveCores: number;
  reserveMiB: number;
}

/** Throttled for more than this share of a sample: the cap is what holds the VM, not noise at a period's edge. */
export const THROTTLED_FRACTION_MIN = 0.05;
/** Growth per action: half as much again reaches 4 × in under four samples, and a spike costs little. */
const CPU_GROWTH_FACTOR = 1.5;
/** Smallest growth worth a write. */
const CPU_GROWTH_CORES_MIN = 0.1;
/** PSI share above which memory is short (systemd-oomd acts at 0.6 over 30 s; we give long before). */
const MEMORY_PRESSURE_MIN = 0.05;
/** A guest with less than this share of its balloon available is about to swap. */
const AVAILABLE_SHARE_MIN = 0.06;
/** And with less than this, however small its balloon: it fills that in a second, which is what a look takes. */
const AVAILABLE_MIB_MIN = 16;
const MEMORY_GROWTH_FACTOR = 1.25;

export function fastGuard(input: GuardInput): GuardOutput {
  const actions: GuardAction[] = [];
  let { reserveCores, reserveMiB } = input;
  for (const vm of input.vms) {
    const cpu = growCpu(vm, reserveCores);
    if (cpu) {
      reserveCores -= cpu.capCores - (vm.capCores ?? 0);
      actions.push(cpu);
    }
    const memory = deflate(vm, reserveMiB);
    if (memory) {
      // Stopping an inflation costs nothing, and gives nothing: what it stops short of was never the guard's to hand out.
      reserveMiB -= Math.max(0, memory.memoryMiB - Math.max(vm.balloonMiB ?? 0, vm.targetMiB ?? 0));
      actions.push(memory);
    }
  }
  return { actions, reserveCores, reserveMiB };
}

function growCpu(vm: GuardVm, reserveCores: number): Extract<GuardAction, { resource: 'cpu' }> | null {
  if (vm.capCores === null || vm.cpuCeilingCores === null || vm.throttledFraction === null) return null;
  // Comparisons are written so that a value that is no number acts like an unknown one: nothing happens.
  if (!(vm.throttledFraction >= THROTTLED_FRACTION_MIN)) return null;
  const wanted = Math.max(vm.capCores * CPU_GROWTH_FACTOR, vm.capCores + CPU_GROWTH_CORES_MIN);
  const capCores = Math.min(wanted, vm.cpuCeilingCores, vm.capCores + Math.max(0, reserveCores));
  if (!(capCores >= vm.capCores + CPU_GROWTH_CORES_MIN / 2)) return null;
  return { vm: vm.vm, resource: 'cpu', capCores, reason: `throttled ${(vm.throttledFraction * 100).toFixed(0)} % of the last sample` };
}

function deflate(vm: GuardVm, reserveMiB: number): Extract<GuardAction, { resource: 'memory' }> | null {
  if (vm.balloonMiB === null || vm.targetMiB === null || vm.memoryCeilingMiB === null) return null;
  const reason = shortage(vm) ?? (vm.silent ? 'the guest has stopped telling how it does while its balloon inflates' : null);
  if (reason === null) return null;
  // While a balloon still inflates, its size now is what the guest has and the target is what it would fall to: going
  // back to the size now stops the inflation at once and takes nothing from the reserve. Silence alone earns no more.
  const base = Math.max(vm.balloonMiB, vm.targetMiB);
  const wantedMiB = shortage(vm) === null ? base : base * MEMORY_GROWTH_FACTOR;
  const memoryMiB = Math.min(wantedMiB, vm.memoryCeilingMiB, base + Math.max(0, reserveMiB));
  if (!(memoryMiB > vm.targetMiB + 1)) return null;
  return { vm: vm.vm, resource: 'memory', memoryMiB, reason };
}

/** Why the guest needs memory, null = nothing says so. */
function shortage(vm: GuardVm): string | null {
  const { memoryPressureFraction, swapInMiBPerSecond, availableMiB, foreseenMiB, balloonMiB } = vm;
  const short =
    (memoryPressureFraction !== null && memoryPressureFraction >= MEMORY_PRESSURE_MIN) ||
    (swapInMiBPerSecond !== null && swapInMiBPerSecond > 0) ||
    (availableMiB !== null && availableMiB < Math.max(AVAILABLE_MIB_MIN, AVAILABLE_SHARE_MIN * (balloonMiB ?? 0)));
  if (short) return 'the guest is short of memory (pressure, swap-in or little available)';
  if (foreseenMiB !== null && foreseenMiB < 0) return 'the guest grows into what its balloon took: it would have none left in seconds';
  return null;
}
