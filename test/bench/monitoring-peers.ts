/**
 * What others run inside a guest for the same purpose, as Debian packages them: collectd, node_exporter, netdata, each by
 * hand on loopback in a folder of its own, once a second, with the plugins that read what the guest agent reads. Services
 * of the packages are never started. Input: a folder; output: process ids, versions, and a way to stop them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { ensurePackages } from '../../scripts/system-packages.ts';
import { freePort } from '../support/free-port.ts';
import { packageVersion } from './package-version.ts';

const PACKAGES = { collectd: 'collectd-core', nodeExporter: 'prometheus-node-exporter', netdata: 'netdata-core' } as const;
export type PeerName = keyof typeof PACKAGES;

export interface Peer {
  pid: number;
  version: string;
  /** How often it has told its values so far. */
  told(): number;
  stop(): Promise<void>;
}

/** Packages of Debian start their services when installed, unless this file says no. */
const POLICY = '/usr/sbin/policy-rc.d';

/** Throws ENVIRONMENT with the command when they are missing and cannot be installed. */
export function ensurePeers(say: (line: string) => void): void {
  const ours = !existsSync(POLICY) && process.getuid?.() === 0;
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    ensurePackages(Object.values(PACKAGES), say);
  } finally {
    if (ours) rmSync(POLICY);
  }
}

function started(command: string, args: string[], env: NodeJS.ProcessEnv = process.env): { child: ChildProcess; stop(): Promise<void> } {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore'], env });
  child.once('error', () => undefined);
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  return {
    child,
    async stop() {
      process.off('exit', killed);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const late = setTimeout(killed, 10_000);
      await gone;
      clearTimeout(late);
    },
  };
}

async function startCollectd(folder: string): Promise<Peer> {
  let told = 0;
  const socket = createSocket('udp4').on('message', () => told++);
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', () => resolve()));
  const config = join(folder, 'collectd.conf');
  const plugins = ['cpu', 'load', 'memory', 'vmem', 'swap', 'disk', 'interface', 'processes', 'users', 'uptime', 'network'];
  writeFileSync(
    config,
    [
      `Interval 1\nBaseDir "${folder}"\nPIDFile "${folder}/collectd.pid"\nHostname "guest"\nFQDNLookup false`,
      ...plugins.map((name) => `LoadPlugin ${name}`),
      `<Plugin network>\n  Server "127.0.0.1" "${socket.address().port}"\n</Plugin>`,
      '',
    ].join('\n'),
  );
  const { child, stop } = started('collectd', ['-f', '-C', config]);
  return {
    pid: child.pid ?? 0,
    version: packageVersion(PACKAGES.collectd),
    told: () => told,
    async stop() {
      await stop();
      socket.close();
    },
  };
}

/** Every second, as a Prometheus would. */
function scraped(url: string): { told(): number; stop(): void } {
  let told = 0;
  const timer = setInterval(() => {
    get(url, (response) => {
      if (response.statusCode === 200) told++;
      response.resume();
    }).on('error', () => undefined);
  }, 1000);
  return { told: () => told, stop: () => clearInterval(timer) };
}

async function startNodeExporter(): Promise<Peer> {
  const port = await freePort();
  const { child, stop } = started('prometheus-node-exporter', [`--web.listen-address=127.0.0.1:${port}`]);
  const scraper = scraped(`http://127.0.0.1:${port}/metrics`);
  return {
    pid: child.pid ?? 0,
    version: packageVersion(PACKAGES.nodeExporter),
    told: scraper.told,
    async stop() {
      scraper.stop();
      await stop();
    },
  };
}

async function startNetdata(folder: string): Promise<Peer> {
  const port = await freePort();
  const config = join(folder, 'netdata.conf');
  for (const name of ['cache', 'lib', 'log', 'lib/registry']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(
    config,
    [
      `[global]\n  run as user = root\n  hostname = guest`,
      `[directories]\n  cache = ${folder}/cache\n  lib = ${folder}/lib\n  log = ${folder}/log`,
      `[logs]\n  debug = none\n  error = none\n  access = none`,
      `[web]\n  bind to = 127.0.0.1:${port}`,
      '[ml]\n  enabled = no',
      '[registry]\n  enabled = no',
      '[statsd]\n  enabled = no',
    ].join('\n'),
  );
  const { child, stop } = started('netdata', ['-D', '-P', join(folder, 'netdata.pid'), '-c', config], {
    ...process.env,
    DISABLE_TELEMETRY: '1',
  });
  // It samples by itself, asked or not: one answer shows that it does.
  const scraper = scraped(`http://127.0.0.1:${port}/api/v1/data?chart=system.cpu&points=1&after=-2`);
  return {
    pid: child.pid ?? 0,
    version: packageVersion(PACKAGES.netdata),
    told: scraper.told,
    async stop() {
      scraper.stop();
      await stop();
    },
  };
}

/** Each in a folder below `folder`. */
export async function startPeers(folder: string): Promise<Record<PeerName, Peer>> {
  const own = (name: string): string => {
    mkdirSync(join(folder, name));
    return join(folder, name);
  };
  return {
    collectd: await startCollectd(own('collectd')),
    nodeExporter: await startNodeExporter(),
    netdata: await startNetdata(own('netdata')),
  };
}
