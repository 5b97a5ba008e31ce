/**
 * A libvirt daemon for tests, in a mount namespace of its own (own sockets, state and definitions): a test may kill and
 * restart it without disturbing the machine's. Needs root. `virsh` runs the command line client, as a foreign writer. Its
 * QEMUs run as root: where /dev/kvm is root's alone, a daemon whose guests may not use it probes its emulators anew
 * (seconds each time) for every definition and start.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS_MAX = 30_000;
const CLEAR_MS_MAX = 20_000;

export interface Libvirtd {
  socket: string;
  stop(): Promise<void>;
}

export interface PrivateLibvirtd extends Libvirtd {
  /** Folder that stands in for /run/libvirt: in RAM as that is, since libvirt syncs what it writes there at each step of a start. */
  runFolder: string;
  /** Where it keeps what it saves of guests. */
  saveFolder: string;
  /** Begin of a command line that runs a program where this daemon has its default paths. */
  inside: readonly string[];
  kill(): Promise<void>;
  start(): Promise<void>;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on('error', () => resolve(false));
  });
}

async function waitFor(socket: string): Promise<void> {
  for (let waitedMs = 0; !(await answers(socket)); waitedMs += 100) {
    if (waitedMs > START_MS_MAX) throw new Error(`libvirtd did not answer on ${socket} within ${START_MS_MAX} ms`);
    await pause(100);
  }
}

/** What a libvirtd keeps on disk: each is covered by a folder of the private one. */
const RUN = '/run/libvirt';
const COVERED = [RUN, '/var/lib/libvirt', '/etc/libvirt', '/var/log/libvirt', '/var/cache/libvirt'] as const;

function privateFolders(folder: string, runFolder: string, hostUuid: string | null): string {
  const binds = COVERED.map((path) => {
    const own = path === RUN ? runFolder : join(folder, path.replaceAll('/', '_').slice(1));
    mkdirSync(own, { recursive: true });
    mkdirSync(path, { recursive: true });
    return `mount --bind ${own} ${path}`;
  });
  const etc = join(folder, 'etc_libvirt');
  if (existsSync('/etc/libvirt/nwfilter')) cpSync('/etc/libvirt/nwfilter', join(etc, 'nwfilter'), { recursive: true });
  const identity = hostUuid === null ? '' : `host_uuid = "${hostUuid}"\n`;
  writeFileSync(join(etc, 'libvirtd.conf'), `auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n${identity}`);
  writeFileSync(join(etc, 'qemu.conf'), 'user = "root"\ngroup = "root"\nnamespaces = []\nstdio_handler = "file"\n');
  return binds.join(' && ');
}

/**
 * @param ownNetwork interfaces, bridges and packet filters of its own too, apart from the machine's
 * @param hostUuid what it calls its machine, where two are to take each other for two; absent: the machine's own
 * @param seesMounts what is mounted later in folders that are shared (see `sharedFolder`) is seen by its guests too
 */
export async function privateLibvirtd({
  ownNetwork = false,
  seesMounts = false,
  hostUuid = null as string | null,
} = {}): Promise<PrivateLibvirtd> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-private-'));
  const runFolder = mkdtempSync('/dev/shm/headroom-libvirt-');
  const binds = privateFolders(folder, runFolder, hostUuid);
  const holder = spawn(
    'unshare',
    [
      ...(ownNetwork ? ['-n'] : []),
      '-m',
      '--propagation',
      seesMounts ? 'slave' : 'private',
      'sh',
      '-c',
      `${binds} && echo ready && exec sleep infinity`,
    ],
    {
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  );
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('exit', () => reject(new Error('a mount namespace could not be made: root is needed')));
  });
  const inside = ['nsenter', '-t', String(holder.pid), '-m', ...(ownNetwork ? ['-n'] : [])];
  const socket = join(runFolder, 'libvirt-sock');
  let daemon: ChildProcess | null = null;
  const start = async (): Promise<void> => {
    daemon = spawn(inside[0]!, [...inside.slice(1), 'libvirtd', '-p', '/run/libvirt/private.pid'], { stdio: 'ignore' });
    await waitFor(socket);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!daemon?.pid) return;
    const ended = daemon;
    daemon = null;
    const closed = new Promise((resolve) => ended.once('exit', resolve));
    if (ended.exitCode === null && ended.signalCode === null) {
      ended.kill(signal);
      await closed;
    }
  };
  await start();
  // A test that breaks before its teardown leaves no guest, daemon or folder either.
  const clear = (): void => {
    killGuests(runFolder);
    daemon?.kill('SIGKILL');
    holder.kill('SIGKILL');
    for (const one of [folder, runFolder]) rmSync(one, { recursive: true, force: true });
  };
  process.once('exit', clear);
  return {
    socket,
    runFolder,
    saveFolder: join(folder, 'var_lib_libvirt', 'qemu', 'save'),
    inside,
    start,
    kill: () => end('SIGKILL'),
    stop: async () => {
      process.off('exit', clear);
      killGuests(runFolder);
      await guestsGone(socket);
      await end('SIGTERM');
      clear();
    },
  };
}

/** Ends the QEMUs that this daemon started: one that ignores a polite word would cost `destroy` ten seconds. */
function killGuests(runFolder: string): void {
  for (const file of globSync(join(runFolder, 'qemu', '*.pid'))) {
    try {
      const pid = Number(readFileSync(file, 'utf8'));
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('qemu')) process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

/** Killed guests leave what the daemon alone removes: interfaces, filters, state. */
async function guestsGone(socket: string): Promise<void> {
  for (let waitedMs = 0; waitedMs < CLEAR_MS_MAX && guestNames(socket) !== ''; waitedMs += 100) await pause(100);
}

function guestNames(socket: string): string {
  const uri = `qemu+unix:///system?socket=${socket}`;
  return spawnSync('virsh', ['-q', '-c', uri, 'list', '--name'], { encoding: 'utf8', timeout: 10_000 }).stdout?.trim() ?? '';
}

/** A new folder whose mounts reach namespaces made from then on. `remove` takes it away, with what is mounted in it. */
export function sharedFolder(parent: string, prefix: string): { path: string; remove(): void } {
  const path = mkdtempSync(join(parent, prefix));
  const mounted = [
    ['--bind', path, path],
    ['--make-shared', path],
  ].every((args) => spawnSync('mount', args).status === 0);
  if (!mounted) throw new Error(`${path} could not be mounted onto itself: root is needed`);
  const remove = (): void => {
    process.off('exit', remove);
    spawnSync('umount', ['--recursive', '--lazy', path]);
    rmSync(path, { recursive: true, force: true });
  };
  process.once('exit', remove);
  return { path, remove };
}

/** Runs virsh against a socket and returns its output; throws with virsh's own words when it fails. */
export const virsh = (socket: string, ...args: string[]): string => virshOn(socket, 'qemu:///system', ...args);

/** The same against another driver of the daemon, such as `test:///default`. */
export function virshOn(socket: string, uri: string, ...args: string[]): string {
  const target = `${uri.replace('://', '+unix://')}?socket=${socket}`;
  const done = spawnSync('virsh', ['-q', '-c', target, ...args], { encoding: 'utf8', timeout: 60_000 });
  if (done.error || done.status !== 0) throw new Error(`virsh ${args.join(' ')}: ${done.error?.message ?? done.stderr.trim()}`);
  return done.stdout;
}
