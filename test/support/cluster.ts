/**
 * Several aggregators as processes over a real etcd and a real InfluxDB, all on loopback. Input: how many of each, a folder;
 * output: their addresses, signals to each, what they answer; everything ends with `stop`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EtcdCluster, startEtcd } from './etcd.ts';
import { freePort } from './free-port.ts';
import { type InfluxDb, influxQuery, startInfluxDb } from './influxdb.ts';
import { TcpWire } from './tcp-wire.ts';

const MAIN = join(import.meta.dirname, '../../aggregator/main.ts');
const START_MS_MAX = 60_000;
const POLICY = `version: 1
fleet:
  lease: 10s
  staleAfter: 15s
  reserve: {memoryMiB: 512}
  blastRadius: {vmsPerPlan: 2000, vmsPerHostPerPlan: 10, vmsPerWindow: 100000, window: 1m}
defaults:
  cpu: {mode: auto, enforcement: cap-always, marginFraction: 0.1, lead: 4s, shrinkHorizon: 6s, cooldownShrink: 2s, stepLimitShrinkFraction: 1, stepLimitGrowFraction: 10}
  memory: {mode: auto, lead: 4s, shrinkHorizon: 6s, cooldownShrink: 2s, stepLimitShrinkFraction: 0.3, stepLimitGrowFraction: 10, workingSetWindow: 10s}
`;

export interface ClusterPace {
  planPeriodMs: number;
  stepMs: number;
}

/** Everything within seconds: for a few VMs. */
const QUICK: ClusterPace = { planPeriodMs: 1000, stepMs: 2000 };

export interface Node {
  name: string;
  url: string;
  agentsUrl: string;
  child: ChildProcess | null;
  stopped: boolean;
  /** To be cut: its own to all of etcd, and that of its agents to it. */
  wires: { etcd: TcpWire[]; agents: TcpWire };
}

export class Cluster {
  readonly folder = mkdtempSync(join(tmpdir(), 'headroom-cluster-'));
  readonly nodes: Node[] = [];
  readonly #pace: ClusterPace;
  etcd!: EtcdCluster;
  influx!: InfluxDb;

  readonly #morePolicy: string;

  /** `morePolicy`: further sections of the policy that all share. */
  constructor(pace: ClusterPace = QUICK, morePolicy = '') {
    this.#pace = pace;
    this.#morePolicy = morePolicy;
  }

  async start(aggregators: number, etcdMembers: number): Promise<void> {
    process.once('exit', this.#killAll);
    this.etcd = await startEtcd(etcdMembers);
    this.influx = await startInfluxDb({ within: this.folder });
    writeFileSync(join(this.folder, 'policy.yaml'), POLICY + this.#morePolicy);
    for (let i = 0; i < aggregators; i++) {
      const wires = {
        etcd: await Promise.all(this.etcd.endpoints.map((endpoint) => TcpWire.to(Number(new URL(endpoint).port)))),
        agents: await TcpWire.to(0),
      };
      const node: Node = {
        name: `agg${i}`,
        url: '',
        agentsUrl: `ws://127.0.0.1:${wires.agents.port}/v1/agents`,
        child: null,
        stopped: false,
        wires,
      };
      this.nodes.push(node);
    }
    // When everything else listens: a port that is free now might be given to one of the others before its aggregator has it.
    for (const node of this.nodes) {
      const port = await freePort();
      node.url = `http://127.0.0.1:${port}`;
      node.wires.agents.toPort = port;
      this.#configure(node, port);
    }
    await Promise.all(this.nodes.map((node) => this.launch(node)));
  }

  /** Starts one and waits until it answers. */
  async launch(node: Node): Promise<void> {
    const output = openSync(join(this.folder, `${node.name}.log`), 'a');
    const config = join(this.folder, `${node.name}.json`);
    const args = ['--disable-warning=ExperimentalWarning', MAIN, '--config', config];
    const child = spawn(process.execPath, args, { stdio: ['ignore', output, output] });
    closeSync(output);
    node.child = child;
    for (const endMs = Date.now() + START_MS_MAX; ; ) {
      if (child.exitCode !== null || Date.now() > endMs) throw new Error(`${node.name} does not answer:\n${this.log(node).slice(-3000)}`);
      if (await this.answers(node)) return;
      await pause(100);
    }
  }

  answers(node: Node): Promise<boolean> {
    return fetch(`${node.url}/healthz`, { signal: AbortSignal.timeout(1000) }).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** One of its metrics; NaN when it does not answer. */
  async metric(node: Node, name: string): Promise<number> {
    const text = await fetch(`${node.url}/metrics`, { signal: AbortSignal.timeout(2000) })
      .then((answer) => answer.text())
      .catch(() => '');
    const line = text.split('\n').find((each) => each.startsWith(`headroom_${name} `));
    return line === undefined ? Number.NaN : Number(line.split(' ')[1]);
  }

  async kill(node: Node, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const { child } = node;
    node.child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  log(node: Node): string {
    return readFileSync(join(this.folder, `${node.name}.log`), 'utf8');
  }

  /** Seconds for which the shared store has a row of this VM, as UTC ms. */
  async storedTimes(vm: string): Promise<Set<number>> {
    const q = `SELECT "usageCores" FROM /.*/ WHERE "vm" = '${vm}'`;
    const answer = (await influxQuery(this.influx.url, 'headroom', q)) as { results: { series?: { values: [number, unknown][] }[] }[] };
    return new Set((answer.results[0]?.series ?? []).flatMap(({ values }) => values.map(([timeMs]) => timeMs)));
  }

  async stop(): Promise<void> {
    for (const node of this.nodes) if (node.stopped) node.child?.kill('SIGCONT');
    await Promise.all(this.nodes.map((node) => this.kill(node, 'SIGKILL')));
    for (const { wires } of this.nodes) for (const wire of [wires.agents, ...wires.etcd]) wire.close();
    await this.influx.stop();
    await this.etcd.stop();
    process.off('exit', this.#killAll);
    if (process.env.KEEP) console.error(this.folder);
    else rmSync(this.folder, { recursive: true, force: true });
  }

  readonly #killAll = (): void => {
    for (const { child } of this.nodes) child?.kill('SIGKILL');
  };

  #configure({ name, agentsUrl, wires }: Node, port: number): void {
    const config = {
      listen: { host: '127.0.0.1', port },
      dataDir: join(this.folder, name),
      policyFile: join(this.folder, 'policy.yaml'),
      ...{ ...this.#pace, seasonsMs: [30_000], logLevel: 'info' },
      store: { kind: 'influxdb', url: this.influx.url },
      cluster: { name, agentsUrl, etcd: { endpoints: wires.etcd.map((wire) => `http://127.0.0.1:${wire.port}`) } },
    };
    writeFileSync(join(this.folder, `${name}.json`), JSON.stringify(config));
  }
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
