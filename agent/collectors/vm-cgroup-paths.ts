/**
 * Where a VM's control groups are. Input: the text of /proc/PID/cgroup of its hypervisor process and of /proc/mounts;
 * output: directories per kind, relative to the root, or why there are none. Pure. Layouts: libvirt's "cgroups" page.
 */

/**
 * Directories of the whole machine's group, where `vcpuN`, `emulator` and `iothreadN` lie; null = that kind is not told.
 * On hosts with both versions mounted the kinds come from different hierarchies: libvirt throttles by v1's `cpu`, leaves a
 * `cpuacct` that is mounted apart alone, and makes groups in the unified hierarchy that count time and pressure.
 */
export interface VmCgroup {
  /** cpu.stat with `throttled_time` (v1, ns) or `throttled_usec` (v2). */
  throttle: { directory: string; version: 1 | 2 } | null;
  /** cpuacct.usage (v1, ns) or cpu.stat's `usage_usec` (v2). */
  usage: { directory: string; version: 1 | 2 } | null;
  /** cpu.pressure, memory.pressure, io.pressure: the unified hierarchy only. */
  pressure: string | null;
}

export type VmCgroupResult = { found: true; group: VmCgroup } | { found: false; reason: string };

/** libvirt moves the process's own threads into these leaves; the machine's group is above them. */
const LEAF = /\/(?:emulator|vcpu\d+|iothread\d+)$/;

export function locateVmCgroup(processCgroup: string, mounts: string): VmCgroupResult {
  const points = mountPoints(mounts);
  const paths = controllerPaths(processCgroup);
  const directoryOf = (controller: string): string | null => {
    const machine = machineGroup(paths.get(controller) ?? '/');
    const mount = points.get(controller);
    return machine === null || mount === undefined ? null : mount + machine;
  };
  const unified = directoryOf('');
  const cpu = directoryOf('cpu');
  const cpuacct = directoryOf('cpuacct');
  const version2 = unified === null ? null : { directory: unified, version: 2 as const };
  const throttle = cpu === null ? version2 : { directory: cpu, version: 1 as const };
  const usage = cpuacct === null ? version2 : { directory: cpuacct, version: 1 as const };
  if (throttle === null && usage === null) {
    return {
      found: false,
      reason: `the VM has no control group of its own (its process is in ${paths.get('cpu') ?? paths.get('') ?? 'none'})`,
    };
  }
  return { found: true, group: { throttle, usage, pressure: unified } };
}

/** The machine's group for a process's path; null when the path is nobody's machine (the root, a login session). */
function machineGroup(path: string): string | null {
  if (LEAF.test(path)) return path.replace(LEAF, '');
  return /(?:^|\/)(?:machine|qemu)/.test(path) && path !== '/' ? path : null;
}

/** `hierarchy:controllers:path` lines → path by controller; '' is the unified hierarchy. */
function controllerPaths(text: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^(\d+):([^:]*):(.*)$/.exec(line);
    if (!match) continue;
    for (const controller of (match[2] ?? '').split(',')) paths.set(controller, match[3] ?? '/');
  }
  return paths;
}

/** Mount point by controller, without the leading slash; '' is cgroup2. */
function mountPoints(mounts: string): Map<string, string> {
  const points = new Map<string, string>();
  for (const line of mounts.split('\n')) {
    const [, point, type, options] = line.split(' ');
    if (point === undefined || options === undefined) continue;
    if (type === 'cgroup2') points.set('', point.slice(1));
    if (type === 'cgroup') for (const option of options.split(',')) points.set(option, point.slice(1));
  }
  return points;
}
