/**
 * Two hosts' networks on one machine: two network namespaces with one wire between them. Output: command lines that run a program in
 * either, the addresses, and the wire to cut. Needs root, unshare, nsenter and ip; touches no interface of the machine's own.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';

export interface TwoHosts {
  /** Begin of a command line that runs a program in the network of one. */
  inside: { a: readonly string[]; b: readonly string[] };
  address: { a: string; b: string };
  /** Packets are dropped from now on, or pass again: nobody is told. */
  wire(up: boolean): void;
  /** No more than so much passes from now on, each way. */
  slow(mbitPerSecond: number): void;
  close(): void;
}

export async function twoHosts(): Promise<TwoHosts> {
  const holders = [await network(), await network()] as const;
  const [a, b] = holders.map(({ pid }) => ['nsenter', '-t', String(pid), '-n']) as [string[], string[]];
  const address = { a: '10.99.0.1', b: '10.99.0.2' };
  const run = (host: readonly string[], program: string, args: string[]): void => {
    const done = spawnSync(host[0]!, [...host.slice(1), program, ...args], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.error?.message ?? done.stderr}`);
  };
  const ip = (host: readonly string[], ...args: string[]): void => run(host, 'ip', args);
  ip(a, 'link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', String(holders[1].pid));
  for (const [host, own] of [
    [a, address.a],
    [b, address.b],
  ] as const) {
    ip(host, 'address', 'add', `${own}/24`, 'dev', 'wire');
    ip(host, 'link', 'set', 'wire', 'up');
  }
  return {
    inside: { a, b },
    address,
    wire: (up) => ip(b, 'link', 'set', 'wire', up ? 'up' : 'down'),
    slow(mbitPerSecond) {
      const shape = ['rate', `${mbitPerSecond}mbit`, 'burst', '64kb', 'latency', '400ms'];
      for (const host of [a, b]) run(host, 'tc', ['qdisc', 'replace', 'dev', 'wire', 'root', 'tbf', ...shape]);
    },
    close: () => {
      for (const holder of holders) holder.kill('SIGKILL');
    },
  };
}

async function network(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['-n', 'sh', '-c', 'echo ready && exec sleep infinity'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise<void>((resolve, reject) => {
    holder.stdout.once('data', () => resolve());
    holder.once('error', reject);
    holder.once('exit', () => reject(new Error('a network namespace could not be made: root is needed')));
  });
  process.once('exit', () => holder.kill('SIGKILL'));
  return holder;
}
