/**
 * A whole Debian machine in an emulated PC: its own kernel and systemd, control groups of version 2, memory, swap and a kernel that
 * kills when both are gone. Its disk is an overlay on one made of a Debian root, kept in the cache; it reaches nothing, and is reached
 * by ssh on a loopback port alone. Input: a root, a folder of files for it, sizes; output: commands run in it, and its boots.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cacheDir } from '../../support/cache-dir.ts';
import { type Done, runChecked, runToEnd } from './run-checked.ts';

export interface MachineOptions {
  /** Root of debootstrap's with a kernel in /boot. */
  root: string;
  /** Where its overlay, console log and key are kept. */
  folder: string;
  /** What it finds read-only in /srv/brought. */
  brought: string;
  sshPort: number;
  memoryMiB: number;
  swapMiB: number;
  cpus: number;
}

const DISK_MIB = 6144;
const TUNNEL_AGAIN_MS = 2000;
/** Emulated on a busy machine, systemd takes a minute to come up. */
const BOOT_MS_MAX = 600_000;
const COMMAND_SECONDS_TO_CONNECT = 20;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A file system of a folder's files, owned as they are. */
function fileSystem(folder: string, image: string, label: string, sizeMiB: number): void {
  runChecked('mke2fs', ['-q', '-F', '-t', 'ext4', '-L', label, '-d', folder, image, `${sizeMiB}M`]);
}

/** Made once per root. */
function baseDisk(root: string): string {
  const disk = join(cacheDir('machine-disks'), `${basename(root)}.img`);
  if (!existsSync(disk)) {
    fileSystem(root, `${disk}.making`, 'root', DISK_MIB);
    renameSync(`${disk}.making`, disk);
  }
  return disk;
}

function only(pattern: string, cwd: string): string {
  const found = globSync(pattern, { cwd });
  if (found.length !== 1) throw new Error(`one ${pattern} is expected in ${cwd}, there are ${found.length}`);
  return join(cwd, found[0]!);
}

export class EmulatedMachine {
  readonly #options: MachineOptions;
  readonly #sshKey: string;
  #child: ChildProcess | null = null;
  #tunnel: ChildProcess | null = null;

  constructor(options: MachineOptions) {
    this.#options = options;
    const { folder, root, brought, swapMiB } = options;
    this.#sshKey = join(folder, 'key');
    runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.#sshKey]);
    runChecked('cp', [`${this.#sshKey}.pub`, join(brought, 'authorized_keys')]);
    fileSystem(brought, this.#file('brought.img'), 'brought', 1024);
    runChecked('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', baseDisk(root), '-F', 'raw', this.#file('root.qcow2')]);
    runChecked('qemu-img', ['create', '-q', '-f', 'raw', this.#file('swap.img'), `${swapMiB}M`]);
    runChecked('mkswap', ['-q', '-L', 'swap', this.#file('swap.img')]);
  }

  get console(): string {
    return existsSync(this.#file('console')) ? readFileSync(this.#file('console'), 'utf8') : '';
  }

  /** Switches it on, and waits until it is up. */
  async boot(): Promise<void> {
    const { root, memoryMiB, cpus, sshPort } = this.#options;
    const disk = (name: string, format: string, more = ''): string[] => [
      '-drive',
      `file=${this.#file(name)},format=${format},if=virtio,cache=unsafe${more}`,
    ];
    this.#child = spawn(
      'qemu-system-x86_64',
      [
        ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', String(cpus), '-m', String(memoryMiB)],
        ...['-nodefaults', '-display', 'none', '-device', 'virtio-rng-pci'],
        ...['-kernel', only('vmlinuz-*', join(root, 'boot')), '-initrd', only('initrd.img-*', join(root, 'boot'))],
        ...['-append', 'root=/dev/vda rw console=ttyS0 psi=1 systemd.show_status=no loglevel=4'],
        ...['-serial', `file:${this.#file('console')}`],
        ...disk('root.qcow2', 'qcow2'),
        ...disk('swap.img', 'raw'),
        ...disk('brought.img', 'raw', ',readonly=on'),
        // Nobody but this machine's loopback reaches it, and it reaches nobody.
        ...['-netdev', `user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:${sshPort}-:22`, '-device', 'virtio-net-pci,netdev=net0'],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    await this.untilUp('');
  }

  /** Shell lines in the machine, as root. */
  run(command: string): Done {
    return runToEnd('ssh', [...this.#ssh(), command]);
  }

  #ssh(...options: string[]): string[] {
    return [
      ...['-i', this.#sshKey, '-p', String(this.#options.sshPort), '-o', `ConnectTimeout=${COMMAND_SECONDS_TO_CONNECT}`],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR', '-o', 'ServerAliveInterval=20'],
      ...[...options, 'root@127.0.0.1'],
    ];
  }

  /** From now on, over its boots, what connects to this port of its loopback reaches that port of ours. */
  lend(port: number, toPort: number): void {
    const tunnel = spawn('ssh', this.#ssh('-N', '-o', 'ExitOnForwardFailure=yes', '-R', `127.0.0.1:${port}:127.0.0.1:${toPort}`), {
      stdio: 'ignore',
    });
    this.#tunnel = tunnel;
    tunnel.once('exit', () => {
      if (this.#tunnel === tunnel) setTimeout(() => this.#tunnel === tunnel && this.lend(port, toPort), TUNNEL_AGAIN_MS);
    });
  }

  /** The same, and it must end well; its output, trimmed. */
  ok(command: string): string {
    const { status, output } = this.run(command);
    if (status !== 0) throw new Error(`in the machine: ${command}: ended with ${status}:\n${output.trim()}`);
    return output.trim();
  }

  bootId(): string {
    return this.run('cat /proc/sys/kernel/random/boot_id').output.trim();
  }

  /** Waits until systemd has brought it up in another boot than the one named. */
  async untilUp(bootBefore: string): Promise<void> {
    const startedMs = Date.now();
    for (;;) {
      const { status, output } = this.run('systemctl is-system-running; cat /proc/sys/kernel/random/boot_id');
      const [state = '', boot = ''] = output.trim().split('\n');
      if (status === 0 && /^(running|degraded)$/.test(state) && boot !== bootBefore) return;
      if (this.#child?.exitCode !== null) throw new Error(`the machine ended:\n${this.console.slice(-2000)}`);
      if (Date.now() - startedMs > BOOT_MS_MAX)
        throw new Error(`the machine was not up in ${BOOT_MS_MAX / 1000} s (${state}):\n${this.console.slice(-2000)}`);
      await pause(2000);
    }
  }

  /** As by pulling its plug: what its kernel had not written is gone. */
  async cutPower(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    await new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
  }

  async remove(): Promise<void> {
    const tunnel = this.#tunnel;
    this.#tunnel = null;
    tunnel?.kill();
    await this.cutPower();
    rmSync(this.#options.folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    return join(this.#options.folder, name);
  }
}

/** What a root needs to be a machine's disk. */
export const MACHINE_FINISH = `printf 'LABEL=root / ext4 defaults 0 1\\nLABEL=swap none swap sw 0 0\\nLABEL=brought /srv/brought ext4 ro 0 0\\n' > /etc/fstab
mkdir -p /srv/brought /etc/systemd/network
printf '[Match]\\nName=en* eth*\\n[Network]\\nAddress=10.0.2.15/24\\n' > /etc/systemd/network/10-all.network
systemctl enable systemd-networkd.service
ln -sf /srv/brought/authorized_keys /root/.ssh/authorized_keys
printf 'StrictModes no\\n' > /etc/ssh/sshd_config.d/machine.conf
# Guests of the tests know nothing of buttons: a shutdown need not wait for them as long as for others.
printf 'SHUTDOWN_TIMEOUT=10\\n' > /etc/default/libvirt-guests
echo kvm-1 > /etc/hostname; echo '127.0.0.1 localhost kvm-1' > /etc/hosts`;
