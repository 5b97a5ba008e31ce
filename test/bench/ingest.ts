/**
 * `bench ingest`: rows of 20 values from host agents' own connections into an aggregator's receiving end. Output: rows per
 * second of the receiver's CPU, all its threads counted: as far as decoded and validated (`wire`), and through live state
 * and forecasts into the embedded store (`sqlite`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HOST_BUFFER_LIMITS, SampleBuffer } from '../../agent/core/sample-buffer.ts';
import { createUplink, type Uplink } from '../../agent/loops/uplink.ts';
import { systemClock } from '../../shared/clock.ts';
import { webSocketConnect } from '../../shared/net/websocket.ts';
import { createPrng } from '../../shared/prng.ts';
import { FRAME_BYTES_MAX } from '../../shared/protocol/frames.ts';
import { helloFrame, inventoryFrame } from '../support/wire-world.ts';
import { type Benchmark, rounded } from './benchmark.ts';
import type { ServerFigures, ServerSetting } from './ingest-server.ts';
import { MadeVm } from './made-rows.ts';

const HOSTS = 20;
const VMS_PER_HOST = 50;
/** Two steps of forecasts are made on the way. */
const SECONDS = 600;
/** Rows sent and not yet acknowledged, as seconds of the fleet: an agent's flush sends a row or two of each VM. */
const SECONDS_AHEAD = 2;
const FLUSH_MS = 10;

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

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function send(senders: readonly Sender[]): Promise<void> {
  const waiting = (): number => senders.reduce((sum, { buffer }) => sum + buffer.stats.rows, 0);
  const startMs = Math.ceil(Date.now() / 300_000) * 300_000;
  for (let second = 1; second <= SECONDS; second++) {
    for (const { buffer, vms } of senders) {
      const nowMs = systemClock.monotonicMs();
      for (const vm of vms) buffer.append(vm.block(startMs + second * 1000, 1, 1000), nowMs);
    }
    while (waiting() > (SECONDS_AHEAD - 1) * HOSTS * VMS_PER_HOST) await pause(FLUSH_MS / 2);
  }
  while (waiting() > 0) await pause(FLUSH_MS);
}

async function rowsPerCoreSecond(store: ServerSetting['store']): Promise<{ rate: number; rssMiB: number; dropped: number }> {
  const directory = mkdtempSync(join(tmpdir(), 'headroom-bench-ingest-'));
  const receiver = new Receiver();
  try {
    await receiver.start({ store, directory });
    const senders = Array.from({ length: HOSTS }, (_, index) => sender(receiver.url, index));
    const before = await receiver.figures();
    await send(senders);
    const after = await receiver.figures();
    await Promise.all(senders.map(({ uplink }) => uplink.stop()));
    const dropped = HOSTS * VMS_PER_HOST * SECONDS - (after.rows - before.rows);
    return { rate: (after.rows - before.rows) / (after.cpuSeconds - before.cpuSeconds), rssMiB: after.rssMiB, dropped };
  } finally {
    await receiver.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

export const ingest: Benchmark = {
  about: "rows of 20 values from agents' connections into stores, per second of the receiver's CPU",
  async run(tell) {
    const figures: Record<string, { rate: number; rssMiB: number; dropped: number }> = {};
    for (const store of ['none', 'sqlite'] as const) {
      tell(store === 'none' ? 'wire alone' : `into ${store}`);
      figures[store] = await rowsPerCoreSecond(store);
    }
    const { none, sqlite } = figures as Record<'none' | 'sqlite', { rate: number; rssMiB: number; dropped: number }>;
    return {
      rowsPerCoreSecond: { wire: rounded(none.rate), sqlite: rounded(sqlite.rate) },
      rssMiB: { wire: rounded(none.rssMiB), sqlite: rounded(sqlite.rssMiB) },
      rowsDropped: { wire: none.dropped, sqlite: sqlite.dropped },
      rows: HOSTS * VMS_PER_HOST * SECONDS,
    };
  },
};
