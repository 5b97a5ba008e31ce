/**
 * Where a resumed guest's memory lies: a file that is whole from the first moment although its chunks come as they are touched.
 * qemu-storage-daemon shows it (FUSE), over our NBD export of the snapshot and an overlay for what the guest writes. Input: an open
 * snapshot, a folder (in RAM: the overlay is written to as the guest writes); output: the file, with ways to fetch chunks ahead.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { deviceNumber, type FileIdentity } from './device-number.ts';
import { type NbdServer, serveNbd } from './nbd-server.ts';
import type { OpenSnapshot } from './snapshot-store.ts';

const READY_MS_MAX = 15_000;
const POLL_MS = 5;
/** Dirty pages of a FUSE file are throttled at this percentage of the host's, one unless told: a guest's memory is nothing but. */
const DIRTY_PERCENT = 100;

export interface MemoryPlace {
  path: string;
  /** Of the file, taken once: whoever asks for it while the guest runs makes the kernel drop the guest's pages. */
  identity: FileIdentity;
  /** Fetches these into this process's memory, verified, in this order; answers the bytes of those that hold something. */
  warm(chunks: readonly number[], cancelled?: () => boolean): Promise<number>;
  /** Has been needed since the place was made; one that has not is as in the snapshot. */
  touched(chunk: number): boolean;
  readonly touchedChunks: number;
  read(offset: number, length: number): Promise<Buffer>;
  /** The guest must be gone. */
  close(): Promise<void>;
}

export interface PlaceOptions {
  snapshot: OpenSnapshot;
  /** Made if it is not there; what lies in it goes with `close`. */
  folder: string;
  clock: Clock;
  onStuck(chunk: number, problem: unknown): void;
}

/** Throws ENVIRONMENT when qemu-storage-daemon or FUSE is not to be had. */
export async function placeLazily(options: PlaceOptions): Promise<MemoryPlace> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(options.folder, 'place-'));
  const { snapshot, clock, onStuck } = options;
  const bytes = snapshot.manifest.facts.memoryBytes;
  const socket = join(folder, 'nbd');
  const ahead = createAhead(snapshot);
  const server = await serveNbd({ path: socket, bytes, clock, chunk: ahead.chunk, given: ahead.given, onStuck });
  let daemon: ChildProcess | null = null;
  const close = async (): Promise<void> => {
    if (daemon !== null) await ended(daemon);
    await server.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const path = join(folder, 'memory');
    const shown = await showFile(folder, socket, path, bytes, clock);
    daemon = shown.daemon;
    return new LazyPlace(path, shown.identity, server, ahead, close);
  } catch (error) {
    await close();
    throw new HeadroomError('ENVIRONMENT', `guest memory cannot be shown as a file: ${errorText(error)}`, { cause: error });
  }
}

async function showFile(
  folder: string,
  socket: string,
  path: string,
  bytes: number,
  clock: Clock,
): Promise<{ daemon: ChildProcess; identity: FileIdentity }> {
  const overlay = join(folder, 'overlay');
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', overlay, String(bytes)]);
  await writeFile(path, '', { mode: 0o600 });
  const before = await stat(path);
  const daemon = spawn(
    'qemu-storage-daemon',
    [
      ...['--blockdev', `driver=nbd,node-name=snapshot,read-only=on,server.type=unix,server.path=${socket}`],
      ...['--blockdev', `driver=file,node-name=file,filename=${overlay},cache.no-flush=on`],
      ...['--blockdev', 'driver=qcow2,node-name=memory,file=file,backing=snapshot,cache.no-flush=on'],
      ...['--export', `type=fuse,id=memory,node-name=memory,mountpoint=${path},writable=on,allow-other=on`],
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let words = '';
  daemon.stderr?.on('data', (part: Buffer) => {
    words = (words + part.toString()).slice(-1000);
  });
  let failed: Error | null = null;
  daemon.on('error', (error) => {
    failed = error;
  });
  for (let waitedMs = 0; waitedMs < READY_MS_MAX; waitedMs += POLL_MS) {
    if (failed !== null) throw failed;
    if (daemon.exitCode !== null) throw new Error(`qemu-storage-daemon ended: ${words.trim()}`);
    const now = await stat(path);
    if (now.dev !== before.dev) {
      await liftDirtyLimit(now.dev);
      return { daemon, identity: { dev: now.dev, ino: now.ino } };
    }
    await sleep(clock, POLL_MS);
  }
  await ended(daemon);
  throw new Error(`qemu-storage-daemon showed nothing within ${READY_MS_MAX} ms: ${words.trim()}`);
}

/** Where the kernel does not let us, a guest that writes much is slower until its memory has been written to the overlay. */
async function liftDirtyLimit(device: number): Promise<void> {
  const { major, minor } = deviceNumber(device);
  const folder = `/sys/class/bdi/${major}:${minor}`;
  for (const [name, value] of [
    ['strict_limit', 0],
    ['max_ratio', DIRTY_PERCENT],
  ] as const) {
    await writeFile(join(folder, name), String(value)).catch(() => undefined);
  }
}

/**
 * Chunks decoded before they are asked for, each until all of it has been given. Not by reading the file: QEMU's daemon tells a new
 * time of change whenever it is asked, and the kernel then drops what it holds of the file, as it does at each opening.
 */
function createAhead(snapshot: OpenSnapshot) {
  const held = new Map<number, Buffer>();
  const givenBytes = new Map<number, number>();
  return {
    chunk: async (index: number): Promise<Buffer> => held.get(index) ?? snapshot.chunk(index),
    given(index: number, bytes: number): void {
      const contents = held.get(index);
      if (contents === undefined) return;
      const sum = (givenBytes.get(index) ?? 0) + bytes;
      givenBytes.set(index, sum);
      if (sum >= contents.length) held.delete(index);
    },
    async fetch(chunks: readonly number[], cancelled: () => boolean): Promise<number> {
      const { memory } = snapshot.manifest;
      let bytes = 0;
      for (const chunk of chunks) {
        if (cancelled()) break;
        const kind = memory[chunk]?.kind ?? 'zero';
        if (kind === 'zero') continue;
        const contents = await snapshot.chunk(chunk);
        held.set(chunk, contents);
        bytes += contents.length;
      }
      return bytes;
    },
  };
}

class LazyPlace implements MemoryPlace {
  readonly path: string;
  readonly identity: FileIdentity;
  readonly close: () => Promise<void>;
  readonly #server: NbdServer;
  readonly #ahead: ReturnType<typeof createAhead>;

  constructor(path: string, identity: FileIdentity, server: NbdServer, ahead: ReturnType<typeof createAhead>, close: () => Promise<void>) {
    this.path = path;
    this.identity = identity;
    this.#server = server;
    this.#ahead = ahead;
    this.close = close;
  }

  get touchedChunks(): number {
    return this.#server.askedChunks;
  }

  touched(chunk: number): boolean {
    return this.#server.asked(chunk);
  }

  warm(chunks: readonly number[], cancelled = () => false): Promise<number> {
    return this.#ahead.fetch(chunks, cancelled);
  }

  read(offset: number, length: number): Promise<Buffer> {
    return readRange(this.path, offset, length);
  }
}

export async function readRange(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    if (bytesRead !== length) throw new HeadroomError('ENVIRONMENT', `guest memory in ${path} ends at ${offset + bytesRead}`);
    return buffer;
  } finally {
    await file.close();
  }
}

async function run(program: string, args: string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (part: Buffer) => {
    words += part.toString();
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`${program} ${args[0]}: ${words.trim()}`);
}

/** It takes its mount with it. */
async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null || daemon.pid === undefined) return;
  const gone = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGTERM');
  await gone;
}
