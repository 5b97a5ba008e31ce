/**
 * Can the demo run on this machine? Checks root, Linux and apt, and installs the packages that are missing, after naming
 * them. Throws ENVIRONMENT with what to do instead.
 */
import { existsSync } from 'node:fs';
import { ensurePackages, HYPERVISOR_PACKAGES, missingPackages } from '../../scripts/system-packages.ts';
import { HeadroomError } from '../../shared/errors.ts';

const INSTEAD = 'To see the same parts on a simulated hypervisor, anywhere: npm run demo -- --simulated';

export interface Machine {
  platform: string;
  architecture: string;
  isRoot: boolean;
  hasApt: boolean;
}

export function thisMachine(): Machine {
  return {
    platform: process.platform,
    architecture: process.arch,
    isRoot: process.getuid?.() === 0,
    hasApt: existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg'),
  };
}

/** What stands in the way of real guests, in words; null = nothing. Pure. */
export function obstacle(machine: Machine): string | null {
  if (machine.platform !== 'linux') return `real guests need Linux; this is ${machine.platform}. ${INSTEAD}`;
  if (machine.architecture !== 'x64') return `the guest image is made for x86-64; this is ${machine.architecture}. ${INSTEAD}`;
  if (!machine.isRoot) return `real guests need root (libvirt, cgroups). Run it as root, or: ${INSTEAD}`;
  if (!machine.hasApt) return `the guest image is made from Debian packages, and apt-get was not found. ${INSTEAD}`;
  return null;
}

/** Names of the packages that would be installed. */
export function packagesToInstall(): string[] {
  return missingPackages(HYPERVISOR_PACKAGES);
}

export function prepareMachine(machine: Machine, say: (line: string) => void): void {
  const problem = obstacle(machine);
  if (problem !== null) throw new HeadroomError('ENVIRONMENT', problem);
  ensurePackages(HYPERVISOR_PACKAGES, say);
}
