/**
 * `bench fleet`: simulated host agents at 1 Hz, each with one VM, over real sockets into one real aggregator process with its
 * embedded stores. Output, per size of the fleet: CPU and memory of the aggregator, how long acknowledgements take, and every
 * row that was not stored, with the reason. The agents' own CPU is told apart.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { flushMsAt } from '../../aggregator/ingest/flush-pace.ts';
import { freePort } from '../support/free-port.ts';
import { type Benchmark, rounded } from './benchmark.ts';
import type { FleetHeard, FleetOrder } from './fleet-agents.ts';

const FLEETS = [2500, 5000, 10_000];
/** Agents send host and VM each second, gathered for as long as the aggregator asks fleets of these sizes to. */
const SECONDS_PER_FRAME = flushMsAt(2 * FLEETS[0]!) / 1000;
const WARM_UP_SECONDS = 10;
const SECONDS = 60;
/** USER_HZ on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];
/** Beside connections: files of stores, pipes, the program itself. */
const DESCRIPTORS_SPARE = 500;

interface Counters {
  cpuSeconds: number;
  rssMiB: number;
  rssMiBPeak: number;
}

function countersOf(pid: number): Counters {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024;
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rssMiB: mib('VmRSS'), rssMiBPeak: mib('VmHWM') };
}

function checkDescriptors(agents: number): void {
  const soft = Number(/Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]);
  if (soft < agents + DESCRIPTORS_SPARE) {
    throw new Error(`${agents} connections need ${agents + DESCRIPTORS_SPARE} open files, ${soft} are allowed: raise ulimit -n`);
  }
}

/** Metrics by name, without labels. */
async function metricsOf(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

async function startAggregator(directory: string, url: string, tls: FleetSetup['tls']): Promise<ChildProcess> {
  const config = join(directory, 'config.json');
  const files = { certFile: join(directory, 'cert.pem'), keyFile: join(directory, 'key.pem') };
  if (tls) for (const part of ['cert', 'key'] as const) writeFileSync(files[`${part}File`], tls[part]);
  const listen = { port: Number(new URL(url).port) };
  const dataDir = join(directory, 'data');
  writeFileSync(config, JSON.stringify({ listen, dataDir, logLevel: 'error', ...(tls ? { tls: files } : {}) }));
  const main = join(import.meta.dirname, '../../aggregator/main.ts');
  const child = spawn(process.execPath, [...NODE_FLAGS, main, '--config', config], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the aggregator ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/healthz`).catch(() => null);
    if (answer?.ok) return child;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The next message of the agents' process; rejects when it ends instead. */
function told<T>(child: ChildProcess): Promise<T> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the simulated agents ended with ${code}`));
    child.once('exit', ended);
    child.once('message', (message) => {
      child.off('exit', ended);
      resolve(message as T);
    });
  });
}

export interface FleetSetup {
  /** Certificate, key and authority, PEM; absent = no TLS. */
  tls?: { cert: string; key: string; ca: string };
  seconds?: number;
  /** Begins when all are connected; ends with what it answers. */
  beside?: (url: string) => () => void;
}

export async function runFleet(agents: number, { tls, seconds = SECONDS, beside }: FleetSetup = {}) {
  checkDescriptors(agents);
  const directory = mkdtempSync(join(tmpdir(), 'headroom-bench-fleet-'));
  const port = await freePort();
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
  const aggregator = await startAggregator(directory, url, tls);
  let endBeside = (): void => undefined;
  const senders = spawn(process.execPath, [...NODE_FLAGS, join(import.meta.dirname, 'fleet-agents.ts')], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    const pace = { secondsPerFrame: SECONDS_PER_FRAME, warmUpSeconds: WARM_UP_SECONDS, seconds };
    const order: FleetOrder = { port, agents, ...pace, ca: tls?.ca ?? null };
    senders.send(order);
    await told(senders);
    endBeside = beside?.(url) ?? endBeside;
    const before = countersOf(aggregator.pid!);
    await told(senders);
    const after = countersOf(aggregator.pid!);
    const heard = await told<FleetHeard>(senders);
    const metrics = await metricsOf(url);
    return figuresOf(agents, heard, before, after, metrics);
  } finally {
    endBeside();
    senders.kill();
    await ended(aggregator);
    rmSync(directory, { recursive: true, force: true });
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function figuresOf(agents: number, heard: FleetHeard, before: Counters, after: Counters, metrics: Map<string, number>) {
  const metric = (end: string): number => [...metrics].find(([name]) => name.endsWith(end))?.[1] ?? Number.NaN;
  const reasons = Object.fromEntries(
    [...metrics].filter(([name, value]) => /ingest_dropped_|rows_not_stored|_dropped_total$/.test(name) && value > 0),
  );
  const stored = metric('ingest_rows_stored_total');
  const cpuCores = (after.cpuSeconds - before.cpuSeconds) / heard.wallSeconds;
  return {
    agents,
    ackDelayMsP50: rounded(heard.ackDelayMsP50),
    ackDelayMsP99: rounded(heard.ackDelayMsP99),
    ackDelayMsMax: rounded(heard.ackDelayMsMax),
    dropped: heard.rowsSent - stored,
    droppedReasons: reasons,
    framesUnacknowledged: heard.frames - heard.acknowledged,
    disconnected: heard.disconnected,
    rssMiB: rounded(after.rssMiB),
    rssMiBPeak: rounded(after.rssMiBPeak),
    cpuCores: rounded(cpuCores),
    cpuMicrosecondsPerRow: rounded(((after.cpuSeconds - before.cpuSeconds) * 1e6) / heard.rowsSent),
    rowsPerSecond: rounded(heard.rowsSent / heard.wallSeconds),
    connectSeconds: rounded(heard.openSeconds),
    secondsSent: rounded(heard.wallSeconds),
    simulatedAgentsCpuCores: rounded(heard.cpuSeconds / heard.wallSeconds),
  };
}

export const fleet: Benchmark = {
  about: 'simulated agents at 1 Hz over real sockets into one aggregator: CPU, memory, acknowledgement delay, drops',
  async run(tell) {
    const runs: Record<string, unknown>[] = [];
    for (const agents of FLEETS) {
      tell(`${agents} agents`);
      runs.push(await runFleet(agents));
    }
    return {
      runs,
      vmsPerAgent: 1,
      rowsPerAgentSecond: 2,
      secondsPerFrame: SECONDS_PER_FRAME,
      warmUpSeconds: WARM_UP_SECONDS,
      stepMs: 300_000,
    };
  },
};
