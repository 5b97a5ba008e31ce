/**
 * A Debian root file system with systemd, sshd, libvirt and what else a machine is to have, and a package source of its own for what is
 * installed later: what targets boot from, read-only, and disks are made of. Made once with debootstrap and kept in the cache directory
 * (some 500 MB); output: its path. Fails with what is missing where Debian's archive cannot be reached.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeadroomError } from '../../../shared/errors.ts';
import { cacheDir } from '../../support/cache-dir.ts';
import { runChecked } from './run-checked.ts';

const SUITE = 'bookworm';
const BASE = [
  'systemd',
  'systemd-sysv',
  'dbus',
  'openssh-server',
  'python3',
  'python3-apt',
  'iproute2',
  'ca-certificates',
  'openssl',
  'adduser',
];
/** Hosts have libvirt before Headroom comes. */
const LATER = ['libpam-systemd', 'libvirt-daemon-system', 'libvirt-daemon-driver-qemu'];

export interface RootOptions {
  /** Packages beyond a host's systemd, sshd and libvirt. */
  packages?: readonly string[];
  /** Packages that wait in a source on the machine itself, which has no way out. */
  offered?: readonly string[];
  /** Lines of shell, run in the root at last. */
  finish?: string;
}

/** Runs in the new root: no service starts, no download stays. */
const finishScript = ({ packages = [], offered = [], finish = '' }: RootOptions): string => `set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -y -q --no-install-recommends ${[...LATER, ...packages].join(' ')}
mkdir -p /srv/packages && cd /srv/packages
for name in ${offered.join(' ')}; do apt-get download -q $name; done
for deb in *.deb; do
  [ -e "$deb" ] || continue
  dpkg-deb -f "$deb"; echo "Filename: ./$deb"; echo "Size: $(stat -c %s "$deb")"; echo "SHA256: $(sha256sum "$deb" | cut -d' ' -f1)"; echo
done > Packages
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list
rm -f /etc/apt/sources.list.d/*
apt-get clean; apt-get update -q
rm /usr/sbin/policy-rc.d
systemctl enable ssh.service libvirtd.socket
mkdir -p /root/.ssh && chmod 700 /root/.ssh
rm -f /etc/machine-id /etc/hostname && touch /etc/machine-id
${finish}`;

/** Where this machine itself gets the suite from. */
function mirror(): string {
  const format = '$(CODENAME) $(REPO_URI)';
  const { stdout } = spawnSync('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], { encoding: 'utf8' });
  const own = stdout.split('\n').find((line) => line.startsWith(`${SUITE} `));
  if (own === undefined) {
    throw new HeadroomError('ENVIRONMENT', `apt here has no source of Debian ${SUITE}: add one, then run apt-get update`);
  }
  return own.slice(SUITE.length + 1);
}

export function debianRoot(tell: (progress: string) => void, options: RootOptions = {}): string {
  const script = finishScript(options);
  const recipe = createHash('sha256')
    .update(JSON.stringify([SUITE, BASE, script]))
    .digest('hex')
    .slice(0, 12);
  const path = join(cacheDir('debian-root'), `${SUITE}-${recipe}`);
  if (existsSync(path)) return path;
  const from = mirror();
  tell(`making a Debian ${SUITE} root with debootstrap from ${from}: some minutes, once`);
  const making = `${path}.making`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { recursive: true });
  try {
    runChecked('debootstrap', ['--variant=minbase', `--include=${BASE.join(',')}`, SUITE, making, from]);
    writeFileSync(join(making, 'root/finish.sh'), script);
    runChecked('chroot', [making, 'sh', '/root/finish.sh']);
  } catch (error) {
    throw new HeadroomError('ENVIRONMENT', `no Debian root could be made from ${from}, so nothing was rolled out or shown`, {
      cause: error,
    });
  }
  renameSync(making, path);
  return path;
}
