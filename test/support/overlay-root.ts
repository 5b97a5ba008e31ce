/**
 * This machine's own Debian as a root file system that may be changed and thrown away: an overlay whose lower layer is `/`, with
 * its own dpkg database, users and units, and no service manager. Needs root. Everything is mounted in a mount namespace of its
 * own, which ends with its holder: nothing of it can be left behind, and no clean-up here reaches what is mounted there.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface OverlayRoot {
  /** Where it is seen from this machine. */
  path: string;
  /** Shows a folder of this machine in it. */
  bind(folder: string, at: string): void;
  run(command: readonly string[]): { status: number | null; output: string };
  start(command: readonly string[]): ChildProcess;
  remove(): void;
}

const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
/** Installing a package with its Node on a busy machine. */
const RUN_MS_MAX = 120_000;

/** The layer is memory: writing packages to a disk would take most of a test. */
function mounts(folder: string): string {
  const [layer, root] = [join(folder, 'layer'), join(folder, 'root')];
  return [
    `mount -t tmpfs -o size=2g tmpfs ${layer}`,
    `mkdir ${layer}/upper ${layer}/work`,
    `mount -t overlay -o lowerdir=/,upperdir=${layer}/upper,workdir=${layer}/work overlay ${root}`,
    `mount -t proc proc ${root}/proc`,
    `mount -t tmpfs tmpfs ${root}/run`,
    `mount --rbind /dev ${root}/dev`,
    `mount --rbind /sys ${root}/sys`,
  ].join(' && ');
}

export async function openOverlayRoot(): Promise<OverlayRoot> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-root-'));
  const root = join(folder, 'root');
  for (const each of [join(folder, 'layer'), root]) mkdirSync(each);
  const script = `${mounts(folder)} && echo ready && exec sleep infinity`;
  const holder = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '-m', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('exit', () => reject(new Error('no root file system could be mounted: root and the overlay file system are needed')));
  });
  const within = ['-t', String(holder.pid), '-m'];
  const path = `/proc/${holder.pid}/root${root}`;
  return {
    path,
    bind(from, at) {
      const script = `mkdir -p ${root}${at} && mount --bind ${from} ${root}${at}`;
      const { status, stderr } = spawnSync('nsenter', [...within, 'sh', '-c', script], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`${script}: ${stderr}`);
    },
    run(command) {
      const done = spawnSync('nsenter', [...within, 'chroot', root, ...command], {
        encoding: 'utf8',
        timeout: RUN_MS_MAX,
        env: ENVIRONMENT,
      });
      return { status: done.status, output: `${done.stdout}${done.stderr}` };
    },
    start: (command) => spawn('nsenter', [...within, 'chroot', root, ...command], { stdio: 'ignore', env: ENVIRONMENT }),
    remove() {
      holder.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
