/** Reads what the workload must know of its own guest: memory left, CPU time spent, the kernel's command line. */
import { readFileSync } from 'node:fs';

export interface GuestMemory {
  /** MemTotal: what the kernel manages now; a balloon takes from it. */
  totalMiB: number;
  /** MemAvailable: what it could still hand out. */
  availableMiB: number;
}

export function guestMemory(meminfo = readFileSync('/proc/meminfo', 'utf8')): GuestMemory {
  const miB = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(meminfo)?.[1] ?? 0) / 1024;
  return { totalMiB: miB('MemTotal'), availableMiB: miB('MemAvailable') };
}

/** Seconds all CPUs of the guest were busy since boot: user, nice, system, interrupts (USER_HZ is 100 on every Linux). */
export function busySeconds(stat = readFileSync('/proc/stat', 'utf8')): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (stat.split('\n')[0] ?? '').trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq) / 100;
}

/** A `headroom.NAME=value` of the kernel's command line. */
export function bootOption(name: string, commandLine = readFileSync('/proc/cmdline', 'utf8')): string | undefined {
  const prefix = `headroom.${name}=`;
  return commandLine
    .trim()
    .split(/\s+/)
    .find((word) => word.startsWith(prefix))
    ?.slice(prefix.length);
}
