/**
 * CPU of one host: caps and expected demand against its cores times the overcommit the policy allows. Input: the host and
 * its VMs; output: how far a cap may grow, and what is left for the fast guard.
 */
import type { VmId } from '../../../shared/ids.ts';
import { expectedCores } from './contention.ts';
import type { HostSnapshot, VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';

/** What a VM counts for: its cap where it has one, else what it is expected to want; unknown counts whole. */
export function cpuLoadOf(vm: VmSnapshot): number {
  if (vm.state === 'stopped' || vm.state === 'error' || vm.state === 'paused') return 0;
  const caps = [vm.current.cpu, vm.pending.cpu].map((setting) => (setting?.resource === 'cpu' ? setting.capCores : undefined));
  const known = caps.filter((cap) => cap !== undefined);
  if (known.length > 0 && known.every((cap) => cap !== null)) return Math.min(vm.vcpus, Math.max(...(known as number[])));
  return expectedCores(vm) ?? vm.vcpus;
}

export class CpuRoom {
  readonly usableCores: number;
  readonly #loads = new Map<VmId, number>();
  readonly #outstanding: number;
  #sum = 0;

  constructor(host: HostSnapshot, vms: readonly VmSnapshot[], policy: FleetPolicy) {
    this.usableCores = (host.cpuCores - policy.reserve.cpuCores) * policy.cpuOvercommit;
    this.#outstanding = host.guardReserve.cores;
    for (const vm of vms) {
      const load = cpuLoadOf(vm);
      this.#loads.set(vm.id, load);
      this.#sum += load;
    }
  }

  get committedCores(): number {
    return this.#sum;
  }

  /** Cores up to which a cap may grow now, at most `wantedCores`; never less than what it counts for already. */
  growthLimit(vm: VmId, wantedCores: number): number {
    const load = this.#loads.get(vm) ?? 0;
    return Math.max(load, Math.min(wantedCores, this.usableCores - this.#outstanding - (this.#sum - load)));
  }

  grow(vm: VmId, toCores: number): void {
    const load = this.#loads.get(vm) ?? 0;
    if (toCores <= load) return;
    this.#loads.set(vm, toCores);
    this.#sum += toCores - load;
  }

  get leftCores(): number {
    return Math.max(0, this.usableCores - this.#sum - this.#outstanding);
  }
}
