/**
 * Another program that moves balloons on this host: oVirt's MOM, Proxmox's pvestatd. Two managers of one balloon fight, so
 * memory is left alone where one runs. Input: names of running processes below /proc; output: who it is, or null.
 */
import type { KernelFiles } from './files.ts';

/** Process names (as /proc/PID/comm has them) and what people call the program. */
const MANAGERS: readonly (readonly [comm: string, name: string])[] = [
  ['momd', 'oVirt MOM'],
  ['vdsmd', 'oVirt VDSM'],
  ['vdsm', 'oVirt VDSM'],
  ['pvestatd', 'Proxmox VE'],
];

export function findBalloonManager(files: KernelFiles): string | null {
  for (const name of files.list('proc') ?? []) {
    if (!/^\d+$/.test(name)) continue;
    const comm = files.readBytes(`proc/${name}/comm`)?.toString('latin1').trim();
    const manager = MANAGERS.find(([known]) => known === comm);
    if (manager) return manager[1];
  }
  return null;
}
