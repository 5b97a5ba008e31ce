/**
 * A disk of a VM that is off into the chunk store, and out of it into a new image. Input: an image, the store, the snapshot of the same disk
 * before; output: what is to be written down of it. Taken: what was written since the snapshot before where the image has noted it, else
 * all that is not zeros. Nothing of the guest's own image changes but its notes; a new image bears its name only once it is whole.
 */
import { randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, readdir, rename, rm, rmdir, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HeadroomError } from '../../shared/errors.ts';
import type { VmId } from '../../shared/ids.ts';
import { type DefinedDisk, type FileStamp, type HeldDisk, sameStamp } from '../core/held-disk.ts';
import { CHUNK_BYTES, chunkCount, chunkLength } from './chunk.ts';
import {
  addBitmap,
  BITMAP_PREFIX,
  createImage,
  describeImage,
  type Extent,
  type OpenImage,
  openImage,
  removeBitmap,
} from './disk-image.ts';
import type { OpenSnapshot, SnapshotStore } from './snapshot-store.ts';
import { synced } from './synced.ts';

export type OnBytes = (doneBytes: number, totalBytes: number) => unknown;

export interface DiskToCapture {
  vm: VmId;
  disk: DefinedDisk;
  /** The snapshot of the memory of the same moment. */
  of: string;
  takenAtMs: number;
  /** As it was taken last, with the snapshot if that is there still. */
  before: { held: HeldDisk; snapshot: OpenSnapshot } | null;
}

export interface CapturedDisk {
  held: HeldDisk;
  newBytes: number;
  /** Read of the image. */
  readBytes: number;
}

const GIB = 1024 ** 3;
/** QEMU's user must come by; the images themselves are for it alone. */
const FOLDER_MODE = 0o711;
export const IMAGE_MODE = 0o600;
/** An image that is not whole yet. */
const PART = '.part';
/** Folders of sockets on which images are read and written. */
const SOCKET_FOLDER = '.image-';
/**
 * The table of its chunks is in the agent's memory while it is taken, lent and collected, of which a host's agent has 256 MiB: 120 bytes for
 * each chunk that holds something, twice at times, and 97 beside that memory for each in all.
 */
const DISK_BYTES_MAX = 128 * GIB;
const DATA_BYTES_MAX = 24 * GIB;
/** What a full file system would do to other VMs is worse than one that stays where it is. */
const SPARE_BYTES = 256 * 1024 ** 2;
const MACHINE = { qemuVersion: '', machineType: '', domainXml: '' };

export async function stampOf(path: string): Promise<FileStamp | null> {
  const found = await stat(path).catch(() => null);
  return found === null ? null : { dev: found.dev, ino: found.ino, size: found.size, modifiedMs: found.mtimeMs };
}

/** Throws CANCELLED, CONFLICT when the image moved under it, or what its tools said. Nothing is in the store then that a collection leaves. */
export async function captureDisk(
  store: SnapshotStore,
  { vm, disk, of, takenAtMs, before }: DiskToCapture,
  { folder, cancelled }: { folder: string; cancelled(): boolean },
): Promise<CapturedDisk> {
  const facts = await describeImage(disk.path, disk.format);
  assertNotTooLarge(disk.target, facts.bytes, DISK_BYTES_MAX, 'large');
  const old = before?.held.bitmap ?? null;
  const base = before !== null && before.snapshot.manifest.facts.memoryBytes === facts.bytes ? before.snapshot : null;
  const trusted = base !== null && before?.held.path === disk.path && old !== null && facts.bitmaps.includes(old) ? old : null;
  // First the new notes: what is written while the image is read is in them.
  const bitmap = facts.notes ? `${BITMAP_PREFIX}${randomUUID()}` : null;
  if (bitmap !== null) await addBitmap(disk.path, bitmap);
  const began = await stampOf(disk.path);
  const image = await inFolder(folder, (own) => openImage({ ...disk, folder: own }, { bitmap: trusted }));
  let saved: Awaited<ReturnType<typeof store.save>>;
  let readBytes = 0;
  try {
    const [data, dirty] = [chunksOf(await image.data(), image.bytes), chunksOf((await image.dirty()) ?? [], image.bytes)];
    assertNotTooLarge(disk.target, data.reduce((sum, one) => sum + one, 0) * CHUNK_BYTES, DATA_BYTES_MAX, 'full');
    saved = await store.save({
      facts: { vm, takenAtMs, memoryBytes: image.bytes, machine: MACHINE, disk: { target: disk.target, of } },
      state: Buffer.alloc(0),
      readMemory: async (offset, length) => {
        if (cancelled()) throw new HeadroomError('CANCELLED', `disk ${disk.target} is needed elsewhere`);
        if (data[offset / CHUNK_BYTES] === 0) return Buffer.alloc(length);
        readBytes += length;
        return image.read(offset, length);
      },
      parent: base,
      ...(trusted === null ? {} : { unchanged: (chunk: number) => dirty[chunk] === 0 }),
      inSlices: true,
    });
  } finally {
    await image.done();
  }
  const now = await stampOf(disk.path);
  if (began === null || now === null || !sameStamp(began, now)) {
    await store.remove(saved.manifest.id);
    throw new HeadroomError('CONFLICT', `disk ${disk.target} (${disk.path}) was written to while it was read`);
  }
  for (const name of facts.allBitmaps) await removeBitmap(disk.path, name);
  const held: HeldDisk = {
    ...{ target: disk.target, path: disk.path, format: disk.format, bytes: saved.manifest.facts.memoryBytes },
    ...{ snapshot: saved.manifest.id, of, bitmap, stamp: (await stampOf(disk.path)) ?? now },
  };
  return { held, newBytes: saved.newBytes, readBytes };
}

/** What its guest would read of an image. */
export async function readingImage<T>(
  image: Pick<HeldDisk, 'path' | 'format'>,
  folder: string,
  work: (read: OpenImage['read']) => Promise<T>,
): Promise<T> {
  const opened = await inFolder(folder, (own) => openImage({ ...image, folder: own }));
  try {
    return await work((offset, length) => opened.read(offset, length));
  } finally {
    await opened.done();
  }
}

function assertNotTooLarge(target: string, bytes: number, bytesMax: number, how: string): void {
  if (bytes > bytesMax)
    throw new HeadroomError(
      'CONFLICT',
      `disk ${target} is ${(bytes / GIB).toFixed(1)} GiB ${how}, and at most ${bytesMax / GIB} are taken`,
    );
}

export interface LaidImage {
  bitmap: string;
  stamp: FileStamp;
}

/** Throws STORE_CORRUPT when a chunk is not what was written; there is no image then. */
export function layDisk(
  snapshot: OpenSnapshot,
  path: string,
  { owner, cancelled, onBytes }: { owner?: { uid: number; gid: number }; cancelled(): boolean; onBytes?: OnBytes },
): Promise<LaidImage> {
  const create = (part: string): Promise<void> => createImage(part, snapshot.manifest.facts.memoryBytes);
  return layImage(snapshot, path, owner, create, async (part) => {
    const image = await inFolder(dirname(path), (own) => openImage({ path: part, format: 'qcow2', folder: own }, { writable: true }));
    try {
      await fill(image, snapshot, cancelled, onBytes);
      await image.flush();
    } finally {
      await image.done();
    }
  });
}

/**
 * An image that is made beside the path, given what it is to hold when nobody else may read it, and a bitmap of ours: at the path, on the disk
 * itself, or nowhere. Throws STORE_FULL when all of the disk would not find room there.
 */
export async function layImage(
  snapshot: OpenSnapshot,
  path: string,
  owner: { uid: number; gid: number } | undefined,
  create: (part: string) => Promise<void>,
  hold: (part: string) => Promise<void> = async () => undefined,
): Promise<LaidImage> {
  const part = partOf(path);
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  await rm(part, { force: true });
  await assertRoom(snapshot, dirname(path));
  const bitmap = `${BITMAP_PREFIX}${randomUUID()}`;
  try {
    await create(part);
    await chmod(part, IMAGE_MODE);
    await hold(part);
    await addBitmap(part, bitmap);
    if (owner !== undefined) await chown(part, owner.uid, owner.gid);
    await synced(part);
    await rename(part, path);
    await synced(dirname(path));
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  const stamp = await stampOf(path);
  if (stamp === null) throw new HeadroomError('ENVIRONMENT', `${path} was written, and is not there`);
  return { bitmap, stamp };
}

/** What an agent that was killed left of its work below the folder of its own images: nothing that a VM has for its disk. Nobody works there now. */
export async function clearLeft(folder: string): Promise<void> {
  for (const place of [folder, ...(await foldersIn(folder))]) {
    for (const name of await readdir(place).catch(() => []))
      if (name.startsWith(SOCKET_FOLDER) || name.endsWith(PART)) await rm(join(place, name), { recursive: true, force: true });
    // A VM's whose disks came and went.
    if (place !== folder) await rmdir(place).catch(() => undefined);
  }
}

async function foldersIn(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return found.filter((one) => one.isDirectory() && !one.name.startsWith(SOCKET_FOLDER)).map(({ name }) => join(folder, name));
}

/** Throws STORE_FULL. */
async function assertRoom({ manifest: { memory, facts } }: OpenSnapshot, folder: string): Promise<void> {
  const neededBytes = memory.filter(({ kind }) => kind !== 'zero').length * CHUNK_BYTES;
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= neededBytes + SPARE_BYTES) return;
  const [needed, free] = [neededBytes, bavail * bsize].map((bytes) => `${Math.ceil(bytes / 1024 ** 2)} MiB`);
  throw new HeadroomError(
    'STORE_FULL',
    `disk ${facts.disk?.target} needs ${needed} in ${folder}, which has ${free} free, some of which is spared`,
  );
}

/** What was laid out there, whole or not; nobody runs on it. */
export async function removeLaid(path: string): Promise<void> {
  await rm(partOf(path), { force: true });
  await rm(path, { force: true });
}

const partOf = (path: string): string => `${path}.part`;

async function fill(image: OpenImage, snapshot: OpenSnapshot, cancelled: () => boolean, onBytes: OnBytes = () => undefined): Promise<void> {
  const { memory, facts } = snapshot.manifest;
  for (let index = 0; index < memory.length; index++) {
    if (cancelled()) throw new HeadroomError('CANCELLED', `disk ${facts.disk?.target} is not needed any more`);
    if (memory[index]?.kind === 'zero') continue;
    await image.write(index * CHUNK_BYTES, await snapshot.chunk(index));
    await onBytes(index * CHUNK_BYTES + chunkLength(index, facts.memoryBytes), facts.memoryBytes);
  }
}

/** By chunk, 1 = it lies in one of these at least in part. */
function chunksOf(extents: readonly Extent[], bytes: number): Uint8Array {
  const chunks = new Uint8Array(chunkCount(bytes));
  for (const { start, length } of extents) chunks.fill(1, Math.floor(start / CHUNK_BYTES), Math.ceil((start + length) / CHUNK_BYTES));
  return chunks;
}

/** The image's socket in a folder of its own, which goes with it. */
async function inFolder(parent: string, opened: (folder: string) => Promise<OpenImage>): Promise<OpenImage & { done(): Promise<void> }> {
  await mkdir(parent, { recursive: true, mode: FOLDER_MODE });
  const folder = await mkdtemp(join(parent, SOCKET_FOLDER));
  const gone = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const image = await opened(folder);
    return { ...image, done: () => image.close().finally(gone) };
  } catch (error) {
    await gone();
    throw error;
  }
}
