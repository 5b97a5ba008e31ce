/**
 * What the adapter reads from the host beside libvirt's socket: a VM's process, and which control groups are in force. Root
 * path and daemon's state folder in; process id or null, cgroup version out.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { startTicksIn, TICKS_PER_SECOND } from '../../core/proc-stat.ts';
import type { CgroupVersion } from './cpu-tuning.ts';
import type { DomainRef } from './procedures.ts';

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

/**
 * Process id libvirt noted for the VM, if that process still is this VM's: its command line names the UUID. Null when it
 * does not run here.
 */
export async function processIdOf(root: string, stateFolder: string, domain: DomainRef): Promise<number | null> {
  if (domain.name !== basename(domain.name)) return null;
  const noted = await readText(join(root, stateFolder, 'qemu', `${domain.name}.pid`));
  const pid = noted === null ? Number.NaN : Number.parseInt(noted, 10);
  if (!(pid > 0)) return null;
  const command = await readText(join(root, 'proc', String(pid), 'cmdline'));
  return command?.includes(domain.uuid) ? pid : null;
}

/** By /proc/PID/stat and /proc/uptime. Null: there is no such process. */
export async function processAgeMsOf(root: string, pid: number): Promise<number | null> {
  const stat = await readText(join(root, 'proc', String(pid), 'stat'));
  const uptime = await readText(join(root, 'proc/uptime'));
  if (stat === null || uptime === null) return null;
  const startedSeconds = startTicksIn(stat) / TICKS_PER_SECOND;
  const ageMs = (Number.parseFloat(uptime) - startedSeconds) * 1000;
  return Number.isFinite(ageMs) ? Math.max(0, ageMs) : null;
}

/** The hierarchy that holds the cpu controller: 2 only where cgroup v2 has it (a hybrid host's is on v1). */
export async function cgroupVersion(root: string): Promise<CgroupVersion> {
  const controllers = await readText(join(root, 'sys/fs/cgroup/cgroup.controllers'));
  return controllers?.split(/\s+/).includes('cpu') ? 2 : 1;
}
