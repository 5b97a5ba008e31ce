/** What the seam shows of a simulated VM: its settings, facts and statistics, shaped as a real adapter shapes them. State in, views out. */
import type { Resource, SettingOf } from '../../shared/resources.ts';
import type { VmFacts } from '../core/vm-facts.ts';
import type { StatsGroup, VmStats } from './hypervisor.ts';
import { requestsOf } from './simulated-host.ts';
import type { SimulatedVm } from './simulated-vm.ts';

/** The live value in force; of memory the balloon's size now, since no hypervisor tells its target. */
export function settingIn<R extends Resource>(vm: SimulatedVm, resource: R): SettingOf<R> {
  const setting: SettingOf<Resource> = resource === 'memory' ? { resource, memoryMiB: vm.balloonMiB } : { ...vm[resource as 'cpu'] };
  return setting as SettingOf<R>;
}

export function simulatedFacts(vm: SimulatedVm): VmFacts {
  const { id, name, vcpus, bootMemoryMiB, facts, plugged } = vm.options;
  return {
    id,
    name,
    problems: [],
    persistent: true,
    vcpusMax: vcpus,
    vcpusOnline: vcpus,
    bootMemoryMiB,
    domainType: 'kvm',
    machineType: 'simulated',
    balloonModel: 'virtio',
    balloonDeflateOnOom: false,
    statsPeriodSeconds: vm.statsPeriodSeconds,
    passthrough: [],
    launchSecurity: null,
    hugepages: false,
    lockedMemory: false,
    preallocatedMemory: false,
    numaStrict: false,
    numaNode: null,
    memorySource: 'anonymous',
    memoryDevices: 0,
    dedicatedPinning: false,
    realtimeScheduling: false,
    osFamily: 'linux',
    interfaces: [{ device: 'sim0', mac: '52:54:00:00:00:01', type: 'bridge' }],
    disks: [{ target: 'vda', source: null }],
    channels: [],
    labels: {},
    ...(plugged === undefined ? {} : { memoryDevices: 1, plugged: { ...plugged, requestedMiB: vm.requestedMiB } }),
    ...facts,
  };
}

export function simulatedStats(vm: SimulatedVm, groups: readonly StatsGroup[], monotonicMs: number): VmStats {
  const stats: VmStats = { id: vm.options.id, monotonicMs, power: vm.power };
  const { vcpus, bootMemoryMiB } = vm.options;
  if (groups.includes('cpu')) stats.cpuTimeNs = Math.round(vm.cpuTimeNs);
  if (groups.includes('vcpu')) {
    const timeNs = Math.round(vm.counters.usageNs / vcpus);
    const waitNs = Math.round(vm.counters.waitNs / vcpus);
    stats.vcpus = Array.from({ length: vcpus }, (_, id) => ({ id, online: true, timeNs, waitNs }));
  }
  if (groups.includes('balloon')) {
    stats.balloon = { ...vm.told, actualMiB: vm.balloonMiB, maximumMiB: bootMemoryMiB, rssMiB: vm.counters.rssMiB };
  }
  const { interfaces, disks } = vm.options.facts ?? {};
  if (groups.includes('interface') && interfaces?.length !== 0) {
    stats.interfaces = [{ name: 'sim0', rxBytes: Math.round(vm.received), txBytes: Math.round(vm.transmitted) }];
  }
  if (groups.includes('block') && disks?.length !== 0) {
    const [readBytes, writeBytes] = [Math.round(vm.diskRead), Math.round(vm.diskWritten)];
    stats.blocks = [{ name: 'vda', readBytes, writeBytes, readRequests: requestsOf(readBytes), writeRequests: requestsOf(writeBytes) }];
  }
  return stats;
}
