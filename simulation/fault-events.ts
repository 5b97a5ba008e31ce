/** Carries scheduled faults out in a world, and ends them again. Each is counted when it really happened. */

import { mostMiB } from '../agent/hypervisor/simulated-plugged.ts';
import type { SimulatedNetwork } from '../shared/net/simulated.ts';
import { type Setting, sameSetting } from '../shared/resources.ts';
import type { AggregatorNode } from './aggregator-node.ts';
import type { SimulatedTime } from './clock.ts';
import { bringHome, evacuate } from './evacuation.ts';
import type { Faults, ScheduledFault } from './faults.ts';
import { FOREIGN_HOLD_MS } from './fleet.ts';
import type { HostNode } from './host-node.ts';
import type { Invariants } from './invariants.ts';

/** What faults can get at. */
export interface FaultyWorld {
  readonly time: SimulatedTime;
  readonly hosts: readonly HostNode[];
  /** One per host, in the same order. */
  readonly networks: readonly SimulatedNetwork[];
  readonly aggregator: AggregatorNode;
  readonly faults: Faults;
  readonly invariants: Invariants;
  startAggregator(): void;
  startAgent(host: HostNode): void;
}

const HOUR_MS = 3_600_000;
/** As many as the policy's `rebootTogether` reckons with. */
const STORM_VMS = 2;
/** Guests that keep memory: so many keep all, the others a part. */
const REFUSES_SHARE = 0.4;

export function carryOut(world: FaultyWorld, fault: ScheduledFault): void {
  if (world.faults.healed) return;
  const h = Math.floor(fault.whom * world.hosts.length);
  const host = world.hosts[h]!;
  const vm = host.vmIds[Math.floor(fault.what * host.vmIds.length)];
  // An evacuated host has nothing that could go wrong, and a VM that is off has no live values to be changed.
  if (vm === undefined || host.hypervisor.truth(vm).power !== 'running') return;
  const later = (run: () => void): void => void world.time.schedule(() => world.faults.healed || run(), fault.forMs);
  if (fault.kind !== 'keptMemory') world.faults.count(fault.kind);
  switch (fault.kind) {
    case 'partition':
      world.networks[h]!.setPartitioned(true);
      later(() => world.networks[h]!.setPartitioned(false));
      break;
    case 'restart':
      restart(world, h, fault, later);
      break;
    case 'clockStep':
      stepClock(world, host, fault);
      break;
    case 'stuckVm':
      host.hypervisor.setStuck(vm, true);
      later(() => host.has(vm) && host.hypervisor.setStuck(vm, false));
      break;
    case 'job':
      host.hypervisor.setJob(vm, true);
      later(() => host.has(vm) && host.hypervisor.setJob(vm, false));
      break;
    case 'foreignWriter':
      foreignWrite(world, h, fault);
      break;
    case 'rebootStorm':
      for (const id of host.vmIds.slice(0, STORM_VMS)) host.reboot(id);
      break;
    case 'evacuation':
      evacuate(world, host);
      later(() => bringHome(world));
      break;
    case 'keptMemory':
      keepMemory(world, fault, later);
      break;
    case 'ksmUnshare':
      host.hypervisor.setSharedMiB(0);
      later(() => host.share());
      break;
  }
}

/** Forwards or back by an hour: the aggregator, a host, or a guest whose agent stamps its rows. */
function stepClock({ aggregator }: FaultyWorld, host: HostNode, { what }: ScheduledFault): void {
  const byMs = what < 0.5 ? HOUR_MS : -HOUR_MS;
  const kind = Math.floor((what * 7919) % 3);
  if (kind === 0) aggregator.stepWall(byMs);
  else if (kind === 1) host.stepWall(byMs);
  else host.stepGuests(byMs);
}

/** The aggregator or an agent dies by kill -9 and is started again later. */
function restart(world: FaultyWorld, h: number, fault: ScheduledFault, later: (run: () => void) => void): void {
  if (fault.what < 0.4) {
    if (!world.aggregator.running) return;
    world.aggregator.kill();
    for (const network of world.networks) network.dropConnections();
    later(() => world.startAggregator());
    return;
  }
  const host = world.hosts[h]!;
  if (!host.agentRuns) return;
  host.killAgent();
  world.networks[h]!.dropConnections();
  later(() => world.startAgent(host));
}

/** A guest gives up nothing, or only a part, of what it has plugged; the most obstinate plugs nothing either. */
function keepMemory(world: FaultyWorld, { kind, whom, what }: ScheduledFault, later: (run: () => void) => void): void {
  const plugged = world.hosts.flatMap((host) =>
    host.vmIds.flatMap((vm) => (host.hypervisor.truth(vm).options.plugged ? [{ host, vm }] : [])),
  );
  const chosen = plugged[Math.floor(whom * plugged.length)];
  if (chosen === undefined) return;
  const { host, vm } = chosen;
  world.faults.count(kind);
  host.hypervisor.setKept(vm, what < REFUSES_SHARE ? 1 : what);
  later(() => host.has(vm) && host.hypervisor.setKept(vm, 0));
}

/** Somebody gives a VM more, as an administrator at night would: never so little that they harm it themselves. */
function foreignWrite(world: FaultyWorld, h: number, fault: ScheduledFault): void {
  const host = world.hosts[h]!;
  const id = host.vmIds[Math.floor(fault.what * host.vmIds.length)]!;
  const { options, cpu, balloonTargetMiB, driverLoadsAtMs } = host.hypervisor.truth(id);
  const forCpu = fault.what * 7919 - Math.floor(fault.what * 7919) < 0.5;
  if (!forCpu && driverLoadsAtMs > world.time.nowMs) return;
  const setting: Setting = forCpu
    ? { resource: 'cpu', weight: cpu.weight, capCores: options.vcpus * 0.9 }
    : { resource: 'memory', memoryMiB: Math.round(Math.max(balloonTargetMiB + 16, 0.8 * mostMiB(options) + 16)) };
  // The same value once more changes nothing that anybody could see.
  if (sameSetting(setting, forCpu ? cpu : { resource: 'memory', memoryMiB: balloonTargetMiB })) return;
  host.hypervisor.foreignWrite(id, setting);
  // What is plugged comes in blocks.
  const written: Setting = forCpu ? setting : { resource: 'memory', memoryMiB: host.hypervisor.truth(id).balloonTargetMiB };
  world.invariants.foreignWritten(id, written, world.time.nowMs, FOREIGN_HOLD_MS);
}
