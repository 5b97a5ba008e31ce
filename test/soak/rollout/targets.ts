/**
 * Machines to roll out to: containers by systemd-nspawn with systemd as their first process and sshd, each in a network namespace of
 * its own, joined by a bridge in one more namespace that reaches nothing else. They share one read-only root; what they write is in
 * memory and ends with them. Input: the root, names; output: addresses, and commands in them by ssh.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Done, runChecked, runToEnd } from '../machines/run-checked.ts';

export interface Target {
  name: string;
  address: string;
}

export interface Targets {
  all: readonly Target[];
  /** Where Ansible runs: it reaches the targets and nothing else. */
  hub: readonly string[];
  sshKey: string;
  /** Begin of a command line that runs a program of this machine in a target's network. */
  network(name: string): readonly string[];
  /** A shell command in a target. */
  run(name: string, command: string): Done;
  stop(): void;
}

const BOOT_MS_MAX = 180_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const ip = (...args: string[]): string => runChecked('ip', args);

function joinNetwork(names: readonly string[], prefix: string): { hub: string; targets: Target[] } {
  const hub = `${prefix}-hub`;
  ip('netns', 'add', hub);
  ip('-n', hub, 'link', 'set', 'lo', 'up');
  ip('-n', hub, 'link', 'add', 'bridge0', 'type', 'bridge');
  ip('-n', hub, 'addr', 'add', '10.77.0.1/24', 'dev', 'bridge0');
  ip('-n', hub, 'link', 'set', 'bridge0', 'up');
  const targets = names.map((name, index) => {
    const [space, address] = [`${prefix}-${name}`, `10.77.0.${10 + index}`];
    ip('netns', 'add', space);
    ip('-n', hub, 'link', 'add', `v${index}`, 'type', 'veth', 'peer', 'name', 'host0', 'netns', space);
    ip('-n', hub, 'link', 'set', `v${index}`, 'master', 'bridge0', 'up');
    ip('-n', space, 'link', 'set', 'lo', 'up');
    ip('-n', space, 'addr', 'add', `${address}/24`, 'dev', 'host0');
    ip('-n', space, 'link', 'set', 'host0', 'up');
    return { name, address };
  });
  return { hub, targets };
}

function boot(root: string, { name }: Target, prefix: string, keys: string): ChildProcess {
  const own = [
    ...[`--machine=${prefix}-${name}`, `--hostname=${name}`, `--network-namespace-path=/run/netns/${prefix}-${name}`],
    ...['--volatile=overlay', '--register=no', '--keep-unit', '--quiet', '--console=pipe', '--resolv-conf=off'],
    `--bind-ro=${keys}:/root/.ssh/authorized_keys`,
  ];
  return spawn('setpriv', ['--pdeathsig', 'TERM', 'systemd-nspawn', ...own, '-D', root, '-b'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SYSTEMD_NSPAWN_LOCK: '0' },
  });
}

/** A container ends with its first process, which is nspawn's child: killed, nspawn itself would leave it running. */
function end(pid: number | undefined): void {
  if (pid === undefined || !existsSync(`/proc/${pid}`)) return;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  for (const each of [...children, pid]) {
    try {
      process.kill(each, 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
}

export async function openTargets(root: string, names: readonly string[], folder: string): Promise<Targets> {
  mkdirSync(folder, { recursive: true });
  const sshKey = join(folder, 'key');
  runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', sshKey]);
  const prefix = `hr${process.pid}`;
  const spaces = ['hub', ...names].map((name) => `${prefix}-${name}`);
  const booted: ChildProcess[] = [];
  const interrupted = (): void => process.exit(1);
  const stop = (): void => {
    process.off('exit', stop);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
    for (const child of booted) end(child.pid);
    for (const space of spaces) spawnSync('ip', ['netns', 'delete', space]);
  };
  process.once('exit', stop);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  const { hub, targets } = joinNetwork(names, prefix);
  for (const target of targets) booted.push(boot(root, target, prefix, `${sshKey}.pub`));
  const inHub = ['ip', 'netns', 'exec', hub];
  const options = [
    '-i',
    sshKey,
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
    '-o',
    'ConnectTimeout=5',
  ];
  const run = (name: string, command: string): Done => {
    const { address } = targets.find((target) => target.name === name)!;
    return runToEnd(inHub[0]!, [...inHub.slice(1), 'ssh', ...options, `root@${address}`, command]);
  };
  const startedMs = Date.now();
  for (const { name } of targets) {
    while (!/^(running|degraded)/.test(run(name, 'systemctl is-system-running').output)) {
      if (Date.now() - startedMs > BOOT_MS_MAX) {
        stop();
        throw new Error(`${name} did not come up in ${BOOT_MS_MAX / 1000} s: ${readFileSync('/proc/loadavg', 'utf8')}`);
      }
      await pause(1000);
    }
  }
  return { all: targets, hub: inHub, sshKey, network: (name) => ['ip', 'netns', 'exec', `${prefix}-${name}`], run, stop };
}
