/**
 * What protection costs: `bench fleet-tls`, the same fleet with and without TLS, and `bench flood`, a hundred honest agents
 * beside one that sends as fast as its socket takes it. Both run side by side with their own baseline, and tell the ratio.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { makeAuthority, makeServerCertificate } from '../../aggregator/cli/tls/development-ca.ts';
import { type Benchmark, rounded } from './benchmark.ts';
import { type FleetSetup, runFleet } from './fleet.ts';

const AGENTS = 1000;
const HONEST = 100;
const SECONDS = 30;

async function certificates(): Promise<NonNullable<FleetSetup['tls']>> {
  const authority = await makeAuthority(Date.now(), 1);
  setDefaultCACertificates([...getCACertificates('default'), authority.cert]);
  return { ...(await makeServerCertificate(authority, ['127.0.0.1'], Date.now(), 1)), ca: authority.cert };
}

export const fleetTls: Benchmark = {
  about: `${AGENTS} simulated agents at 1 Hz without and with TLS: the aggregator's CPU`,
  async run(tell) {
    const tls = await certificates();
    tell('without TLS');
    const plain = await runFleet(AGENTS, { seconds: SECONDS });
    tell('with TLS');
    const guarded = await runFleet(AGENTS, { seconds: SECONDS, tls });
    const runs = [
      { tls: false, ...plain },
      { tls: true, ...guarded },
    ];
    return { runs, cpuRatio: rounded(guarded.cpuMicrosecondsPerRow / plain.cpuMicrosecondsPerRow) };
  },
};

/** A process of its own, so that what it spends on flooding is not the honest agents'. */
function startFlooder(url: string): () => void {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'flooder.ts'), url], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return () => child.kill('SIGKILL');
}

export const flood: Benchmark = {
  about: `${HONEST} honest agents, alone and beside one that floods: acknowledgement delay`,
  async run(tell) {
    tell('quiet');
    const quiet = await runFleet(HONEST, { seconds: SECONDS });
    tell('beside a flood');
    const flooded = await runFleet(HONEST, { seconds: SECONDS, beside: startFlooder });
    return { runs: [quiet, flooded], ackDelayP99Ratio: rounded(flooded.ackDelayMsP99 / quiet.ackDelayMsP99) };
  },
};
