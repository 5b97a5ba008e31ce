/**
 * vCPUs online, inside the guest: /sys/devices/system/cpu/cpuN/online. Input: how many; output: how many are online
 * afterwards. CPU 0 stays; the lowest numbers are brought up and the highest taken down. Live-only: a reboot undoes it.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../shared/errors.ts';

/** `root` is `/` in a guest. Throws ENVIRONMENT when the kernel refuses, after reading back what it left. */
export function setCpusOnline(root: string, vcpus: number): number {
  const directory = join(root, 'sys/devices/system/cpu');
  const all = presentCpus(directory);
  if (vcpus < 1 || vcpus > all.length) {
    throw new HeadroomError('USAGE', `${vcpus} vCPUs online were asked for; this guest has ${all.length}`);
  }
  for (const [index, cpu] of all.entries()) {
    const file = join(directory, `cpu${cpu}`, 'online');
    const wanted = index < vcpus ? '1' : '0';
    if (!existsSync(file) || readFileSync(file, 'latin1').trim() === wanted) continue;
    try {
      writeFileSync(file, wanted);
    } catch (error) {
      throw new HeadroomError('ENVIRONMENT', `the kernel refused to set ${file} to ${wanted}: ${errorText(error)}`, { cause: error });
    }
  }
  return all.filter((cpu) => isOnline(directory, cpu)).length;
}

function presentCpus(directory: string): number[] {
  return readdirSync(directory)
    .map((name) => /^cpu(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** CPUs without an `online` file cannot be taken down: they are online. */
function isOnline(directory: string, cpu: number): boolean {
  const file = join(directory, `cpu${cpu}`, 'online');
  return !existsSync(file) || readFileSync(file, 'latin1').trim() === '1';
}
