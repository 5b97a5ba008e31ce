/**
 * Memory of one host against everything its VMs may come to hold: exposures and hypervisor overhead, plus what the K
 * largest VMs would take back if they rebooted together. Input: the host and its VMs; output: how far a VM may grow, and
 * what is left. Shrinks of the same plan add nothing: only room that is free already is given away.
 */
import type { VmId } from '../../../shared/ids.ts';
import type { Setting } from '../../../shared/resources.ts';
import type { HostSnapshot, VmSnapshot } from './plan.ts';
import type { FleetPolicy } from './policy.ts';
import { overheadOf } from './processors.ts';

/** Memory a VM can come to hold whether it cooperates or not, without the hypervisor's own; what is stopped holds none. */
export function exposureOf(vm: VmSnapshot): number {
  if (vm.state === 'stopped' || vm.state === 'error') return 0;
  const inForce = memoryOf(vm.current.memory);
  // With nothing known of its balloon it may have all it booted with.
  const known = Math.max(inForce ?? 0, memoryOf(vm.pending.memory) ?? 0, vm.memory.balloonMiB ?? 0);
  const resident = vm.memory.rssMiB === null ? 0 : vm.memory.rssMiB - overheadOf(vm.overheadMiB, vm.bootMemoryMiB);
  const held = inForce === null && vm.memory.balloonMiB === null ? Math.max(known, vm.bootMemoryMiB) : known;
  return Math.max(held, Math.min(resident, vm.bootMemoryMiB));
}

function memoryOf(setting: Setting | undefined): number | null {
  return setting?.resource === 'memory' ? setting.memoryMiB : null;
}

interface Held {
  vm: VmSnapshot;
  exposureMiB: number;
  overheadMiB: number;
  /** What a reboot would add. */
  rebootMiB: number;
}

export class MemoryRoom {
  readonly usableMiB: number;
  readonly #host: HostSnapshot;
  readonly #rebootTogether: number;
  readonly #held = new Map<VmId, Held>();
  /** Largest reboot shares first. */
  readonly #byReboot: Held[];
  readonly #nodeRoomMiB = new Map<number, number>();
  #sumMiB = 0;
  #availableMiB: number;

  constructor(host: HostSnapshot, vms: readonly VmSnapshot[], policy: FleetPolicy) {
    const reserve = policy.reserve.memoryMiB;
    this.#host = host;
    this.#rebootTogether = policy.rebootTogether;
    this.usableMiB = host.memoryMiB - reserve;
    // Unknown is none: nothing is given away that was not seen to be free.
    this.#availableMiB = (host.availableMiB ?? Number.NEGATIVE_INFINITY) - reserve - host.guardReserve.memoryMiB;
    for (const node of host.numaNodes) this.#nodeRoomMiB.set(node.id, node.memoryMiB - (reserve * node.memoryMiB) / host.memoryMiB);
    for (const vm of vms) this.#add(vm);
    this.#byReboot = [...this.#held.values()].sort((a, b) => b.rebootMiB - a.rebootMiB);
  }

  #add(vm: VmSnapshot): void {
    const exposureMiB = exposureOf(vm);
    if (exposureMiB === 0) return;
    const overheadMiB = overheadOf(vm.overheadMiB, vm.bootMemoryMiB);
    this.#held.set(vm.id, { vm, exposureMiB, overheadMiB, rebootMiB: Math.max(0, vm.bootMemoryMiB - exposureMiB) });
    this.#sumMiB += exposureMiB + overheadMiB;
    this.#takeFromNode(vm, exposureMiB + overheadMiB);
  }

  #takeFromNode(vm: VmSnapshot, amountMiB: number): void {
    const room = vm.numaNode === null ? undefined : this.#nodeRoomMiB.get(vm.numaNode);
    if (room !== undefined) this.#nodeRoomMiB.set(vm.numaNode!, room - amountMiB);
  }

  /** Σ (exposure + overhead) + reboot exposure, MiB. */
  get committedMiB(): number {
    return this.#sumMiB + this.#rebootOthers(null).sumMiB;
  }

  /** The K largest reboot shares without one VM: their sum, and the smallest of them (Infinity when none may reboot). */
  #rebootOthers(without: Held | null): { sumMiB: number; leastMiB: number } {
    if (this.#rebootTogether === 0) return { sumMiB: 0, leastMiB: Number.POSITIVE_INFINITY };
    let sumMiB = 0;
    let leastMiB = 0;
    let taken = 0;
    for (const held of this.#byReboot) {
      if (held === without) continue;
      sumMiB += held.rebootMiB;
      leastMiB = held.rebootMiB;
      if (++taken === this.#rebootTogether) return { sumMiB, leastMiB };
    }
    return { sumMiB, leastMiB: 0 };
  }

  /**
   * Memory up to which a VM may grow now, at most `wantedMiB`; what it may already hold when there is no room. Growth within
   * what the sums keep free for its own reboot costs nothing.
   */
  growthLimit(vm: VmId, wantedMiB: number): number {
    const held = this.#held.get(vm);
    if (held === undefined) return 0;
    const others = this.#rebootOthers(held);
    const besideMiB = this.#sumMiB - held.exposureMiB + others.sumMiB;
    const bySum = this.usableMiB - this.#host.guardReserve.memoryMiB - besideMiB;
    const ownRebootMiB = held.vm.bootMemoryMiB - others.leastMiB;
    const byAvailable = held.exposureMiB + Math.max(0, this.#availableMiB);
    const nodeRoom = held.vm.numaNode === null ? undefined : this.#nodeRoomMiB.get(held.vm.numaNode);
    const byNode = nodeRoom === undefined ? Number.POSITIVE_INFINITY : held.exposureMiB + Math.max(0, nodeRoom);
    const most = Math.min(Math.max(bySum, ownRebootMiB), byAvailable, byNode, wantedMiB);
    return Math.max(held.exposureMiB, Math.floor(most));
  }

  /** Takes the room; call with what `growthLimit` allowed. */
  grow(vm: VmId, toMiB: number): void {
    const held = this.#held.get(vm);
    if (held === undefined || toMiB <= held.exposureMiB) return;
    const byMiB = toMiB - held.exposureMiB;
    this.#sumMiB += byMiB;
    this.#availableMiB -= byMiB;
    this.#takeFromNode(held.vm, byMiB);
    held.exposureMiB = toMiB;
    held.rebootMiB = Math.max(0, held.vm.bootMemoryMiB - toMiB);
    this.#byReboot.splice(this.#byReboot.indexOf(held), 1);
    const at = this.#byReboot.findIndex((each) => each.rebootMiB < held.rebootMiB);
    this.#byReboot.splice(at < 0 ? this.#byReboot.length : at, 0, held);
  }

  /** Free for the fast guard's next lease: by the sums and by what the host really has, less what it may still hold of the last. */
  get leftMiB(): number {
    const bySum = this.usableMiB - this.committedMiB - this.#host.guardReserve.memoryMiB;
    return Math.max(0, Math.min(bySum, this.#availableMiB));
  }
}
