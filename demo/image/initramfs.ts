/**
 * The guest's first file system: a static busybox, the modules, and a script that loads them and hands over to the root
 * disk. Kept this small because it stays in the guest's memory. Input: busybox and modules; output: a cpio archive.
 */
import { readFileSync } from 'node:fs';
import { type CpioEntry, cpioArchive, MODE_DIRECTORY, MODE_FILE, MODE_LINK, MODE_PROGRAM } from './cpio.ts';
import type { KernelModule } from './kernel-modules.ts';

/** Printed by a guest that was booted only to see whether guests boot at all. */
export const PROBE_MARKER = 'HEADROOM-GUEST-BOOTED';

const INIT = `#!/bin/sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox mount -t proc proc /proc
if /bin/busybox grep -q headroom.probe /proc/cmdline; then
  echo ${PROBE_MARKER}
  /bin/busybox poweroff -f
fi
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module.ko; done
tries=0
until [ -b /dev/vda ] || [ $tries = 100 ]; do tries=$((tries + 1)); /bin/busybox usleep 50000; done
/bin/busybox mount -t ext4 -o ro /dev/vda /root || { echo 'no root disk'; exec /bin/busybox sh; }
/bin/busybox umount /dev /proc
exec /bin/busybox switch_root /root /init
`;

export function initramfs(busyboxPath: string, modules: readonly KernelModule[]): Buffer {
  const directories = ['bin', 'modules', 'root', 'proc', 'sys', 'dev'];
  const entries: CpioEntry[] = [
    ...directories.map((path) => ({ path, mode: MODE_DIRECTORY })),
    { path: 'bin/busybox', mode: MODE_PROGRAM, content: readFileSync(busyboxPath) },
    { path: 'bin/sh', mode: MODE_LINK, content: Buffer.from('busybox') },
    { path: 'init', mode: MODE_PROGRAM, content: Buffer.from(INIT) },
    { path: 'modules/order', mode: MODE_FILE, content: Buffer.from(modules.map(({ name }) => `${name}\n`).join('')) },
    ...modules.map(({ name, bytes }) => ({ path: `modules/${name}.ko`, mode: MODE_FILE, content: bytes })),
  ];
  return cpioArchive(entries);
}
