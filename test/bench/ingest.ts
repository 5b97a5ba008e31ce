/**
 * `bench ingest`: rows of 20 values from host agents' own connections into an aggregator's receiving end. Output: rows per
 * second of the receiver's CPU, all its threads counted: as far as decoded and validated (`wire`), and through live state
 * and forecasts into each store; frames hold as many seconds as agents of such a fleet are asked to gather, and into SQLite also
 * a single one. Beside it, per second of their own CPU,
 * what InfluxDB and VictoriaMetrics take in of such rows as line protocol in the same run, how many times that the embedded
 * store's path is, and what the adapter costs next to it. Measured once warm: code compiled, and bins sealed as fast as
 * they fill.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { flushMsAt } from '../../aggregator/ingest/flush-pace.ts';
import { openInfluxSeriesStore } from '../../aggregator/store/influx/influx-series-store.ts';
import type { SeriesStore } from '../../aggregator/store/series-store.ts';
import { openVictoriaSeriesStore } from '../../aggregator/store/victoria/victoria-series-store.ts';
import { systemClock } from '../../shared/clock.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import type { TelemetryBlock } from '../../shared/telemetry.ts';
import { startInfluxDb } from '../support/influxdb.ts';
import type { Program } from '../support/program.ts';
import { startVictoriaMetrics } from '../support/victoria-metrics.ts';
import { helloFrame, inventoryFrame } from '../support/wire-world.ts';
import { type Benchmark, measured, rounded } from './benchmark.ts';
import type { ServerFigures, ServerSetting } from './ingest-server.ts';
import { MadeVm } from './made-rows.ts';
import { packageVersion } from './package-version.ts';

const HOSTS = 20;
const VMS_PER_HOST = 50;
/** A bin is full, and its sealing has begun. */
const WARM_UP_SECONDS = 360;
/** Two bins are sealed and two steps of forecasts made meanwhile. */
const SECONDS = 600;
/** What agents are asked to gather where so many rows come; and what those of a small fleet send. */
const SECONDS_PER_FRAME = flushMsAt(100_000) / 1000;
const SECONDS_PER_SHORT_FRAME = 1;
/** Frames of each VM sent and not yet acknowledged. */
const FRAMES_AHEAD = 2;
const FLUSH_MS = 10;
/** Of the same VMs straight into a server; appends of some 3 MB of lines, as agents' batches come together. */
const PEER_SECONDS = 120;
const PEER_SECONDS_PER_APPEND = 5;
const PEER_SETTLE_MS = 5000;

class Receiver {
  readonly #child: ChildProcess;
  url = '';

  constructor() {
    this.#child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'ingest-server.ts')], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  async start(setting: ServerSetting): Promise<void> {
    this.#child.send(setting);
    [this.url] = (await once(this.#child, 'message')) as [string];
  }

  async figures(): Promise<ServerFigures> {
    this.#child.send('figures');
    const [figures] = (await once(this.#child, 'message')) as [ServerFigures];
    return figures;
  }

  async stop(): Promise<void> {
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }
}

interface Sender {
  buffer: SampleBuffer;
  uplink: Uplink;
  vms: readonly MadeVm[];
}

function sender(url: string, index: number): Sender {
  const buffer = new SampleBuffer(HOST_BUFFER_LIMITS);
  const vms = Array.from({ length: VMS_PER_HOST }, (_, v) => new MadeVm(index * VMS_PER_HOST + v));
  const uplink: Uplink = createUplink({
    role: 'host',
    connect: webSocketConnect(url, FRAME_BYTES_MAX),
    clock: systemClock,
    prng: createPrng(1, String(index)),
    hello: () => helloFrame({ host: `host-${index}` }),
    buffer,
    flushMs: FLUSH_MS,
    handlers: { onWelcome: () => uplink.send(inventoryFrame(vms.map(({ id }) => id))) },
  });
  uplink.start();
  return { buffer, uplink, vms };
}

interface Ingested {
  rate: number;
  rssMiB: number;
  dropped: number;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Rows of each VM for the seconds in [from, to), when all before are acknowledged but for a few; answers when all are. */
async function send(senders: readonly Sender[], startMs: number, from: number, to: number, secondsPerFrame: number): Promise<void> {
  const waiting = (): number => senders.reduce((sum, { buffer }) => sum + buffer.stats.rows, 0);
  for (let second = from; second < to; second += secondsPerFrame) {
    for (const { buffer, vms } of senders) {
      const nowMs = systemClock.monotonicMs();
      for (const vm of vms) buffer.append(vm.block(startMs + second * 1000, secondsPerFrame, 1000), nowMs);
    }
    while (waiting() > (FRAMES_AHEAD - 1) * secondsPerFrame * HOSTS * VMS_PER_HOST) await pause(FLUSH_MS / 2);
  }
  while (waiting() > 0) await pause(FLUSH_MS);
}

async function rowsPerCoreSecond(
  store: ServerSetting['store'],
  url: string | null = null,
  secondsPerFrame = SECONDS_PER_FRAME,
): Promise<Ingested> {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-bench-ingest-'));
  const receiver = new Receiver();
  try {
    await receiver.start({ store, directory, url });
    const senders = Array.from({ length: HOSTS }, (_, index) => sender(receiver.url, index));
    const startMs = Math.ceil(Date.now() / 300_000) * 300_000;
    await send(senders, startMs, 0, WARM_UP_SECONDS, secondsPerFrame);
    const before = await receiver.figures();
    await send(senders, startMs, WARM_UP_SECONDS, WARM_UP_SECONDS + SECONDS, secondsPerFrame);
    const after = await receiver.figures();
    await Promise.all(senders.map(({ uplink }) => uplink.stop()));
    const rows = after.rows - before.rows;
    return {
      rate: rows / (after.cpuSeconds - before.cpuSeconds),
      rssMiB: after.rssMiB,
      dropped: HOSTS * VMS_PER_HOST * (WARM_UP_SECONDS + SECONDS) - after.rows,
    };
  } finally {
    await receiver.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function influxVersion(url: string): Promise<string> {
  return (await fetch(`${url}/ping`)).headers.get('x-influxdb-version') ?? 'unknown';
}

interface Taken {
  rate: number;
  /** CPU of the adapter, lines and HTTP, over the server's. */
  adapterShare: number;
}

/** The adapter alone, rows made beforehand: what a server takes in, and what it costs to give it. */
async function peer(store: SeriesStore, server: Program): Promise<Taken> {
  const vms = Array.from({ length: HOSTS * VMS_PER_HOST }, (_, v) => new MadeVm(v));
  const startMs = Math.floor(Date.now() / 1000) * 1000 - PEER_SECONDS * 1000;
  const appends: TelemetryBlock[][] = [];
  for (let second = 0; second < PEER_SECONDS; second += PEER_SECONDS_PER_APPEND) {
    appends.push(vms.map((vm) => vm.block(startMs + second * 1000, PEER_SECONDS_PER_APPEND, 1000)));
  }
  const before = server.cpuSeconds();
  const { cpuSeconds } = await measured(async () => {
    for (const blocks of appends) await store.append(blocks);
  });
  // What it has taken it goes on writing.
  await pause(PEER_SETTLE_MS);
  const theirs = server.cpuSeconds() - before;
  await store.close();
  return { rate: (PEER_SECONDS * vms.length) / theirs, adapterShare: cpuSeconds / theirs };
}

async function onServer<T>(server: Program, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } finally {
    await server.stop();
  }
}

export const ingest: Benchmark = {
  about: "rows of 20 values from agents' connections into stores, per second of the receiver's CPU",
  async run(tell) {
    tell('wire alone');
    const wire = await rowsPerCoreSecond('none');
    tell('into sqlite');
    const sqlite = await rowsPerCoreSecond('sqlite');
    tell(`into sqlite, frames of ${SECONDS_PER_SHORT_FRAME} s`);
    const shortFrames = await rowsPerCoreSecond('sqlite', null, SECONDS_PER_SHORT_FRAME);
    const given = { database: 'peer', clock: systemClock, prng: createPrng(1) };
    tell('into InfluxDB');
    const influx = await startInfluxDb();
    const [influxdb, influxPeer, influxdbVersion] = await onServer(influx, async () => [
      await rowsPerCoreSecond('influxdb', influx.url),
      await peer(await openInfluxSeriesStore({ url: influx.url, ...given }), influx),
      await influxVersion(influx.url),
    ]);
    tell('into VictoriaMetrics');
    const metrics = await startVictoriaMetrics();
    const [victoria, victoriaPeer] = await onServer(metrics, async () => [
      await rowsPerCoreSecond('victoria', metrics.url),
      await peer(await openVictoriaSeriesStore({ url: metrics.url, ...given }), metrics),
    ]);
    const each = (figure: (of: Ingested) => number) => ({
      wire: figure(wire),
      sqlite: figure(sqlite),
      influxdb: figure(influxdb),
      victoria: figure(victoria),
    });
    return {
      rowsPerCoreSecond: each(({ rate }) => rounded(rate)),
      rowsPerCoreSecondInShortFrames: { secondsPerFrame: SECONDS_PER_SHORT_FRAME, sqlite: rounded(shortFrames.rate) },
      timesInfluxdb: { sqlite: rounded(sqlite.rate / influxPeer.rate), sqliteInShortFrames: rounded(shortFrames.rate / influxPeer.rate) },
      peersRowsPerCoreSecond: { influxdb: rounded(influxPeer.rate), victoria: rounded(victoriaPeer.rate) },
      influxdbAdapterCpuShare: rounded(influxPeer.adapterShare),
      victoriaAdapterCpuShare: rounded(victoriaPeer.adapterShare),
      peers: { influxdb: influxdbVersion, victoria: packageVersion('victoria-metrics') },
      rssMiB: each(({ rssMiB }) => rounded(rssMiB)),
      rowsDropped: each(({ dropped }) => dropped),
      rows: HOSTS * VMS_PER_HOST * SECONDS,
      secondsPerFrame: SECONDS_PER_FRAME,
      warmUpSeconds: WARM_UP_SECONDS,
    };
  },
};
