/**
 * vCPUs online, inside the guest: /sys/devices/system/cpu/cpuN/online. Input: how many, of which; output: how many are online
 * afterwards. CPU 0 stays; the lowest numbers are brought up and the highest taken down. Live-only: a reboot undoes it.
 */
import { accessSync, constants, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorText, HeadroomError } from '../../shared/errors.ts';

const DIRECTORY = 'sys/devices/system/cpu';

/**
 * `root` is `/` in a guest; `of` = the CPUs to choose from, all others are left as they are (absent: every one there is).
 * Throws USAGE on a number there cannot be, ENVIRONMENT when the kernel refuses.
 */
export function setCpusOnline(root: string, vcpus: number, of?: readonly number[]): number {
  const directory = join(root, DIRECTORY);
  const all = of ?? presentCpus(directory);
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
  return onlineCpus(root).length;
}

/** Which CPUs are online now, ascending. */
export function onlineCpus(root: string): number[] {
  const directory = join(root, DIRECTORY);
  return presentCpus(directory).filter((cpu) => isOnline(directory, cpu));
}

/** Is there a CPU that this process may take down? */
export function mayTakeCpusOffline(root: string): boolean {
  const directory = join(root, DIRECTORY);
  return presentCpus(directory).some((cpu) => {
    try {
      accessSync(join(directory, `cpu${cpu}`, 'online'), constants.W_OK);
      return cpu > 0;
    } catch {
      return false;
    }
  });
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
