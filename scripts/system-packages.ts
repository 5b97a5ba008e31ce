/**
 * Debian packages that real parts come from. Input: names; effect: the missing ones are installed by apt-get, after saying
 * so. Throws ENVIRONMENT with what to do when they cannot be installed (not root, no apt).
 */
import { spawnSync } from 'node:child_process';
import { HeadroomError } from '../shared/errors.ts';

/** libvirt with QEMU, and what guest images are made of. */
export const HYPERVISOR_PACKAGES = [
  'libvirt-daemon',
  'libvirt-daemon-driver-qemu',
  'libvirt-daemon-system',
  'libvirt-clients',
  'qemu-system-x86',
  'qemu-utils',
  'busybox-static',
  'e2fsprogs',
  'cpio',
] as const;

/** What hosts that make VMs need besides: the images of cloud-init's seeds. */
export const BUILD_PACKAGES = ['genisoimage'] as const;

/** What checks units, the playbook and its roles. */
export const PACKAGING_PACKAGES = ['systemd', 'ansible-core', 'ansible-lint'] as const;

/** What rolls out, and the machines it is tried on. */
export const ROLLOUT_PACKAGES = ['ansible-core', 'openssh-client', 'debootstrap', 'systemd-container', 'iproute2'] as const;

/** What a whole machine is made of, and reached by. */
export const MACHINE_PACKAGES = ['debootstrap', 'openssh-client', 'e2fsprogs', 'util-linux'] as const;

/** What builds and runs images. */
export const IMAGE_PACKAGES = ['buildah', 'podman', 'runc', 'debootstrap'] as const;

/** The browser that walks the console. */
export const BROWSER_PACKAGES = ['chromium'] as const;

/** The series servers that their adapters are tested against. */
export const STORE_PACKAGES = ['influxdb', 'victoria-metrics'] as const;

/** What several aggregators share their ownership and their ledger by. */
export const CLUSTER_PACKAGES = ['etcd-server'] as const;

export function missingPackages(names: readonly string[]): string[] {
  return names.filter((name) => {
    const { status, stdout } = spawnSync('dpkg', ['-s', name], { encoding: 'utf8' });
    return status !== 0 || !/^Status: .* installed$/m.test(stdout);
  });
}

export function ensurePackages(names: readonly string[], say: (line: string) => void): void {
  const missing = missingPackages(names);
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0)
    throw new HeadroomError('ENVIRONMENT', `these Debian packages are missing; install them as root: ${command}`);
  say(`installing Debian packages: ${missing.join(' ')}`);
  for (const args of [
    ['update', '-q'],
    ['install', '-y', '-q', '--no-install-recommends', ...missing],
  ]) {
    const done = spawnSync('apt-get', args, {
      encoding: 'utf8',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      maxBuffer: 1 << 26,
    });
    if (done.error) throw new HeadroomError('ENVIRONMENT', 'apt-get was not found; Debian or Ubuntu is needed', { cause: done.error });
    if (done.status !== 0 && args[0] === 'install') {
      throw new HeadroomError('ENVIRONMENT', `"${command}" failed:\n${done.stderr.trim().split('\n').slice(-15).join('\n')}`);
    }
  }
}
