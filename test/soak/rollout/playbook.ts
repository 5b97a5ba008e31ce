/**
 * Runs the playbook as an administrator would, in the network namespace that reaches the targets. Input: targets, further
 * variables; output: per machine what Ansible counted, and everything it said.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ROOT } from '../../../scripts/packaging/release.ts';
import { runToEnd } from '../machines/run-checked.ts';
import type { Targets } from './targets.ts';

export interface Counted {
  ok: number;
  changed: number;
  unreachable: number;
  failed: number;
  rescued: number;
}

export interface Played {
  status: number;
  recap: Readonly<Record<string, Counted>>;
  output: string;
  seconds: number;
}

export type Groups = Readonly<Record<string, Readonly<Record<string, Readonly<Record<string, unknown>>>>>>;

export interface Play {
  arguments?: readonly string[];
  variables?: Readonly<Record<string, unknown>>;
}

export function openPlaybook(targets: Targets, groups: Groups, shared: Readonly<Record<string, unknown>>, folder: string) {
  const inventory = join(folder, 'inventory.yml');
  const hosts = (group: Groups[string]) =>
    Object.fromEntries(
      Object.entries(group).map(([name, own]) => [
        name,
        { ansible_host: targets.all.find((target) => target.name === name)!.address, ...own },
      ]),
    );
  const ssh = '-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ControlMaster=auto -o ControlPersist=60s';
  const vars = { ansible_user: 'root', ansible_ssh_private_key_file: targets.sshKey, ansible_ssh_common_args: ssh, ...shared };
  const children = Object.fromEntries(Object.entries(groups).map(([name, group]) => [name, { hosts: hosts(group) }]));
  writeFileSync(inventory, stringify({ all: { vars, children } }));
  return (play: Play = {}): Played => {
    const startedMs = performance.now();
    const extra = ['-e', JSON.stringify(play.variables ?? {}), ...(play.arguments ?? [])];
    const command = [...targets.hub, 'ansible-playbook', '-i', inventory, 'site.yml', ...extra];
    const { status, output } = runToEnd(command[0]!, command.slice(1), {
      directory: join(ROOT, 'ansible'),
      environment: {
        ANSIBLE_NOCOLOR: '1',
        ANSIBLE_HOME: join(folder, 'ansible'),
        // Addresses are those of every run: a connection kept open would lead to another run's machine.
        ANSIBLE_SSH_CONTROL_PATH_DIR: join(folder, 'cp'),
        LC_ALL: 'C.UTF-8',
      },
    });
    return { status, output, recap: recapOf(output), seconds: Math.round((performance.now() - startedMs) / 1000) };
  };
}

function recapOf(output: string): Record<string, Counted> {
  const lines = output.slice(output.lastIndexOf('PLAY RECAP')).matchAll(/^(\S+)\s+: (.+)$/gm);
  return Object.fromEntries(
    [...lines].map(([, name, counts]) => {
      const numbers = Object.fromEntries([...counts!.matchAll(/(\w+)=(\d+)/g)].map(([, key, value]) => [key, Number(value)]));
      return [name, numbers as unknown as Counted];
    }),
  );
}
