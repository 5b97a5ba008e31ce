/**
 * Disk images by QEMU's own tools: what one is, what its guest would read of it, what was written since, and new ones. Input: paths;
 * output: as below. An image is read without its lock, so that nobody who starts its VM is kept from it: whoever reads says afterwards
 * whether it is still the one it was. Rejects with ENVIRONMENT and what the tool said.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { errorText, HeadroomError } from '../../shared/errors.ts';
import type { DiskFormat } from '../core/held-disk.ts';
import { type NbdClient, openNbdClient } from '../nbd/nbd-client.ts';
import { CHUNK_BYTES } from './chunk.ts';

const IMG = 'qemu-img';
const NBD = 'qemu-nbd';
/** A map of a disk of terabytes in pieces. */
const ANSWER_BYTES_MAX = 512 * 1024 * 1024;
const TOOL_MS_MAX = 600_000;
const SERVE_MS_MAX = 15_000;
const POLL_MS = 10;
/** Ours: which of them counts is written down in the journal. */
export const BITMAP_PREFIX = 'headroom-';

export interface ImageFacts {
  bytes: number;
  /** Ours, and fit to be trusted: none of an image that cannot have any. */
  bitmaps: string[];
  /** Ours, fit or not. */
  allBitmaps: string[];
  /** It can note what is written to it, and nothing could get past its notes. */
  notes: boolean;
}

export interface Extent {
  start: number;
  length: number;
}

export interface OpenImage {
  bytes: number;
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, data: Buffer): Promise<void>;
  flush(): Promise<void>;
  /** What may hold something else than zeros. */
  data(): Promise<Extent[]>;
  /** Written to since its bitmap was made; null = it was opened without one. */
  dirty(): Promise<Extent[] | null>;
  /** The process is gone once this resolves. */
  close(): Promise<void>;
}

interface ImageInfo {
  'virtual-size': number;
  encrypted?: boolean;
  snapshots?: unknown[];
  'dirty-flag'?: boolean;
  'backing-filename'?: string;
  'format-specific'?: {
    data?: { compat?: string; 'data-file'?: string; corrupt?: boolean; bitmaps?: { name: string; flags: string[]; granularity: number }[] };
  };
}

async function run(program: string, args: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)(program, args, { maxBuffer: ANSWER_BYTES_MAX, timeout: TOOL_MS_MAX })).stdout;
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim() || errorText(error);
    throw new HeadroomError('ENVIRONMENT', `${program} ${args[0]}: ${said.slice(0, 500)}`, { cause: error });
  }
}

/** Throws STORE_CORRUPT when it is broken, ENVIRONMENT when it cannot be read. */
export async function describeImage(path: string, format: DiskFormat): Promise<ImageFacts> {
  const info = JSON.parse(await run(IMG, ['info', '--output=json', '--force-share', '-f', format, path])) as ImageInfo;
  const data = info['format-specific']?.data ?? {};
  if (info.encrypted) throw new HeadroomError('ENVIRONMENT', `${path} is encrypted`);
  if (data.corrupt) throw new HeadroomError('STORE_CORRUPT', `${path} is marked as corrupt: qemu-img check tells more`);
  const ours = (data.bitmaps ?? []).filter(({ name }) => name.startsWith(BITMAP_PREFIX));
  // Going back to a snapshot inside the image changes what its guest sees, and others write to a data file beside it, without a note.
  const notes = format === 'qcow2' && data.compat !== '0.10' && data['data-file'] === undefined && (info.snapshots ?? []).length === 0;
  const fit = ({ flags, granularity }: (typeof ours)[number]): boolean =>
    flags.includes('auto') && !flags.includes('in-use') && granularity <= CHUNK_BYTES;
  return {
    bytes: info['virtual-size'],
    bitmaps: notes ? ours.filter(fit).map(({ name }) => name) : [],
    allBitmaps: ours.map(({ name }) => name),
    notes,
  };
}

/** From now on the image notes under this name what is written to it. It must be nobody's at the time. */
export async function addBitmap(path: string, name: string): Promise<void> {
  await run(IMG, ['bitmap', '--add', '-g', String(CHUNK_BYTES), '-f', 'qcow2', path, name]);
}

export async function removeBitmap(path: string, name: string): Promise<void> {
  await run(IMG, ['bitmap', '--remove', '-f', 'qcow2', path, name]);
}

export async function createImage(path: string, bytes: number): Promise<void> {
  await run(IMG, ['create', '-q', '-f', 'qcow2', path, String(bytes)]);
}

/** An image that reads what was not written to it from a socket, where the bytes are served: it cannot be opened where nobody serves. */
export async function createOverlay(path: string, bytes: number, socket: string): Promise<void> {
  await run(IMG, ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', servedAt(socket), path, String(bytes)]);
}

/** Below which it has another; null = it stands alone. */
export async function backingOf(path: string): Promise<string | null> {
  const info = JSON.parse(await run(IMG, ['info', '--output=json', '--force-share', '-f', 'qcow2', path])) as ImageInfo;
  return info['backing-filename'] ?? null;
}

/** Reads what it lacks from below it, and stands alone then. Nobody may have it open. */
export async function standAlone(path: string): Promise<void> {
  await run(IMG, ['rebase', '-f', 'qcow2', '-b', '', path]);
}

/** It is said to stand alone, and may lack what it was given last: that is read from the socket again. Nobody may have it open. */
export async function backOnto(path: string, socket: string): Promise<void> {
  await run(IMG, ['rebase', '-f', 'qcow2', '-u', '-F', 'raw', '-b', servedAt(socket), path]);
}

const servedAt = (socket: string): string => `nbd+unix:///?socket=${encodeURIComponent(socket).replaceAll('%2F', '/')}`;

/** @param folder where its socket may be made, for this image alone */
export async function openImage(
  { path, format, folder }: { path: string; format: DiskFormat; folder: string },
  { writable = false, bitmap = null }: { writable?: boolean; bitmap?: string | null } = {},
): Promise<OpenImage> {
  const socket = join(folder, 'nbd');
  const file = path.replaceAll(',', ',,');
  const what = `driver=${format},file.driver=file,file.filename=${file}`;
  const mode = writable ? ['--image-opts', what] : ['--read-only', '--image-opts', `${what},force-share=on`];
  // Not persistent: it ends with its first client, which is held all the while, so that none outlives us.
  const server = spawn(NBD, ['-k', socket, '-e', '4', ...(bitmap === null ? [] : ['-B', bitmap]), ...mode], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const gone = watched(server);
  try {
    const client = await served(socket, gone);
    const to = `driver=nbd,server.type=unix,server.path=${socket.replaceAll(',', ',,')}`;
    return {
      bytes: client.info.bytes,
      read: (offset, length) => client.read(offset, length),
      write: (offset, data) => client.write(offset, data),
      flush: () => client.flush(),
      data: async () => (await mapped(to)).filter(({ zero }) => !zero),
      // QEMU's way to tell what a bitmap holds: what is dirty has no data.
      dirty: async () =>
        bitmap === null ? null : (await mapped(`${to},x-dirty-bitmap=qemu:dirty-bitmap:${bitmap}`)).filter((one) => !one.data),
      async close() {
        client.destroy();
        await ended(server, gone);
      },
    };
  } catch (error) {
    await ended(server, gone);
    throw error;
  }
}

async function mapped(image: string): Promise<(Extent & { zero: boolean; data: boolean })[]> {
  return JSON.parse(await run(IMG, ['map', '--output=json', '--image-opts', image]));
}

interface Gone {
  is: boolean;
  said: string;
  promise: Promise<void>;
}

function watched(server: ChildProcess): Gone {
  const gone: Gone = { is: false, said: '', promise: Promise.resolve() };
  server.stderr?.on('data', (bytes: Buffer) => {
    gone.said = (gone.said + bytes.toString()).slice(-500);
  });
  gone.promise = new Promise((resolve) => {
    const end = (): void => {
      gone.is = true;
      resolve();
    };
    server.once('close', end);
    server.once('error', (error) => {
      gone.said = errorText(error);
      end();
    });
  });
  return gone;
}

async function served(socket: string, gone: Gone): Promise<NbdClient> {
  const untilMs = performance.now() + SERVE_MS_MAX;
  for (;;) {
    if (gone.is) throw new HeadroomError('ENVIRONMENT', `${NBD}: ${gone.said.trim() || 'it ended at once'}`);
    const connection = await connected(socket);
    if (connection !== null) return openNbdClient(connection);
    if (performance.now() > untilMs)
      throw new HeadroomError('ENVIRONMENT', `${NBD} shows nothing within ${SERVE_MS_MAX} ms: ${gone.said.trim()}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function connected(path: string): Promise<ReturnType<typeof connect> | null> {
  return new Promise((resolve) => {
    const socket = connect(path, () => resolve(socket));
    socket.once('error', () => resolve(null));
  });
}

/** What it was given to write is in the file when it has ended as it was asked to. */
async function ended(server: ChildProcess, gone: Gone): Promise<void> {
  if (!gone.is) server.kill('SIGTERM');
  await gone.promise;
}
