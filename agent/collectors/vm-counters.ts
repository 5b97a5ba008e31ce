/**
 * The fast counters of one VM, read from its control groups (v1 and v2) and from its hypervisor process below /proc. Input:
 * process id; output: VmCounters (NaN = not told) or no data with the reason. No call to the hypervisor is made.
 */
import { bytesToMiB } from '../../shared/units.ts';
import { NO_COUNTERS, type VmCounters } from '../core/vm-counters.ts';
import { type NoData, noData } from './collector.ts';
import type { KernelFiles } from './files.ts';
import { leadingNumber, numberAfter, numbers, pressureTotalUs } from './parse.ts';
import { locateVmCgroup, type VmCgroup } from './vm-cgroup-paths.ts';

export type VmCounterSource = {
  /** Reads everything about the VM whose hypervisor process is `pid`. */
  read(pid: number): VmCounters | NoData;
  /** Forgets a process that is gone. */
  forget(pid: number): void;
};

/** vCPUs and I/O threads are plugged rarely: the groups are listed again after so many samples. */
const LIST_EVERY_SAMPLES = 30;

interface Watched {
  group: VmCgroup;
  vcpus: readonly string[];
  others: readonly string[];
  /** Thread ids of the vCPUs, for their run delay. */
  threads: readonly number[];
  age: number;
}

export function createVmCounterSource(files: KernelFiles, pageBytes: number): VmCounterSource {
  const watched = new Map<number, Watched>();

  const watch = (pid: number): Watched | NoData => {
    const known = watched.get(pid);
    if (known !== undefined && known.age++ < LIST_EVERY_SAMPLES) return known;
    const cgroup = files.read(`proc/${pid}/cgroup`);
    if (cgroup === null) {
      watched.delete(pid);
      return noData(`process ${pid} is gone`);
    }
    const located = locateVmCgroup(cgroup, files.read('proc/mounts') ?? '');
    if (!located.found) return noData(located.reason);
    const fresh = listGroups(files, located.group);
    watched.set(pid, fresh);
    return fresh;
  };

  return {
    read(pid) {
      const target = watch(pid);
      if ('kind' in target) return withoutCgroup(files, pid, pageBytes) ?? target;
      return readCounters(files, pid, target, pageBytes);
    },
    forget(pid) {
      const target = watched.get(pid);
      watched.delete(pid);
      files.release(`proc/${pid}/`);
      for (const directory of new Set([target?.group.throttle?.directory, target?.group.usage?.directory, target?.group.pressure])) {
        if (directory) files.release(`${directory}/`);
      }
    },
  };
}

function listGroups(files: KernelFiles, group: VmCgroup): Watched {
  const { directory, version } = (group.throttle ?? group.usage)!;
  const names = files.list(directory) ?? [];
  const vcpus = names.filter((name) => /^vcpu\d+$/.test(name)).sort();
  const others = names.filter((name) => /^(emulator|iothread\d+)$/.test(name));
  const threadFile = version === 1 ? 'tasks' : 'cgroup.threads';
  const threads = vcpus
    .flatMap((name) => numbers(files.readBytes(`${directory}/${name}/${threadFile}`)?.toString('latin1') ?? ''))
    .filter((id) => id > 0);
  return { group, vcpus, others, threads, age: 0 };
}

/** Without a group of its own a VM still has a process, whose memory the host spends. */
function withoutCgroup(files: KernelFiles, pid: number, pageBytes: number): VmCounters | null {
  const rssMiB = residentMiB(files, pid, pageBytes);
  return Number.isNaN(rssMiB) ? null : { ...NO_COUNTERS, rssMiB };
}

function readCounters(files: KernelFiles, pid: number, target: Watched, pageBytes: number): VmCounters {
  const { group, vcpus, others, threads } = target;
  const delays = threads.map((thread) => runDelayNs(files, pid, thread));
  // Groups that libvirt does not divide (other drivers) count the machine as a whole, emulator included.
  const divided = vcpus.length > 0;
  const machineThrottledNs = throttledNs(files, group, '');
  return {
    vcpus: divided ? vcpus.length : Number.NaN,
    usageNs: divided ? sum(vcpus.map((name) => usageNs(files, group, `/${name}`))) : usageNs(files, group, ''),
    overheadNs: divided ? sum(others.map((name) => usageNs(files, group, `/${name}`))) : Number.NaN,
    throttledNs: divided ? sum(vcpus.map((name) => throttledNs(files, group, `/${name}`))) : machineThrottledNs,
    machineThrottledNs,
    waitNs: delays.length > 0 ? sum(delays) : Number.NaN,
    rssMiB: residentMiB(files, pid, pageBytes),
    ...readPressure(files, group),
  };
}

function usageNs(files: KernelFiles, { usage }: VmCgroup, below: string): number {
  if (usage === null) return Number.NaN;
  if (usage.version === 2) return numberAfter(files.read(`${usage.directory}${below}/cpu.stat`) ?? '', 'usage_usec') * 1000;
  return leadingNumber(files.read(`${usage.directory}${below}/cpuacct.usage`) ?? '');
}

/** Without a quota v2 may leave `throttled_usec` out, where nothing can be throttled: unknown, not zero. */
function throttledNs(files: KernelFiles, { throttle }: VmCgroup, below: string): number {
  if (throttle === null) return Number.NaN;
  const stat = files.read(`${throttle.directory}${below}/cpu.stat`) ?? '';
  return throttle.version === 2 ? numberAfter(stat, 'throttled_usec') * 1000 : numberAfter(stat, 'throttled_time');
}

function readPressure(files: KernelFiles, group: VmCgroup): Pick<VmCounters, 'cpuSomeUs' | 'memorySomeUs' | 'memoryFullUs' | 'ioSomeUs'> {
  const text = (name: string): string => (group.pressure === null ? '' : (files.read(`${group.pressure}/${name}.pressure`) ?? ''));
  const memory = text('memory');
  return {
    cpuSomeUs: pressureTotalUs(text('cpu'), 'some'),
    memorySomeUs: pressureTotalUs(memory, 'some'),
    memoryFullUs: pressureTotalUs(memory, 'full'),
    ioSomeUs: pressureTotalUs(text('io'), 'some'),
  };
}

/** Second number of schedstat: time spent runnable without a CPU, ns (kernel: scheduler/sched-stats). */
function runDelayNs(files: KernelFiles, pid: number, thread: number): number {
  const text = files.read(`proc/${pid}/task/${thread}/schedstat`);
  return text === null ? Number.NaN : (numbers(text)[1] ?? Number.NaN);
}

/** statm costs microseconds; smaps_rollup walks the page tables of the whole guest. */
function residentMiB(files: KernelFiles, pid: number, pageBytes: number): number {
  const text = files.read(`proc/${pid}/statm`);
  return text === null ? Number.NaN : bytesToMiB((numbers(text)[1] ?? Number.NaN) * pageBytes);
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
