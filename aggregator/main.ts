/**
 * The aggregator as a program: flags and configuration in, stores, ingest and API around `createAggregator`. SIGTERM and
 * SIGINT drain it; kill -9 loses nothing that was acknowledged. A second instance on the same data directory is refused.
 */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../shared/clock.ts';
import { errorText, HeadroomError, isHeadroomError } from '../shared/errors.ts';
import { createLogger, type Logger } from '../shared/log.ts';
import { webSocketUpgrades } from '../shared/net/websocket.ts';
import { createPrng } from '../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../shared/protocol/frames.ts';
import { type ServiceNotifier, serviceNotifier } from '../shared/service-notify.ts';
import { type Aggregator, createAggregator } from './aggregator.ts';
import { AGGREGATOR_HELP, type AggregatorConfig, parseFlags, resolveConfig } from './config.ts';
import { FitPool } from './fit/fit-pool.ts';
import { peerOutliers } from './fit/peer-outliers.ts';
import { type HttpFleetPeersOptions, httpFleetPeers } from './http/fleet-peers.ts';
import type { FleetDesk } from './http/fleet-service.ts';
import type { KeptAnswers } from './http/kept-answers.ts';
import { originOf, peerClient } from './http/peer-client.ts';
import type { Peers } from './http/peers.ts';
import { createHttpServer } from './http/server.ts';
import type { Access } from './identity/access.ts';
import { openAccess, readTls } from './identity/open-access.ts';
import { serveAgents } from './ingest/serve-agents.ts';
import { openWebhooks } from './notify/open-webhooks.ts';
import { openCluster } from './open-cluster.ts';
import { openSeriesStore } from './open-series-store.ts';
import type { Ownership } from './ownership/ownership.ts';
import { packageVersion } from './package-version.ts';
import type { PolicySource } from './service/policy-keeper.ts';
import { lockDirectory } from './store/sqlite/directory-lock.ts';
import { openSqliteLedgerStore } from './store/sqlite/sqlite-ledger-store.ts';

/** Draining takes seconds; beyond this something hangs, and what was acknowledged is on the disk already. */
const DRAIN_MS_MAX = 20_000;

function policySource(file: string | null): PolicySource {
  return { read: async () => (file === null ? null : await readFile(file, 'utf8')) };
}

function readConfig(file: string | null): string | null {
  if (file === null) return null;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new HeadroomError('CONFIG_INVALID', `the configuration ${file} cannot be read: ${errorText(error)}`, { cause: error });
  }
}

/** One thread, a quarter of a core on average: a series' heavy models take some 0.2 s a day, so that serves 100,000. */
const FIT_THREADS = 1;
const FIT_CPU_SHARE = 0.25;

/** Everything that was opened, to be closed in the opposite order. */
type Closers = (() => Promise<void> | void)[];

/** A key revoked at another aggregator opens no door here for longer than this. */
const SHARED_ACCESS_MS = 1000;

interface Opened {
  aggregator: Aggregator;
  access: Access;
  /** Null: it is the only one. */
  ownership: Ownership | null;
  /** Shared with the others; null: kept in memory. */
  answers: KeptAnswers | null;
}

async function open(config: AggregatorConfig, log: Logger, closers: Closers): Promise<Opened> {
  const lock = lockDirectory(config.dataDir, 'aggregator');
  closers.push(() => lock.release());
  const file = await openSqliteLedgerStore({ directory: join(config.dataDir, 'ledger') });
  const cluster = config.cluster === null ? null : await openCluster({ config: config.cluster, ledger: file, clock: systemClock, log });
  const ledger = cluster?.ledger ?? file;
  if (cluster !== null) closers.push(() => cluster.close());
  closers.push(() => ledger.close());
  const prng = createPrng(config.seed);
  const series = await openSeriesStore({
    config,
    clock: systemClock,
    prng: prng.stream('store'),
    onReport: (message) => log.warn(message),
    // Hosts are looked after without a series store, too: agents keep what it has not taken.
    patient: true,
  });
  closers.push(() => series.close());
  const fits = new FitPool({ clock: systemClock, threads: FIT_THREADS, cpuShare: FIT_CPU_SHARE });
  closers.push(() => fits.close());
  const webhooks = openWebhooks(config.webhooks, systemClock, prng.stream('webhooks'), (message) => log.warn(message));
  if (webhooks !== null) closers.push(() => webhooks.stop());
  const access = await openAccess({
    ...{ config: config.access, dataDir: config.dataDir, ledger, clock: systemClock, log },
    evict: (agent, error) => aggregator.ingest.evict(agent, error),
  });
  const ownership = await cluster?.join();
  if (ownership !== undefined) closers.push(() => ownership.close());
  const others = ownership === undefined ? null : othersOf(config, ownership);
  const aggregator: Aggregator = await createAggregator({
    clock: systemClock,
    prng,
    series,
    fits,
    outliers: peerOutliers,
    ledger,
    policySource: policySource(config.policyFile),
    config,
    log,
    version: packageVersion(),
    notifiers: webhooks === null ? [] : [webhooks],
    identity: access.options,
    ...(ownership === undefined ? {} : { ownership }),
    ...(others === null ? {} : { fleetPeers: httpFleetPeers(others) }),
    ...(config.cluster === null ? {} : { ingestLimits: { heartbeatMs: config.cluster.heartbeatMs } }),
  });
  closers.push(() => aggregator.stop());
  // Whatever keeps us from hearing it now, the next turn asks again.
  if (ownership !== undefined) setInterval(() => void access.refresh().catch(() => undefined), SHARED_ACCESS_MS).unref();
  return { aggregator, access, ownership: ownership ?? null, answers: cluster?.answers ?? null };
}

/** Where agents have an address of their own, nobody knows the others' addresses for people, and they cannot be asked. */
function othersOf({ cluster, agents }: AggregatorConfig, ownership: Ownership): HttpFleetPeersOptions | null {
  if (cluster === null || agents !== null) return null;
  const ca = cluster.caFile === undefined ? undefined : readFileSync(cluster.caFile, 'utf8');
  return {
    others: () => ownership.members().flatMap(({ name, url }) => (name === ownership.name ? [] : [{ name, origin: originOf(url) }])),
    ask: peerClient(ca),
    hold: () => {
      const [epoch, holder] = [ownership.fleetEpoch(), ownership.fleetHolder()];
      return epoch === null || holder?.epoch !== epoch ? null : holder;
    },
  };
}

function peersOf(config: AggregatorConfig, ownership: Ownership | null, desk: FleetDesk): Peers | null {
  const options = ownership === null ? null : othersOf(config, ownership);
  if (options === null || ownership === null) return null;
  const { others, ask } = options;
  const holder = (): string | null => others().find(({ name }) => name === ownership.fleetHolder()?.name)?.origin ?? null;
  return { origins: () => others().map(({ origin }) => origin), ask, holder, fleet: { desk, holder: () => ownership.fleetHolder() } };
}

async function listen(
  { aggregator, access, ownership, answers }: Opened,
  config: AggregatorConfig,
  log: Logger,
  closers: Closers,
): Promise<void> {
  const upgrades = config.agents === null ? webSocketUpgrades(FRAME_BYTES_MAX, (transport) => aggregator.accept(transport)) : null;
  const tls = readTls(config.access);
  const peers = peersOf(config, ownership, aggregator.fleetDesk);
  const http = await createHttpServer(aggregator.service, {
    ...config.listen,
    ...{ access, ...(tls ? { tls } : {}), ...(peers ? { peers } : {}), ...(answers ? { answers } : {}) },
    hostNames: config.hostNames,
    onError: (error, method, path) => log.error('a request failed', { method, path, problem: errorText(error) }),
    ...(upgrades ? { onUpgrade: (request, socket, head) => upgrades.upgrade(request, socket, head) } : {}),
  });
  // Agents hear goodbye from the aggregator itself, which stops before this.
  closers.splice(-1, 0, async () => {
    upgrades?.close();
    await http.close();
  });
  log.info('API and console', { url: http.url });
  if (config.agents === null) {
    log.info('agents connect to', { url: `${http.url.replace(/^http/, 'ws')}/v1/agents` });
    return;
  }
  const agents = await serveAgents(aggregator.ingest, { ...config.agents, ...(tls ? { tls } : {}) });
  closers.splice(-1, 0, () => agents.close());
  log.info('agents connect to', { url: agents.url });
}

async function close(closers: Closers, log: Logger): Promise<void> {
  for (const each of closers.splice(0).reverse()) {
    try {
      await each();
    } catch (error) {
      log.error('closing failed', { problem: errorText(error) });
    }
  }
}

function stopOnSignals(closers: Closers, log: Logger, manager: ServiceNotifier): void {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) return;
    stopping = true;
    log.info('draining', { signal });
    manager.stopping();
    setTimeout(() => {
      log.error('draining took too long', { limitMs: DRAIN_MS_MAX });
      process.exit(1);
    }, DRAIN_MS_MAX).unref();
    void close(closers, log).then(() => {
      log.info('stopped');
      process.exit(0);
    });
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal));
}

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2));
  if (flags.help) {
    process.stdout.write(AGGREGATOR_HELP);
    return;
  }
  const config = resolveConfig(readConfig(flags.config), flags);
  const log = createLogger((line) => process.stderr.write(line), systemClock, config.logLevel);
  const closers: Closers = [];
  try {
    const opened = await open(config, log, closers);
    await listen(opened, config, log, closers);
    opened.aggregator.start();
    const manager = serviceNotifier(process.env);
    stopOnSignals(closers, log, manager);
    manager.ready();
  } catch (error) {
    await close(closers, log);
    throw error;
  }
}

try {
  await main();
} catch (error) {
  const code = isHeadroomError(error) ? error.code : 'INVARIANT_BROKEN';
  process.stderr.write(`aggregator: ${code}: ${errorText(error)}\n`);
  if (!isHeadroomError(error) && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = code === 'USAGE' || code === 'CONFIG_INVALID' || code === 'POLICY_INVALID' ? 2 : 1;
}
