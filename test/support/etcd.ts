/**
 * A real etcd on loopback, of one member or several, in folders of its own. Input: how many members. Output: their
 * addresses, kill, stop and continue of each by its number, who leads, how much is stored; everything ends with `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';

const START_MS_MAX = 30_000;

export interface EtcdCluster {
  endpoints: string[];
  start(member: number): Promise<void>;
  signal(member: number, signal: NodeJS.Signals): void;
  /** -1: nobody leads now. */
  leader(): Promise<number>;
  stop(): Promise<void>;
}

interface Status {
  leader?: string;
  header: { member_id: string };
}

/** `more`: flags in the place of those here. */
export async function startEtcd(members = 1, more: Readonly<Record<string, string>> = {}): Promise<EtcdCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'headroom-etcd-'));
  const places: { client: string; peer: string }[] = [];
  for (let i = 0; i < members; i++)
    places.push({ client: `http://127.0.0.1:${await freePort()}`, peer: `http://127.0.0.1:${await freePort()}` });
  const cluster = places.map(({ peer }, i) => `m${i}=${peer}`).join(',');
  const children: (ChildProcess | null)[] = places.map(() => null);
  let log = '';
  const spawned = (i: number): ChildProcess => {
    const { client, peer } = places[i]!;
    const flags = {
      ...{ name: `m${i}`, 'data-dir': join(folder, `m${i}`), 'listen-client-urls': client, 'advertise-client-urls': client },
      ...{ 'listen-peer-urls': peer, 'initial-advertise-peer-urls': peer, 'initial-cluster': cluster },
      ...{ 'auto-compaction-mode': 'revision', 'auto-compaction-retention': '1000', logger: 'zap', 'log-level': 'error' },
      ...more,
    };
    const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
    const child = spawn('etcd', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        log = (log + chunk.toString()).slice(-4000);
      });
    child.once('error', (error) => {
      log += `etcd cannot be started (${error.message}); install Debian's package etcd-server`;
    });
    return child;
  };
  const status = async (i: number): Promise<Status> => {
    const answer = await fetch(`${places[i]!.client}/v3/maintenance/status`, {
      method: 'POST',
      body: '{}',
      signal: AbortSignal.timeout(500),
    });
    return (await answer.json()) as Status;
  };
  const answers = (i: number): Promise<boolean> =>
    status(i).then(
      ({ leader }) => leader !== undefined && leader !== '0',
      () => false,
    );
  const waitFor = async (i: number): Promise<void> => {
    for (const endMs = Date.now() + START_MS_MAX; !(await answers(i)); ) {
      if (Date.now() > endMs || children[i]?.exitCode !== null) throw new Error(`etcd does not answer:\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const killAll = (): void => {
    for (const child of children) child?.kill('SIGKILL');
  };
  process.once('exit', killAll);
  for (let i = 0; i < members; i++) children[i] = spawned(i);
  await Promise.all(places.map((_, i) => waitFor(i)));
  return {
    endpoints: places.map(({ client }) => client),
    async start(member) {
      children[member] = spawned(member);
      await waitFor(member);
    },
    signal: (member, signal) => void children[member]?.kill(signal),
    async leader() {
      for (let i = 0; i < members; i++) {
        const { leader, header } = await status(i).catch(() => ({ leader: undefined, header: { member_id: '' } }));
        if (leader !== undefined && leader === header.member_id) return i;
      }
      return -1;
    },
    async stop() {
      const gone = children.map((child) =>
        child === null || child.exitCode !== null || child.signalCode !== null
          ? null
          : new Promise((resolve) => child.once('exit', resolve)),
      );
      killAll();
      await Promise.all(gone);
      process.off('exit', killAll);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
