/**
 * One VM and two hosts that may bring it back: an aggregator, two host agents as processes of their own, each in a network of its own with
 * a libvirt daemon of its own, one wire between them that can be slowed and cut, and the disk both see. Input: the guest's memory; output:
 * the guest, the command line, the API, the wire.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearPlace } from '../../agent/snapshot/memory-place.ts';
import type { SuspendOrderView, SuspensionView } from '../../aggregator/http/suspend-service.ts';
import { headroom } from './cli.ts';
import { freePort } from './free-port.ts';
import { type PrivateLibvirtd, privateLibvirtd, sharedFolder } from './libvirtd.ts';
import { eventually, Stack } from './stack.ts';
import { bootSuspendable, type WorldGuest } from './suspendable-guest.ts';
import { type TwoHosts, twoHosts } from './two-hosts.ts';

const root = join(import.meta.dirname, '../..');
const NODE = join(root, 'node_modules/.bin/node');
const LEND_PORT = 7411;
const HEARD_MS_MAX = 120_000;
const POLICY = { version: 1, fleet: { lease: '30s', staleAfter: '20s', reserve: { memoryMiB: 0 } } };
const PLACES = { alpha: 'a', beta: 'b' } as const;

export type HostName = keyof typeof PLACES;

export interface TwoHostStage {
  guest: WorldGuest;
  wire: TwoHosts;
  libvirtds: Record<HostName, PrivateLibvirtd>;
  /** A line of the command line, which must succeed; answers the order as it ended. */
  order(line: string): Promise<SuspendOrderView>;
  orders(): Promise<SuspendOrderView[]>;
  suspension(): Promise<SuspensionView | undefined>;
  log(host: HostName): string;
  /** What the guest said on its serial line. */
  said(): string;
  /** Where its own disks lie, which the other does not look into; with `ownDisks` alone. */
  images(host: HostName): string;
  /** The tenant's snapshots. */
  storeFolder(host: HostName): string;
  startAgent(host: HostName): Promise<void>;
  killAgent(host: HostName): Promise<void>;
  stop(): Promise<void>;
}

/** A qcow2 image on the first host, which the guest can write to. */
const OWN_DISK_MIB = 256;
const ownDisk = (path: string): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='vdb' bus='virtio'/><serial>headroom-storage</serial></disk>`;

/**
 * @param ownDisks the guest has a second disk, which the host it is on alone sees
 * @param lazily it runs elsewhere before all of that has come
 * @param learnSeconds after a resume, what it touched is looked at
 */
export async function twoHostStage(memoryMiB: number, { ownDisks = false, lazily = false, learnSeconds = 2 } = {}): Promise<TwoHostStage> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-two-hosts-'));
  const ram = sharedFolder('/dev/shm', 'headroom-guests-');
  const wire = await twoHosts();
  const libvirtds = {
    alpha: await privateLibvirtd({ seesMounts: true, hostUuid: '6f1b0000-0000-4000-8000-00000000b010' }),
    beta: await privateLibvirtd({ seesMounts: true, hostUuid: '6f1b0000-0000-4000-8000-00000000b011' }),
  };
  const port = await freePort();
  const stack = new Stack({ folder, port, policy: JSON.stringify(POLICY), include: '*', stepMs: 2000, inside: [] });
  const line = await managementLine(join(folder, 'aggregator.sock'), port);
  const images = (host: HostName): string => join(folder, `${host}-images`);
  const disk = join(images('alpha'), 'desktop.qcow2');
  if (ownDisks) {
    for (const host of ['alpha', 'beta'] as const) mkdirSync(images(host));
    chmodSync(folder, 0o755);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', disk, `${OWN_DISK_MIB}M`]);
  }
  const devices = ownDisks ? ownDisk(disk) : '';
  const guest = await bootSuspendable(libvirtds.alpha, ram.path, { name: 'desktop', number: 22, memoryMiB, devices });
  const agents = new Map<HostName, ChildProcess>();
  const logOf = (host: HostName): string => join(folder, `${host}.log`);
  const log = (host: HostName): string => readFileSync(logOf(host), 'utf8');
  const welcomes = (host: HostName): number => (agents.has(host) ? log(host).split('connected to the aggregator').length : 1);
  const said = (): string => readFileSync(join(ram.path, 'desktop.console'), 'utf8');
  const ramOf = (host: HostName): string => join(ram.path, host);
  const killAgent = async (host: HostName): Promise<void> => {
    const agent = agents.get(host);
    if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    agent.kill('SIGKILL');
    await ended;
  };
  const startAgent = async (host: HostName): Promise<void> => {
    const before = welcomes(host);
    const output = openSync(logOf(host), 'a');
    const [program, ...args] = [
      ...wire.inside[PLACES[host]],
      ...[NODE, '--disable-warning=ExperimentalWarning', join(root, 'agent/main.ts'), 'host', '--host', host],
      ...['--aggregator', `ws+unix://${join(folder, 'aggregator.sock')}:/v1/agents`, '--state-dir', join(folder, host), '--include', '*'],
      ...['--connect', `qemu:///system?socket=${libvirtds[host].socket}`, '--memory-reserve-mib', '0', '--inventory-seconds', '1'],
      ...[
        '--snapshot-dir',
        join(folder, host, 'snapshots'),
        '--snapshot-ram-dir',
        ramOf(host),
        '--resume-learn-seconds',
        String(learnSeconds),
      ],
      ...['--snapshot-listen', `${wire.address[PLACES[host]]}:${LEND_PORT}`],
      ...(ownDisks ? ['--local-disks', images(host)] : []),
      ...(lazily ? ['--local-disks-lazily'] : []),
    ];
    agents.set(host, spawn(program!, args, { stdio: ['ignore', output, output] }));
    closeSync(output);
    await eventually(`the aggregator to welcome ${host}`, () => welcomes(host) > before, HEARD_MS_MAX);
  };
  const stage: TwoHostStage = {
    ...{ guest, wire, libvirtds, startAgent, killAgent, log, said, images },
    storeFolder: (host) => join(folder, host, 'snapshots', 'default'),
    async order(line) {
      const { code, out, err } = await headroom(`${line} --url ${stack.url} -o json`);
      if (code !== 0) throw new Error(`headroom ${line} ended with ${code}: ${err}${out}`);
      return JSON.parse(out) as SuspendOrderView;
    },
    orders: async () => (await stack.get<{ items: SuspendOrderView[] }>('/v1/suspensions/orders')).items,
    suspension: async () => (await stack.get<{ items: SuspensionView[] }>('/v1/suspensions')).items.find(({ vm }) => vm === guest.vm),
    async stop() {
      guest.close();
      // The guest first: it may need a chunk from an agent to end.
      for (const libvirtd of Object.values(libvirtds)) await libvirtd.stop();
      for (const host of agents.keys()) await killAgent(host);
      await stack.stop();
      line.close();
      for (const host of agents.keys()) await clearPlace(join(ramOf(host), 'resumed', guest.vm));
      wire.close();
      ram.remove();
      if (process.env.KEEP) console.error(folder);
      else rmSync(folder, { recursive: true, force: true });
    },
  };
  stack.startAggregator();
  for (const host of ['alpha', 'beta'] as const) await startAgent(host);
  await eventually('the aggregator to hear of the guest', () => stack.get(`/v1/vms/${guest.vm}`), HEARD_MS_MAX);
  return stage;
}

/** A network of its own for the aggregator: a socket that both hosts see. */
async function managementLine(path: string, port: number): Promise<Server> {
  const server = createServer((socket) => {
    const other = connect(port, '127.0.0.1');
    socket.pipe(other).pipe(socket);
    socket.on('error', () => other.destroy());
    other.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  server.unref();
  return server;
}
