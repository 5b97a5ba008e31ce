/**
 * The guest's root disk: busybox, the pinned Node with the shared libraries it needs, the one-file agent and the workload.
 * Input: paths of those; effect: an ext4 image made without mounting anything. It is read-only in the guest, so all guests
 * share one; what they write goes to memory file systems.
 */
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { runChecked } from '../machine/run-command.ts';
import { MEMINFO_AT_BOOT } from '../workload/meminfo-at-boot.ts';

export interface RootDiskParts {
  busybox: string;
  node: string;
  agent: string;
  workload: string;
}

/** Room for Node (about 125 MB), its libraries and the bundles, with some to spare. */
const DISK_MIB = 192;

/**
 * Node's own heap is kept small, since this memory is part of every guest's base; figures from the agent's overhead
 * measurements. The workload keeps its load outside that heap.
 */
const AGENT_NODE_OPTIONS = '--max-semi-space-size=1 --max-old-space-size=32 --v8-pool-size=0';
const WORKLOAD_NODE_OPTIONS = '--max-semi-space-size=1 --max-old-space-size=24 --v8-pool-size=0';

const INIT = `#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=16m tmpfs /run
mount -t tmpfs -o size=16m,mode=1777 tmpfs /tmp
mkdir -p /run/headroom
cat /proc/meminfo > ${MEMINFO_AT_BOOT}
export MALLOC_ARENA_MAX=1 PATH=/bin HOME=/tmp
ip link set lo up
for card in /sys/class/net/e*; do [ -e "$card" ] && ip link set "\${card##*/}" up; done
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  [ -e "$port/name" ] && ln -sf "/dev/\${port##*/}" "/dev/virtio-ports/$(cat "$port/name")"
done
(while :; do node ${WORKLOAD_NODE_OPTIONS} /opt/workload.mjs; echo "workload ended: $?"; sleep 2; done) &
(while :; do node ${AGENT_NODE_OPTIONS} /opt/agent.mjs AGENT_ARGUMENTS; echo "agent ended: $?"; sleep 2; done) &
while :; do wait; sleep 1; done
`;

const APPLETS = ['sh', 'mount', 'mkdir', 'ip', 'ln', 'cat', 'sleep', 'echo', 'mv', 'grep'];
/** Beside root an account that logins may be made for; its home is in memory. */
const ACCOUNTS = 'root:x:0:0:root:/:/bin/sh\nops:x:1000:1000:operator:/tmp/ops:/bin/sh\n';

/** Shared libraries by the dynamic linker's own account, its own path included. */
async function sharedLibraries(program: string): Promise<string[]> {
  const listed = await runChecked('ldd', [program]);
  return [...listed.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map((match) => match[1] as string);
}

export async function makeRootDisk(parts: RootDiskParts, agentArguments: readonly string[], work: string, image: string): Promise<void> {
  const root = join(work, 'root');
  for (const directory of ['bin', 'opt', 'proc', 'sys', 'dev', 'run', 'tmp', 'etc']) mkdirSync(join(root, directory), { recursive: true });
  const put = (from: string, to: string): void => {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    copyFileSync(from, join(root, to));
  };
  put(parts.busybox, 'bin/busybox');
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  put(parts.node, 'bin/node');
  for (const library of await sharedLibraries(parts.node)) {
    // The dynamic linker is named by its full path in the program; the rest it finds in its default directories.
    put(library, basename(library).startsWith('ld-linux') ? library : join('lib', basename(library)));
  }
  put(parts.agent, 'opt/agent.mjs');
  put(parts.workload, 'opt/workload.mjs');
  writeFileSync(join(root, 'etc/passwd'), ACCOUNTS);
  writeFileSync(join(root, 'init'), INIT.replace('AGENT_ARGUMENTS', agentArguments.join(' ')));
  for (const program of ['init', 'bin/busybox', 'bin/node']) chmodSync(join(root, program), 0o755);
  await runChecked('mke2fs', ['-q', '-t', 'ext4', '-d', root, '-L', 'headroom', '-m', '0', '-O', '^has_journal', image, `${DISK_MIB}M`], {
    timeoutMs: 120_000,
  });
}
