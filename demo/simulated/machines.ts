/**
 * The simulated stage's machines: a hypervisor that exists in this process alone, with one simulated VM per guest of the
 * roster, following the same load patterns by the same clock. Output: the hypervisor, and the collectors that stand for
 * /proc of the host and of each guest.
 */
import { type Collector, reading } from '../../agent/collectors/collector.ts';
import { createSimulatedHypervisor, type SimulatedHypervisor } from '../../agent/hypervisor/simulated.ts';
import type { Clock } from '../../shared/clock.ts';
import { type VmId, vmId } from '../../shared/ids.ts';
import { NS_PER_MS } from '../../shared/units.ts';
import { AGENT_CHANNEL } from '../guests/domain-xml.ts';
import { ROSTER, type RosterEntry } from '../guests/roster.ts';
import { firstDayMs, type Offer, offerAt, type Role } from '../workload/pattern.ts';

/** What a guest of the real demo costs before its workload does anything (measured there): agent, kernel, idle runtimes. */
const BASE = { cores: 0.03, memoryMiB: 100 };
const HOST = { cpuCores: 2, memoryMiB: 8192 };
/** Balloon statistics each second, as in the real demo. */
const STATS_PERIOD_SECONDS = 1;

export interface SimulatedGuest extends RosterEntry {
  id: VmId;
}

export const SIMULATED_GUESTS: readonly SimulatedGuest[] = ROSTER.map((entry, index) => ({
  ...entry,
  id: vmId(`51300000-0000-4000-8000-${String(index + 1).padStart(12, '0')}`),
}));

/** What a role's guest offers in all at a moment of the wall clock. */
export type Offered = (role: Role, wallMs: number) => Offer;

/** The load's first day begins as in the real demo, soon after now. */
export function offeredFrom(nowMs: number): Offered {
  const firstDay = firstDayMs(nowMs);
  return (role, wallMs) => {
    const offer = offerAt(role, wallMs - firstDay);
    return { cores: BASE.cores + offer.cores, memoryMiB: BASE.memoryMiB + offer.memoryMiB };
  };
}

export function simulatedMachines(clock: Clock, offered: Offered): SimulatedHypervisor {
  return createSimulatedHypervisor({
    clock,
    ...HOST,
    vms: SIMULATED_GUESTS.map(({ id, name, role, memoryMiB, labels }) => ({
      id,
      name,
      vcpus: 1,
      bootMemoryMiB: memoryMiB,
      cpuDemandCores: (wallMs) => offered(role, wallMs).cores,
      workingSetMiB: (wallMs) => offered(role, wallMs).memoryMiB,
      statsPeriodSeconds: STATS_PERIOD_SECONDS,
      facts: { labels, channels: [{ name: AGENT_CHANNEL, path: `simulated:${name}`, connected: true }] },
    })),
  });
}

/** What /proc of the host would tell. */
export function hostCollector(hypervisor: SimulatedHypervisor): Collector {
  const fields = [
    'host_cpu.usageCores',
    'host_memory.totalMiB',
    'host_memory.availableMiB',
    'host_memory.swapTotalMiB',
    'host_memory.swapUsedMiB',
  ];
  let last: { cpuNs: number; atMs: number } | null = null;
  return {
    name: 'simulated-host',
    fields,
    required: ['host_memory.availableMiB'],
    update(nowMs) {
      const memory = hypervisor.memory();
      const cpuNs = hypervisor.hostCpuNs();
      const usageCores = last === null || nowMs <= last.atMs ? Number.NaN : (cpuNs - last.cpuNs) / ((nowMs - last.atMs) * NS_PER_MS);
      last = { cpuNs, atMs: nowMs };
      return reading({
        'host_cpu.usageCores': usageCores,
        'host_memory.totalMiB': memory.totalMiB,
        'host_memory.availableMiB': memory.availableMiB,
        'host_memory.swapTotalMiB': memory.swapTotalMiB,
        'host_memory.swapUsedMiB': memory.swapUsedMiB,
      });
    },
  };
}

/** What the guest and its workload would tell. */
export function guestCollector(guest: SimulatedGuest, hypervisor: SimulatedHypervisor, clock: Clock, offered: Offered): Collector {
  return {
    name: 'simulated-guest',
    fields: ['vm_memory.guestTotalMiB', 'vm_memory.guestAvailableMiB', 'vm_app.offeredCores', 'vm_app.offeredMemoryMiB'],
    required: [],
    update() {
      const { balloonMiB, workingSetMiB } = hypervisor.truth(guest.id);
      const offer = offered(guest.role, clock.wallMs());
      return reading({
        'vm_memory.guestTotalMiB': balloonMiB,
        'vm_memory.guestAvailableMiB': Math.max(0, balloonMiB - workingSetMiB),
        'vm_app.offeredCores': offer.cores,
        'vm_app.offeredMemoryMiB': offer.memoryMiB,
      });
    },
  };
}
