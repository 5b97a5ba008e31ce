/**
 * Groups of real guests: aggregator and host agent as processes of their own beside a private libvirtd, a pool of one image, the
 * tiny guest as template, and a load balancer that gives each guest its part of a load. Input: the policy's groups, the load; output:
 * the API, what libvirt has, and the balancer.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { GroupView } from '../../aggregator/http/spawn-service.ts';
import { freePort } from './free-port.ts';
import { type PrivateLibvirtd, privateLibvirtd, virsh } from './libvirtd.ts';
import { LoadBalancer } from './load-balancer.ts';
import { Stack } from './stack.ts';
import { tinyGuestImage } from './tiny-guest.ts';

const POOL = 'templates';
const IMAGE = 'tiny.qcow2';
const TICKS_PER_SECOND = 100;

export interface SpawnStageOptions {
  /** Section `groups` of the policy, as data. */
  groups: object[];
  /** Of all guests of the balancer together, cores. */
  load: () => number;
  stepMs: number;
  seasonsMs: number[];
  /** A guest is taken as booted after it. */
  bootDeadlineSeconds: number;
  /** Hosts keep snapshots: guests may be suspended. */
  suspends?: boolean;
}

export class SpawnStage {
  readonly folder: string;
  readonly stack: Stack;
  readonly balancer: LoadBalancer;
  readonly #libvirtd: PrivateLibvirtd;
  readonly #port: number;
  readonly #bootDeadlineSeconds: number;
  readonly #suspends: boolean;

  constructor(folder: string, libvirtd: PrivateLibvirtd, ports: { stack: number; balancer: number }, options: SpawnStageOptions) {
    this.folder = folder;
    this.#libvirtd = libvirtd;
    this.#port = ports.balancer;
    this.#bootDeadlineSeconds = options.bootDeadlineSeconds;
    this.#suspends = options.suspends ?? false;
    this.balancer = new LoadBalancer(ports.balancer, options.load);
    const policy = {
      version: 1,
      fleet: { lease: '30s', staleAfter: '20s', cpuOvercommit: 8, reserve: { memoryMiB: 256 } },
      groups: options.groups,
    };
    const { stepMs, seasonsMs } = options;
    this.stack = new Stack({
      ...{ folder, port: ports.stack, policy: JSON.stringify(policy), include: '*', stepMs, config: { seasonsMs, demandWindowMs: stepMs } },
      inside: libvirtd.inside,
    });
  }

  /** Of the emulator that runs this guest, user and system. */
  cpuSeconds(name: string): number {
    const pid = readFileSync(join(this.#libvirtd.runFolder, 'qemu', `${name}.pid`), 'utf8').trim();
    // After the name, which may hold spaces: user and system time are the 12th and 13th (proc_pid_stat(5)).
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** A template of the tiny guest; `obeys`: it shuts down when asked. */
  async template(name: string, obeys: boolean, warmPool = 0): Promise<void> {
    const { kernel, initrd } = tinyGuestImage();
    const commandLine = `console=ttyS0 quiet panic=-1 headroom.balancer=${this.#port}${obeys ? ' headroom.qga' : ''}`;
    const template = {
      ...{ version: 1, name, image: { pool: POOL, volume: IMAGE }, domainType: 'qemu', vcpus: 1, memoryMiB: 96 },
      ...{ boot: { kernel, initrd, commandLine }, seed: { cloudInit: { userData: '#cloud-config\n{}\n' } }, networks: [{ user: true }] },
      ...{ ready: { probe: 'booted', within: '3m' }, warmPool },
    };
    await this.ask('PUT', `/v1/templates/${name}`, JSON.stringify(template), 'application/yaml');
  }

  startAgent(): void {
    const { kernel } = tinyGuestImage();
    const builds = ['--build-pool', POOL, '--build-network', 'user', '--build-boot-folder', dirname(kernel)];
    const snapshots = ['--snapshot-dir', join(this.folder, 'snapshots'), '--snapshot-ram-dir', join(this.folder, 'ram')];
    this.stack.startAgent([
      ...builds,
      ...(this.#suspends ? snapshots : []),
      '--memory-reserve-mib',
      '0',
      '--inventory-seconds',
      '2',
      '--boot-deadline-seconds',
      `${this.#bootDeadlineSeconds}`,
    ]);
  }

  async ask<T>(method: string, path: string, body?: string, type = 'application/json'): Promise<T> {
    const payload = body === undefined ? {} : { body, headers: { 'content-type': type } };
    const response = await fetch(`${this.stack.url}${path}`, { method, ...payload });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  group(name: string): Promise<GroupView> {
    return this.stack.get(`/v1/groups/${name}`);
  }

  /** Everything that was made and is there: domains, volumes besides the image, seeds. */
  remains(): { domains: string[]; volumes: string[]; seeds: string[] } {
    const domains = virsh(this.#libvirtd.socket, 'list', '--all', '--name').split('\n').filter(Boolean);
    const volumes = readdirSync(join(this.folder, POOL)).filter((name) => name !== IMAGE);
    const seeds = readdirSync(join(this.stack.stateDir, 'seeds'));
    return { domains, volumes, seeds };
  }

  async stop(): Promise<void> {
    await this.stack.stop();
    this.balancer.close();
    for (const name of this.remains().domains) {
      for (const command of ['destroy', 'undefine']) {
        try {
          virsh(this.#libvirtd.socket, command, name);
        } catch {
          // It may be off already.
        }
      }
    }
    await this.#libvirtd.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  preparePool(): void {
    mkdirSync(join(this.folder, POOL));
    mkdirSync(join(this.stack.stateDir, 'seeds'), { recursive: true });
    virsh(this.#libvirtd.socket, 'pool-create-as', POOL, 'dir', '--target', join(this.folder, POOL));
    virsh(this.#libvirtd.socket, 'vol-create-as', POOL, IMAGE, '16M', '--format', 'qcow2');
  }
}

/** Aggregator and agent run; templates are still to be sent. */
export async function spawnStage(options: SpawnStageOptions): Promise<SpawnStage> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-spawn-'));
  const libvirtd = await privateLibvirtd();
  const stage = new SpawnStage(folder, libvirtd, { stack: await freePort(), balancer: await freePort() }, options);
  stage.preparePool();
  stage.stack.startAggregator();
  stage.startAgent();
  return stage;
}
