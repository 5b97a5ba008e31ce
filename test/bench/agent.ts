/**
 * `bench agent`: what watching a guest costs it. The guest agent as it is packaged, at 1 Hz with all default collectors, on
 * a serial port whose other end leads to a real relay, uplink and ingest; beside it, in the same minute on the same machine,
 * Debian's collectd, node_exporter (scraped each second) and netdata. Output: CPU seconds a minute, memory resident and
 * private. Text pages of Node that the benchmark itself maps as well count as shared, as they do beside any other Node program.
 */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { VERSION } from '../../agent/version.ts';
import { packageAgent } from '../../scripts/packaging/agent-bundle.ts';
import { vmId } from '../../shared/ids.ts';
import { openPseudoPort } from '../support/pseudo-port.ts';
import { type Benchmark, MINUTE_MS, rounded } from './benchmark.ts';
import { startGuestHostSide } from './guest-host-side.ts';
import { ensurePeers, type Peer, type PeerName, startPeers } from './monitoring-peers.ts';
import { cpuMeter, memoryOf } from './process-cost.ts';

const VM = vmId('00000000-0000-4000-8000-00000000000a');
/** All are up, have compiled what they compile, and have collected their garbage once. */
const SETTLE_MS = 20_000;
/** Of the samples due in the minute so many must have arrived, or the figures are of something that did not work. */
const TOLD_SHARE_MIN = 0.8;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The packaged agent by its own launcher. */
async function startAgent(folder: string): Promise<Peer> {
  await packageAgent(folder);
  const launcher = join(folder, 'headroom-agent');
  copyFileSync(join(import.meta.dirname, '../../agent/packaging/headroom-agent.sh'), launcher);
  const socket = join(folder, 'port.sock');
  const port = await openPseudoPort(socket);
  const host = await startGuestHostSide(VM, socket);
  // The channel's name is looked for below /dev/virtio-ports: from there to the terminal.
  const child = spawn('sh', [launcher, 'guest', '--channel', `../pts/${basename(port.device)}`, '--vm', VM], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, HEADROOM_NODE: process.execPath },
  });
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  return {
    pid: child.pid!,
    version: VERSION,
    told: host.samples,
    async stop() {
      process.off('exit', killed);
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await gone;
      await host.stop();
      await port.close();
    },
  };
}

type Name = PeerName | 'agent';

interface Cost {
  cpuSecondsPerMinute: number;
  rssMiB: number;
  privateMiB: number;
  version: string;
}

async function measure(watchers: Record<Name, Peer>): Promise<Record<Name, Cost>> {
  const begun = Object.entries(watchers).map(([name, peer]) => ({ name, peer, cpu: cpuMeter(peer.pid), toldBefore: peer.told() }));
  await pause(MINUTE_MS);
  const costs = begun.map(({ name, peer, cpu, toldBefore }) => {
    const told = peer.told() - toldBefore;
    if (told < (TOLD_SHARE_MIN * MINUTE_MS) / 1000)
      throw new Error(`${name} told its values ${told} times in a minute: it does not work here`);
    const { rssMiB, privateMiB } = memoryOf(peer.pid);
    const cost = { cpuSecondsPerMinute: rounded(cpu()), rssMiB: rounded(rssMiB), privateMiB: rounded(privateMiB), version: peer.version };
    return [name, cost] as const;
  });
  return Object.fromEntries(costs) as Record<Name, Cost>;
}

export const agentCost: Benchmark = {
  about: 'what the packaged guest agent takes of a guest, beside collectd, node_exporter and netdata',
  async run(tell) {
    ensurePeers(tell);
    const folder = mkdtempSync(join(tmpdir(), 'headroom-bench-agent-'));
    const running: Peer[] = [];
    try {
      const agent = await startAgent(folder);
      running.push(agent);
      const peers = await startPeers(folder);
      running.push(...Object.values(peers));
      tell('all four run; settling');
      await pause(SETTLE_MS);
      tell('measuring for a minute');
      const costs = await measure({ agent, ...peers });
      return { ...costs, cpuOfCollectd: rounded(costs.agent.cpuSecondsPerMinute / costs.collectd.cpuSecondsPerMinute) };
    } finally {
      for (const one of running) await one.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
