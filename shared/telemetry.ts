/**
 * What travels and what is stored: blocks of rows. A block belongs to one subject and one source, names its fields once,
 * and holds rows in time order; NaN is "unknown" (missing is unknown, never zero). Field names are
 * `measurement.fieldName`, units last; they become measurement and field in the series stores.
 */
export type Subject = { kind: 'vm'; id: string } | { kind: 'host'; id: string };

/** `host`: the host saw it itself (vouched). `guest`: a tenant's guest reports it (claimed). */
export type Source = 'host' | 'guest';

export interface TelemetryBlock {
  subject: Subject;
  source: Source;
  /** Distinct names, at most 128. */
  fields: readonly string[];
  /** UTC milliseconds, ascending, one per row. */
  timesMs: Float64Array;
  /** [timesMs.length × fields.length], row-major; NaN = unknown. */
  values: Float64Array;
}

/** What the host agent reports of each VM at 1 Hz from cgroups, and at the slower pace of libvirt's bulk statistics. */
export const VM_HOST_FIELDS = [
  'vm_cpu.usageCores', // rate of the VM's vCPU threads' CPU time (cgroup `vcpu*` groups where there are, else the whole machine)
  'vm_cpu.overheadCores', // emulator and I/O threads
  'vm_cpu.throttledFraction', // share of wall time the vCPU groups spent throttled, 0..1 (mean over vCPUs)
  'vm_cpu.waitFraction', // share of wall time runnable but waiting for a CPU (schedstat run delay), mean over vCPUs
  'vm_cpu.capCores', // enforced cap, NaN = none
  'vm_cpu.weight',
  'vm_cpu.vcpusOnline',
  'vm_memory.balloonMiB', // actual balloon size (memory the guest has)
  'vm_memory.targetMiB', // the balloon target last asked for
  'vm_memory.availableMiB', // guest's MemAvailable by balloon statistics ("usable")
  'vm_memory.totalMiB', // guest's MemTotal, told together with availableMiB
  'vm_memory.unusedMiB',
  'vm_memory.swapInMiBPerSecond',
  'vm_memory.swapOutMiBPerSecond',
  'vm_memory.majorFaultsPerSecond',
  'vm_memory.statsAgeMs', // age of the balloon statistics
  'vm_memory.rssMiB', // resident memory of the QEMU process: what the host really spends
  'vm_pressure.cpuSomeFraction', // PSI of the VM's cgroup (v2 only)
  'vm_pressure.memorySomeFraction',
  'vm_pressure.memoryFullFraction',
  'vm_pressure.ioSomeFraction',
  'vm_network.receiveBytesPerSecond',
  'vm_network.transmitBytesPerSecond',
  'vm_disk.readBytesPerSecond',
  'vm_disk.writeBytesPerSecond',
  'vm_disk.readIops',
  'vm_disk.writeIops',
] as const;

/** What a guest agent reports of itself at 1 Hz. Claimed, never vouched. */
export const VM_GUEST_FIELDS = [
  'vm_cpu.guestUserFraction',
  'vm_cpu.guestSystemFraction',
  'vm_cpu.guestIowaitFraction',
  'vm_cpu.guestStealFraction',
  'vm_cpu.guestRunQueue', // runnable tasks
  'vm_cpu.guestThrottledFraction', // the guest's own root cgroup, where it has one
  'vm_cpu.guestVcpusOnline',
  'vm_memory.guestTotalMiB',
  'vm_memory.guestAvailableMiB',
  'vm_memory.guestBalloonMiB', // pages the balloon holds, where /proc/vmstat tells
  'vm_memory.guestSwapUsedMiB',
  'vm_memory.guestSwapInMiBPerSecond',
  'vm_memory.guestSwapOutMiBPerSecond',
  'vm_memory.guestRefaultsPerSecond',
  'vm_memory.guestMajorFaultsPerSecond',
  'vm_memory.guestPageFaultsPerSecond', // minor and major
  'vm_memory.guestIdleMiB', // pages nobody touched since they were last looked at, where the kernel tracks it
  'vm_memory.guestWorkingSetMiB', // what the guest needs to hold to run as it does: see agent/core/working-set.ts
  'vm_pressure.guestCpuSomeFraction',
  'vm_pressure.guestMemorySomeFraction',
  'vm_pressure.guestMemoryFullFraction',
  'vm_pressure.guestIoSomeFraction',
  'vm_network.guestReceiveBytesPerSecond',
  'vm_network.guestTransmitBytesPerSecond',
  'vm_disk.guestReadBytesPerSecond',
  'vm_disk.guestWriteBytesPerSecond',
  'agent_health.guestUptimeSeconds',
  'agent_health.guestCpuFraction', // the agent's own CPU use, of one core
  'agent_health.guestRssMiB',
  'agent_health.guestCollectorsFailed',
] as const;

/** What a guest agent reports every 15 s where there is such a thing. Claimed. */
export const VM_GUEST_SLOW_FIELDS = [
  'vm_user.sessions', // people logged in
  'vm_user.idleSeconds', // since the last input on any of their terminals
  'vm_gpu.devices',
  'vm_gpu.utilisationFraction', // mean over devices
  'vm_gpu.memoryUsedMiB', // sum over devices
  'vm_gpu.memoryTotalMiB',
] as const;

/** What the host agent reports of its host at 1 Hz. */
export const HOST_FIELDS = [
  'host_cpu.usageCores',
  'host_cpu.userCores',
  'host_cpu.systemCores',
  'host_cpu.iowaitCores',
  'host_cpu.stealCores',
  'host_cpu.runQueue',
  'host_memory.totalMiB',
  'host_memory.availableMiB',
  'host_memory.swapTotalMiB',
  'host_memory.swapUsedMiB',
  'host_memory.swapInMiBPerSecond',
  'host_memory.swapOutMiBPerSecond',
  'host_memory.ksmSharedMiB', // merged pages that are kept once
  'host_memory.ksmSavedMiB', // what they would take beside that
  'host_pressure.cpuSomeFraction',
  'host_pressure.memorySomeFraction',
  'host_pressure.memoryFullFraction',
  'host_pressure.ioSomeFraction',
  'host_network.receiveBytesPerSecond',
  'host_network.transmitBytesPerSecond',
  'host_disk.readBytesPerSecond',
  'host_disk.writeBytesPerSecond',
  'agent_health.uptimeSeconds',
  'agent_health.cpuFraction',
  'agent_health.rssMiB',
  'agent_health.droppedRows', // rows that left without having been stored, of all kinds below
  'agent_health.droppedMemoryRows', // memory was full
  'agent_health.droppedDiskRows', // the disk ring's budget was reached, or a record could not be read again
  'agent_health.droppedInvalidRows', // unsound when they came
  'agent_health.waitingRows', // not yet acknowledged, in memory and on disk
  'agent_health.diskRingMiB',
  'agent_health.diskWriteFailures',
  'agent_health.collectorsFailed',
  'agent_health.collectMs', // what the host's own collectors took, wall time
] as const;

/**
 * Names that vary keep to a measurement of their own, in blocks of their own, each with a limit on how many there may be:
 * `vm_app.NAME` (claimed; what applications tell), `vm_process.cpuCores.NAME` and `vm_process.rssMiB.NAME` (claimed; the
 * processes of a name together, every 15 s), `host_numa.totalMiB.nodeN`, `host_numa.freeMiB.nodeN` and
 * `host_numa.missesPerSecond.nodeN` (every 15 s).
 */
export const APP_MEASUREMENT = 'vm_app';
export const PROCESS_MEASUREMENT = 'vm_process';
export const NUMA_MEASUREMENT = 'host_numa';

/** A block of what demand is estimated from, and not of names that vary. */
export function tellsDemand({ fields }: Pick<TelemetryBlock, 'fields'>): boolean {
  return !/^(vm_app|vm_process|vm_user|vm_gpu|host_numa)\./.test(fields[0] ?? '');
}

export function seriesKey(subject: Subject, source: Source): string {
  return `${subject.kind}/${subject.id}/${source}`;
}
