/**
 * The memory device (virtio-mem) of a simulated guest. As with a real one the guest plugs up to what is requested once its driver is
 * loaded, gives up whole blocks, none that it uses, and none at all of what cannot be moved just now; a reset leaves nothing plugged.
 * A VM and figures in; the parts of what it has, moved. Of a VM without a device nothing is changed here.
 */
import { guestBlock, type Parts, partsFor, type Room } from '../core/plugged-memory.ts';
import type { SimulatedVm, SimulatedVmOptions } from './simulated-vm.ts';

/** What the guest can come to hold. */
export const mostMiB = ({ bootMemoryMiB, plugged }: Pick<SimulatedVmOptions, 'bootMemoryMiB' | 'plugged'>): number =>
  bootMemoryMiB + (plugged?.sizeMiB ?? 0);

function roomOf({ bootMemoryMiB, plugged }: SimulatedVmOptions): Room | null {
  return plugged === undefined ? null : { boot: bootMemoryMiB, size: plugged.sizeMiB, block: guestBlock(plugged.blockMiB, 1) };
}

/** Both parts as they are; of one without a device all is the balloon's. */
const partsOf = ({ balloonMiB, pluggedMiB }: SimulatedVm): Parts => ({ balloon: balloonMiB - pluggedMiB, plugged: pluggedMiB });

/** What a restore has to put back: the balloon as it is, whatever of the device was asked for. */
export const sentParts = (vm: SimulatedVm): Parts => ({ balloon: vm.balloonMiB - vm.pluggedMiB, plugged: vm.requestedMiB });

/** Sends the guest to a size. False: a shrink that no guest could be sent on. */
export function sendTo(vm: SimulatedVm, memoryMiB: number): boolean {
  const room = roomOf(vm.options);
  if (room === null) {
    vm.balloonTargetMiB = memoryMiB;
    return true;
  }
  const parts = partsFor(memoryMiB, partsOf(vm), room);
  if (parts !== null) sendParts(vm, parts);
  return parts !== null;
}

export function sendParts(vm: SimulatedVm, { balloon, plugged }: Parts): void {
  vm.requestedMiB = plugged;
  vm.balloonTargetMiB = balloon + plugged;
}

/** Plugs or unplugs towards what is requested, by so much at most; as a guest does, in whole blocks. */
export function movePlugged(vm: SimulatedVm, stepMiB: number): void {
  const room = roomOf(vm.options);
  if (room === null || vm.pluggedMiB === vm.requestedMiB) return;
  const blocks = (miB: number): number => Math.floor(miB / room.block) * room.block;
  if (vm.pluggedMiB < vm.requestedMiB) {
    // Who gives nothing up has no use for more either: its driver has failed.
    const moved = vm.keptShare >= 1 ? 0 : Math.min(Math.max(room.block, blocks(stepMiB)), vm.requestedMiB - vm.pluggedMiB);
    vm.pluggedMiB += moved;
    vm.balloonMiB += moved;
    return;
  }
  const kept = Math.max(vm.requestedMiB, vm.keptShare * room.size);
  const spare = Math.min(stepMiB, vm.pluggedMiB - kept, vm.balloonMiB - vm.workingSetMiB);
  const moved = blocks(Math.max(0, spare));
  vm.pluggedMiB -= moved;
  vm.balloonMiB -= moved;
}
