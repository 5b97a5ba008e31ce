/**
 * `bench host`: what watching a host of 100 VMs costs it: the packaged host agent, and what it makes libvirtd and the QEMUs
 * spend beyond what they spend without it. On a private libvirtd; the VMs are real QEMUs whose processors stand still. Output:
 * cores, at paused domains, and the same with all of them running, where every signal is read.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageAgent } from '../../scripts/packaging/agent-bundle.ts';
import { ensurePackages, HYPERVISOR_PACKAGES } from '../../scripts/system-packages.ts';
import { hostId } from '../../shared/ids.ts';
import { privateLibvirtd } from '../support/libvirtd.ts';
import { type Benchmark, MINUTE_MS, rounded } from './benchmark.ts';
import { startHaltedDomains, tellHaltedDomains } from './halted-domains.ts';
import { startPlainIngest } from './plain-ingest.ts';
import { cpuMeter, memoryOf } from './process-cost.ts';

const DOMAINS = 100;
const HOST = hostId('bench-host');
/** The first look at every VM, and the first round of each of the hypervisor's statistics. */
const SETTLE_MS = 30_000;
const ALONE_MS = MINUTE_MS / 2;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Spent {
  agentCores: number;
  libvirtdCores: number;
  qemuCores: number;
}

async function spent(forMs: number, agent: number | null, libvirtd: number, qemus: readonly number[]): Promise<Spent> {
  const startedMs = performance.now();
  const meters = {
    agent: agent === null ? () => 0 : cpuMeter(agent),
    libvirtd: cpuMeter(libvirtd),
    qemus: qemus.map((pid) => cpuMeter(pid)),
  };
  await pause(forMs);
  const seconds = (performance.now() - startedMs) / 1000;
  return {
    agentCores: meters.agent() / seconds,
    libvirtdCores: meters.libvirtd() / seconds,
    qemuCores: meters.qemus.reduce((sum, cpu) => sum + cpu(), 0) / seconds,
  };
}

function startHostAgent(folder: string, socket: string, url: string): ChildProcess {
  const launcher = join(folder, 'headroom-agent');
  copyFileSync(join(import.meta.dirname, '../../agent/packaging/headroom-agent.sh'), launcher);
  const args = [
    'host',
    '--host',
    HOST,
    '--connect',
    `qemu:///system?socket=${socket}`,
    '--aggregator',
    url,
    '--state-dir',
    join(folder, 'state'),
  ];
  const child = spawn('sh', [launcher, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, HEADROOM_NODE: process.execPath },
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

export const hostCost: Benchmark = {
  about: `the host agent, and what it costs libvirtd and QEMU, at ${DOMAINS} domains`,
  async run(tell) {
    ensurePackages(HYPERVISOR_PACKAGES, tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-host-'));
    const daemon = await privateLibvirtd();
    let rows = 0;
    const ingest = await startPlainIngest(HOST, (blocks) => {
      for (const { subject, timesMs } of blocks) if (subject.kind === 'vm') rows += timesMs.length;
    });
    let agent: ChildProcess | null = null;
    try {
      await packageAgent(folder);
      tell(`starting ${DOMAINS} domains, paused`);
      const qemus = startHaltedDomains(daemon.socket, daemon.runFolder, folder, DOMAINS);
      const libvirtd = Number(readFileSync(join(daemon.runFolder, 'private.pid'), 'utf8'));
      const alone = async (): Promise<Spent> => {
        await pause(ALONE_MS / 3);
        return spent(ALONE_MS, null, libvirtd, qemus);
      };
      tell('without the agent, paused');
      const alonePaused = await alone();
      tell('without the agent, running');
      tellHaltedDomains(daemon.socket, DOMAINS, 'resume');
      const aloneRunning = await alone();
      tellHaltedDomains(daemon.socket, DOMAINS, 'suspend');
      agent = startHostAgent(folder, daemon.socket, ingest.url);
      tell('with the agent, paused');
      await pause(SETTLE_MS);
      const paused = await spent(MINUTE_MS, agent.pid!, libvirtd, qemus);
      tell('with the agent, running');
      tellHaltedDomains(daemon.socket, DOMAINS, 'resume');
      await pause(SETTLE_MS);
      const rowsBefore = rows;
      const running = await spent(MINUTE_MS, agent.pid!, libvirtd, qemus);
      const extra = (of: Spent, alone: Spent) => {
        const parts = [of.agentCores, of.libvirtdCores - alone.libvirtdCores, of.qemuCores - alone.qemuCores];
        const [agentCores = 0, libvirtdCores = 0, qemuExtraCores = 0] = parts.map((cores) => rounded(Math.max(0, cores)));
        return { agentCores, libvirtdCores, qemuExtraCores, cores: rounded(agentCores + libvirtdCores + qemuExtraCores) };
      };
      const { rssMiB } = memoryOf(agent.pid!);
      return {
        domains: DOMAINS,
        ...extra(paused, alonePaused),
        rssMiB: rounded(rssMiB),
        running: { ...extra(running, aloneRunning), rowsPerSecond: rounded((rows - rowsBefore) / 60) },
      };
    } finally {
      if (agent !== null) await stopped(agent);
      await ingest.stop();
      await daemon.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
