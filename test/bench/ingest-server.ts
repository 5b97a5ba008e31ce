/**
 * The receiving end of `bench ingest`, a process of its own so that its CPU is its own: sockets, decoding, validation, live
 * state with its forecasts, and a store. Input: by IPC, what to be made of; output: its address, and CPU and rows so far.
 */
import { forecasterFactory } from '../../aggregator/core/forecast/registry.ts';
import { EMPTY_POLICY_SOURCE, parsePolicyFile } from '../../aggregator/core/plan/policy-file.ts';
import { FleetState } from '../../aggregator/core/state/fleet-state.ts';
import type { AppendStore } from '../../aggregator/ingest/committer.ts';
import { createIngest } from '../../aggregator/ingest/ingest.ts';
import type { IngestSink } from '../../aggregator/ingest/peer-state.ts';
import { serveAgents } from '../../aggregator/ingest/serve-agents.ts';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import { openSqliteSeriesStore } from '../../aggregator/store/sqlite/sqlite-series-store.ts';
import { openVictoriaSeriesStore } from '../../aggregator/store/victoria/victoria-series-store.ts';
import { type Clock, systemClock } from '../../shared/clock.ts';
import type { VmId } from '../../shared/ids.ts';
import { createPrng } from '../../shared/prng.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { DAY_MS, MINUTE_MS } from './benchmark.ts';

export interface ServerSetting {
  /** `none`: rows are decoded, validated and acknowledged, and that is all. */
  store: 'none' | 'sqlite' | 'influxdb' | 'victoria';
  directory: string;
  /** Of a store that is a server. */
  url: string | null;
}

export interface ServerFigures {
  rows: number;
  cpuSeconds: number;
  rssMiB: number;
}

const STEP_MS = 5 * MINUTE_MS;
const STATE = { stepMs: STEP_MS, demandWindowMs: MINUTE_MS, graceMs: 10_000, settleMs: 0, seasonsMs: [DAY_MS, 7 * DAY_MS] };
const VERDICTS = { verdictWindowMs: STEP_MS, verdictCooldownMs: STEP_MS };

let rows = 0;
/** The data's own time: senders are far ahead of the clock on the wall. */
let newestMs = 0;

function count(blocks: readonly TelemetryBlock[]): void {
  for (const { timesMs } of blocks) {
    rows += timesMs.length;
    newestMs = Math.max(newestMs, timesMs.at(-1) ?? 0);
  }
}

function liveState(store: AppendStore): { sink: IngestSink; owner: (vm: VmId) => ReturnType<FleetState['hostIds']>[number] | null } {
  const policy = parsePolicyFile(EMPTY_POLICY_SOURCE, { version: 1, forecasters: ['aggregate'] }).policy;
  const state = new FleetState({ ...STATE, ...VERDICTS, epoch: 1, factory: forecasterFactory }, policy);
  let stepEndsMs = 0;
  const sink: IngestSink = {
    onHello: (host, hello) => state.applyHello(host, hello),
    onConnected: (host) => state.setConnected(host, true, systemClock.monotonicMs()),
    onDisconnected: (host) => state.setConnected(host, false, systemClock.monotonicMs()),
    onInventory: (host, frame) => state.applyInventory(host, frame, systemClock.monotonicMs()),
    onEvent: () => undefined,
    onResult: () => undefined,
    onBlocks(host, blocks, receivedMs) {
      count(blocks);
      state.applyBlocks(host, blocks, newestMs, receivedMs);
      state.takeNews();
      if (newestMs < stepEndsMs) return;
      stepEndsMs = (Math.floor(newestMs / STEP_MS) + 1) * STEP_MS + STATE.graceMs;
      const forecasts = state.vmIds().flatMap((vm) => state.tick(vm, newestMs));
      if (forecasts.length > 0) void store.append(forecasts);
    },
  };
  return { sink, owner: (vm) => state.vm(vm)?.host ?? null };
}

const IDLE: IngestSink = {
  onHello: () => undefined,
  onConnected: () => undefined,
  onDisconnected: () => undefined,
  onInventory: () => undefined,
  onEvent: () => undefined,
  onResult: () => undefined,
  onBlocks: (_host, blocks) => count(blocks),
};

function openStore({ store, directory, url }: ServerSetting, clock: Clock): Promise<AppendStore> {
  const server = { url: url ?? '', database: 'headroom', clock, prng: createPrng(1) };
  switch (store) {
    case 'none':
      return Promise.resolve({ append: () => Promise.resolve() });
    case 'sqlite':
      return openSqliteSeriesStore({ directory, clock });
    case 'influxdb':
      return openInfluxSeriesStore(server);
    case 'victoria':
      return openVictoriaSeriesStore(server);
  }
}

async function serve(setting: ServerSetting): Promise<string> {
  const clock = { ...systemClock, wallMs: () => newestMs || systemClock.wallMs() };
  const store = await openStore(setting, clock);
  const { sink, owner } = setting.store === 'none' ? { sink: IDLE, owner: () => null } : liveState(store);
  // One peer sends what a fleet would.
  const limits = { peerFramesPerSecond: 1e9, peerFramesBurst: 1e9 };
  const ingest = createIngest({ clock: systemClock, store, sink, epoch: 1, ownsVm: owner, limits });
  return (await serveAgents(ingest, { port: 0 })).url;
}

process.on('message', (message: ServerSetting | 'figures') => {
  if (message === 'figures') {
    const { user, system } = process.cpuUsage();
    const figures: ServerFigures = { rows, cpuSeconds: (user + system) / 1e6, rssMiB: process.memoryUsage.rss() / 2 ** 20 };
    process.send?.(figures);
    return;
  }
  void serve(message).then((url) => process.send?.(url));
});
process.on('disconnect', () => process.exit());
