/**
 * Host evacuation, as an administrator does it without shared storage: each VM is shut down, defined on another host that has
 * room for its boot memory, and started there; what fits nowhere stays off until its host is back. Input: the world; output:
 * VMs on other hosts, and home again.
 */
import { mostMiB } from '../agent/hypervisor/simulated-plugged.ts';
import type { SimulatedVmOptions } from '../agent/hypervisor/simulated-vm.ts';
import type { HostNode } from './host-node.ts';
import type { Invariants } from './invariants.ts';

export interface Evacuable {
  readonly time: { readonly nowMs: number };
  readonly hosts: readonly HostNode[];
  readonly invariants: Invariants;
}

/** Left free of what an administrator counts: agents may have promised growth that is not there to be seen. */
const ROOM_SHARE = 0.1;

export function evacuate(world: Evacuable, from: HostNode): void {
  for (const vm of from.vmIds) {
    const { options } = from.hypervisor.truth(vm);
    const to = world.hosts.find((host) => host !== from && roomMiB(host) > mostMiB(options));
    if (to) move(world, options, from, to);
    else {
      from.hypervisor.setPower(vm, 'shutoff');
      world.invariants.startedAnew(vm, world.time.nowMs);
    }
  }
}

/** Everybody back to where they were made, and on. */
export function bringHome(world: Evacuable): void {
  for (const host of world.hosts) {
    for (const vm of host.vmIds) {
      const { options } = host.hypervisor.truth(vm);
      const home = world.hosts.find((one) => one.made.has(vm));
      if (home && home !== host) move(world, options, host, home);
    }
  }
  for (const host of world.hosts) {
    for (const vm of host.vmIds) {
      if (host.hypervisor.truth(vm).power !== 'shutoff') continue;
      host.hypervisor.setPower(vm, 'running');
      world.invariants.startedAnew(vm, world.time.nowMs);
    }
  }
}

function move(world: Evacuable, options: SimulatedVmOptions, from: HostNode, to: HostNode): void {
  from.hypervisor.setPower(options.id, 'shutoff');
  from.hypervisor.removeVm(options.id);
  to.hypervisor.addVm(options);
  world.invariants.startedAnew(options.id, world.time.nowMs);
}

/** Memory that no VM there may come to hold, as targets and boots stand now. */
function roomMiB(host: HostNode): number {
  const { totalMiB } = host.hypervisor.memory();
  const held = host.vmIds.reduce((sum, vm) => {
    const { options, balloonMiB, balloonTargetMiB } = host.hypervisor.truth(vm);
    return sum + Math.max(balloonMiB, balloonTargetMiB, mostMiB(options));
  }, 0);
  return (1 - ROOM_SHARE) * totalMiB - held;
}
