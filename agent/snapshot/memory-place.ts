/**
 * Where a resumed guest's memory lies: a file that is whole from the first moment although its chunks come as they are touched.
 * qemu-storage-daemon shows it (FUSE), over our NBD export of the snapshot and an overlay for what the guest writes. Input: an open
 * snapshot, a folder (in RAM: the overlay is written to as the guest writes); output: the file, with ways to fetch chunks ahead.
 */
import { spawn } from 'node:child_process';
import { chown, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleep } from '../../shared/clock.ts';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import { bringIn } from './bring-in.ts';
import { type Ahead, createAhead, type OnFetched } from './chunks-ahead.ts';
import { deviceNumber, type FileIdentity } from './device-number.ts';
import { oneAtATime } from './fuse-requests.ts';
import { type NbdServer, serveNbd } from './nbd-server.ts';
import { emptyOverlay } from './overlay-image.ts';
import { READ_BYTES_MAX, readShown, type ShownFile } from './shown-file.ts';
import type { OpenSnapshot } from './snapshot-store.ts';
import { endDaemons, startDaemon } from './storage-daemon.ts';

const READY_MS_MAX = 15_000;
const POLL_MS = 5;
/** QEMU's user gets through to the file it was given; the others in there are for their owner alone. */
export const FOLDER_MODE = 0o711;
/** An agent that died is back within seconds; until then whoever needs a chunk waits, and does not fail. */
const RECONNECT_SECONDS = 86_400;
/** Dirty pages of a FUSE file are throttled at this percentage of the host's, one unless told: a guest's memory is nothing but. */
const DIRTY_PERCENT = 100;
export interface MemoryPlace {
  path: string;
  /** Of the file, taken once: whoever asks for it while the guest runs makes the kernel drop the guest's pages. */
  identity: FileIdentity;
  /** Chunks in the order in which they were first needed, since this process serves them. */
  readonly order: readonly number[];
  /** Fetches these into this process's memory, verified, in this order; answers the bytes of those that hold something. */
  warm(chunks: readonly number[], cancelled?: () => boolean, onProgress?: OnFetched): Promise<number>;
  /** Has the kernel hold these before the guest runs; answers those it holds, none where that is not needed. */
  bring(chunks: readonly number[], cancelled: () => boolean): Promise<Set<number>>;
  /** Has been needed since the place was made; one that has not is as in the snapshot. */
  touched(chunk: number): boolean;
  readonly touchedChunks: number;
  read(offset: number, length: number): Promise<Buffer>;
  /** Serves no more, and leaves file and guest as they are: another process takes over. Until then the guest may have to wait. */
  handOver(): Promise<void>;
  /** The guest must be gone. */
  close(): Promise<void>;
}

export interface PlaceOptions {
  snapshot: OpenSnapshot;
  /** Of this place alone: made anew, and gone with `close`. */
  folder: string;
  clock: Clock;
  /** Whom QEMU runs as, if not as whom we run. */
  owner?: { uid: number; gid: number };
  onStuck(chunk: number, problem: unknown): void;
}

/** Throws ENVIRONMENT when qemu-storage-daemon or FUSE is not to be had, or cannot be had safely. */
export async function placeLazily(options: PlaceOptions): Promise<MemoryPlace> {
  const { snapshot, folder, clock } = options;
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  const ahead = createAhead(snapshot);
  const server = await serveChunks(options, ahead);
  try {
    const identity = await showFile(folder, snapshot.manifest.facts.memoryBytes, clock);
    // Before anybody has it open: who asks for its state later makes the kernel drop what it holds of it.
    if (options.owner !== undefined) await chown(join(folder, MEMORY), options.owner.uid, options.owner.gid);
    return new LazyPlace(options, identity, server, ahead, () => false);
  } catch (error) {
    await server.close();
    await clearPlace(folder);
    throw new HeadroomError('ENVIRONMENT', `guest memory cannot be shown as a file: ${errorText(error)}`, { cause: error });
  }
}

/** Takes over a place whose process died, with its guest on it. What was needed before is not known: all of it may have been. */
export async function takeOverPlace(options: PlaceOptions, identity: FileIdentity): Promise<MemoryPlace> {
  await rm(join(options.folder, SOCKET), { force: true });
  // One that was made by an agent of before; its guest lives on it either way.
  await oneAtATime(identity.dev).catch(() => undefined);
  const ahead = createAhead(options.snapshot);
  return new LazyPlace(options, identity, await serveChunks(options, ahead), ahead, () => true);
}

/** Whatever is left of a place. The guest must be gone. */
export async function clearPlace(folder: string): Promise<void> {
  const path = memoryAt(folder);
  await endDaemons(path);
  await takeAwayMount(path);
  await rm(folder, { recursive: true, force: true });
}

/** A daemon that was killed leaves its mount behind, which nothing can be asked of. */
async function takeAwayMount(path: string): Promise<void> {
  const left = await stat(path).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOTCONN',
  );
  if (left) await run('umount', ['--lazy', path]);
}

const SOCKET = 'nbd';
const MEMORY = 'memory';

/** The guest's memory within a place. */
export const memoryAt = (folder: string): string => join(folder, MEMORY);

function serveChunks({ snapshot, folder, clock, onStuck }: PlaceOptions, { chunk, given, answered }: Ahead): Promise<NbdServer> {
  return serveNbd({
    path: join(folder, SOCKET),
    bytes: snapshot.manifest.facts.memoryBytes,
    clock,
    chunk,
    given,
    answered,
    onStuck,
  });
}

async function showFile(folder: string, bytes: number, clock: Clock): Promise<FileIdentity> {
  const [overlay, path, log] = ['overlay', MEMORY, 'words'].map((name) => join(folder, name)) as [string, string, string];
  await writeFile(overlay, emptyOverlay(bytes), { mode: 0o600 });
  await writeFile(path, '', { mode: 0o600 });
  const before = await stat(path);
  const nbd = `server.type=unix,server.path=${join(folder, SOCKET)},reconnect-delay=${RECONNECT_SECONDS}`;
  const daemon = await startDaemon(log, [
    ...['--blockdev', `driver=nbd,node-name=snapshot,read-only=on,${nbd}`],
    ...['--blockdev', `driver=file,node-name=file,filename=${overlay},cache.no-flush=on`],
    ...['--blockdev', 'driver=qcow2,node-name=memory,file=file,backing=snapshot,cache.no-flush=on'],
    ...['--export', `type=fuse,id=memory,node-name=memory,mountpoint=${path},writable=on,allow-other=on`],
  ]);
  const words = async (): Promise<string> => (await readFile(log, 'utf8').catch(() => '')).trim().slice(-1000);
  const untilMs = clock.monotonicMs() + READY_MS_MAX;
  while (clock.monotonicMs() < untilMs) {
    if (daemon.ended()) throw new Error(`qemu-storage-daemon ended: ${await words()}`);
    const now = await stat(path);
    if (now.dev !== before.dev) {
      await oneAtATime(now.dev);
      await setBounds(now.dev);
      return { dev: now.dev, ino: now.ino };
    }
    await sleep(clock, POLL_MS);
  }
  throw new Error(`qemu-storage-daemon showed nothing within ${READY_MS_MAX} ms: ${await words()}`);
}

/**
 * Where the kernel does not let us, a guest that writes much is slower until its memory has been written to the overlay, and more is read
 * than what was asked for.
 */
async function setBounds(device: number): Promise<void> {
  const { major, minor } = deviceNumber(device);
  const folder = `/sys/class/bdi/${major}:${minor}`;
  for (const [name, value] of [
    ['strict_limit', 0],
    ['max_ratio', DIRTY_PERCENT],
    ['read_ahead_kb', READ_BYTES_MAX / 1024],
  ] as const) {
    await writeFile(join(folder, name), String(value)).catch(() => undefined);
  }
}

class LazyPlace implements MemoryPlace {
  readonly identity: FileIdentity;
  readonly #folder: string;
  readonly #bytes: number;
  readonly #server: NbdServer;
  readonly #ahead: Ahead;
  readonly #before: (chunk: number) => boolean;
  /** Open only while the guest does not run. */
  #shown: ShownFile | null = null;

  /** `before`: chunks that may have been needed before this process served them. */
  constructor(
    { folder, snapshot }: PlaceOptions,
    identity: FileIdentity,
    server: NbdServer,
    ahead: Ahead,
    before: (chunk: number) => boolean,
  ) {
    this.#folder = folder;
    this.#bytes = snapshot.manifest.facts.memoryBytes;
    this.identity = identity;
    this.#server = server;
    this.#ahead = ahead;
    this.#before = before;
  }

  get path(): string {
    return memoryAt(this.#folder);
  }

  get touchedChunks(): number {
    return this.#server.order.length;
  }

  get order(): readonly number[] {
    return this.#server.order;
  }

  touched(chunk: number): boolean {
    return this.#server.asked(chunk) || this.#before(chunk);
  }

  async bring(chunks: readonly number[], cancelled: () => boolean): Promise<Set<number>> {
    if (chunks.length === 0) return new Set();
    this.#shown ??= readShown(this.path);
    const shown = this.#shown;
    try {
      return await this.#ahead.exactly(() => bringIn(shown, this.#bytes, chunks, cancelled));
    } finally {
      this.#closeShown();
    }
  }

  warm(chunks: readonly number[], cancelled = () => false, onProgress?: OnFetched): Promise<number> {
    // Begun now, to be there when they are brought in.
    if (chunks.length > 0) this.#shown ??= readShown(this.path);
    return this.#ahead.fetch(chunks, cancelled, onProgress);
  }

  read(offset: number, length: number): Promise<Buffer> {
    this.#shown ??= readShown(this.path);
    return this.#shown.give(offset, length);
  }

  #closeShown(): void {
    this.#shown?.close();
    this.#shown = null;
  }

  handOver(): Promise<void> {
    this.#closeShown();
    return this.#server.close();
  }

  async close(): Promise<void> {
    this.#closeShown();
    // The daemon first: it asks for no more chunks then.
    await endDaemons(this.path);
    await this.#server.close();
    await rm(this.#folder, { recursive: true, force: true });
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
