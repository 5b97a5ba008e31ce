/**
 * Where a VM's control groups are. Input: the text of /proc/PID/cgroup of its hypervisor process and of /proc/mounts;
 * output: directories per kind, relative to the root, or why there are none. Pure. Layouts: libvirt's "cgroups" page.
 */

export interface VmCgroup {
  version: 1 | 2;
  /** Group of the whole machine, where `vcpuN`, `emulator` and `iothreadN` lie; cpu.stat is here. */
  cpu: string;
  /** Where CPU time is counted: on v1 a controller of its own, which may be mounted apart. */
  cpuacct: string;
  /** cpu.pressure, memory.pressure, io.pressure; null on v1, which has none. */
  pressure: string | null;
}

export type VmCgroupResult = { found: true; group: VmCgroup } | { found: false; reason: string };

/** libvirt moves the process's own threads into these leaves; the machine's group is above them. */
const LEAF = /\/(?:emulator|vcpu\d+|iothread\d+)$/;

export function locateVmCgroup(processCgroup: string, mounts: string): VmCgroupResult {
  const points = mountPoints(mounts);
  const paths = controllerPaths(processCgroup);
  const cpuPath = paths.get('cpu');
  const cpuMount = points.get('cpu');
  if (cpuPath !== undefined && cpuMount !== undefined) {
    const acctPath = paths.get('cpuacct') ?? cpuPath;
    const acctMount = points.get('cpuacct') ?? cpuMount;
    const machine = machineGroup(cpuPath);
    const machineAcct = machineGroup(acctPath);
    if (machine === null || machineAcct === null) return notOwn(cpuPath);
    return { found: true, group: { version: 1, cpu: cpuMount + machine, cpuacct: acctMount + machineAcct, pressure: null } };
  }
  const unified = paths.get('');
  const unifiedMount = points.get('');
  if (unified === undefined || unifiedMount === undefined) return { found: false, reason: 'no control groups are mounted' };
  const machine = machineGroup(unified);
  if (machine === null) return notOwn(unified);
  const directory = unifiedMount + machine;
  return { found: true, group: { version: 2, cpu: directory, cpuacct: directory, pressure: directory } };
}

function notOwn(path: string): VmCgroupResult {
  return { found: false, reason: `the VM has no control group of its own (its process is in ${path})` };
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
